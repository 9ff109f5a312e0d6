"""Clients that hold connections and send little: they are disconnected, and other clients get answers meanwhile."""

import contextlib
import resource
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest
import requests
from redis import Redis

from tests.support.programs import lacking
from tests.support.served import served
from tests.support.servers import StoreServer, wait_for
from tracker.store.api_keys import Keys

pytestmark = pytest.mark.slow  # starts processes of its own

SLOW = "Content-Length: 100"
#: A valid silence, without its end.
SILENCE = {"match": ["kraken:*"], "reason": "a test"}


@pytest.fixture
def url(store_server: StoreServer, redis: Redis) -> Iterator[str]:
    with served(store_server.url) as url:
        yield url


@contextlib.contextmanager
def connections(url: str, count: int) -> Iterator[list[socket.socket]]:
    """Yields ``count`` connections, and closes them at the end."""
    resource_limit(count + 500)
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(count)]


def resource_limit(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < files:
        lacking(f"{files} open files are not allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))


def post(connection: socket.socket, *fields: str, body: bytes = b"{") -> None:
    head = ["POST /v1/silences HTTP/1.1", "Host: localhost", "Content-Type: application/json", *fields, "", ""]
    connection.sendall("\r\n".join(head).encode() + body)


def status(connection: socket.socket) -> int:
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status


def answers_others(url: str) -> bool:
    """Whether all threads of the API can answer."""
    paths = ("/healthz", "/v1/metrics", "/healthz", "/v1/metrics", "/healthz", "/v1/metrics")
    return all(requests.get(url + path, timeout=20).status_code == 200 for path in paths)


def can_write(url: str) -> bool:
    made = requests.post(f"{url}/v1/silences", json=SILENCE | {"until": time.time() + 3_600}, timeout=20)
    return made.status_code == 201


def closed(held: list[socket.socket]) -> int:
    """Waits at most a minute until the API has closed all connections; returns how many are still open."""
    deadline, open = time.monotonic() + 60, set(held)
    with selectors.DefaultSelector() as selector:
        for each in held:
            selector.register(each, selectors.EVENT_READ)
        while open and time.monotonic() < deadline:
            for key, _ in selector.select(1):
                with contextlib.suppress(ConnectionResetError):
                    if key.fileobj.recv(65_536):  # type: ignore[union-attr]
                        continue
                selector.unregister(key.fileobj)
                open.discard(key.fileobj)  # type: ignore[arg-type]
    return len(open)


@pytest.mark.parametrize("count", [8, 500])
def test_bodies_that_do_not_come_hold_up_nobody_else(url: str, count: int) -> None:
    with connections(url, count) as held:
        for each in held:
            post(each, SLOW)
        assert answers_others(url)
        # each client gets a problem, at once or after the patience, and its connection is closed
        statuses = Counter(map(status, held))
        assert set(statuses) <= {408, 503} and statuses[408]
        assert closed(held) == 0
        assert can_write(url)


def test_a_body_that_drips_ends_too(url: str) -> None:
    with connections(url, 4) as held:
        stop = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):  # the API has closed it
                while not stop.wait(0.1):
                    for each in held:
                        each.sendall(b" ")

        for each in held:
            post(each, "Content-Length: 60000")
        (thread := threading.Thread(target=drip)).start()
        try:
            assert answers_others(url)
            wait_for(lambda: can_write(url), "one may write again, although they drip on")
        finally:
            stop.set()
            thread.join()


def test_a_body_without_a_known_length_is_not_read(url: str) -> None:
    with connections(url, 1) as [each]:
        post(each, "Transfer-Encoding: chunked", body=b"1\r\n{\r\n")
        assert status(each) == 411
        assert closed([each]) == 0


def test_the_body_of_those_who_may_not_write_is_not_read(url: str, redis: Redis) -> None:
    Keys(redis).create("a", "admin", 0)
    wait_for(lambda: requests.post(f"{url}/v1/silences", timeout=20).status_code == 401, "the key is known")
    with connections(url, 50) as held:
        for each in held:
            post(each, SLOW)
        assert {status(each) for each in held} == {401}
        assert closed(held) == 0


def test_a_body_that_is_as_long_as_may_be_is_read_as_a_whole(url: str) -> None:
    body = b'{"match": ["kraken:*"], "until": %d, "reason": "a test"' % (time.time() + 3_600)
    with connections(url, 1) as [each]:
        post(each, "Content-Length: 64000", body=body)
        each.sendall(b" " * (64_000 - len(body) - 1))
        each.sendall(b"}")
        assert status(each) == 201
    with connections(url, 1) as [each]:
        post(each, "Content-Length: 64001")
        assert status(each) == 413


def test_connections_that_say_nothing_are_closed_and_hold_up_nobody(url: str) -> None:
    with connections(url, 1_500) as held, requests.Session() as watcher:
        assert watcher.get(f"{url}/healthz", timeout=20).ok
        assert answers_others(url)
        assert closed(held) == 0
        assert answers_others(url)
