"""The raw pipeline to the store: right replies, also after a restart, and a quick error while the store is away."""

import signal
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import permutations
from pathlib import Path

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ConnectionError

from tests.support.servers import StoreServer, free_port, wait_for
from tracker.errors import StoreError
from tracker.store.connection import connect
from tracker.store.pipelines import pipeline
from tracker.store.raw import Command, RawPipeline

GET: Command = ("GET", "text")


def after_the_pause(raw: RawPipeline, command: Command) -> object:
    """The first reply to ``command``. Retries: after a failure, every request fails at once for a short pause."""

    def reply() -> object:
        with suppress(StoreError):
            return raw.ask([command])
        return None

    return wait_for(reply, f"a reply to {command}")


def test_replies_come_in_the_order_of_the_commands(redis: Redis) -> None:
    raw, large = RawPipeline(redis), bytes(300_000)
    assert raw.ask([("SET", "a", large), ("GET", "a"), ("GET", "b"), ("INCR", "n")]) == [b"OK", large, None, 1]
    assert raw.ask([("HSET", "h", "f", b"\0\r\n"), ("HGET", "h", "f")]) == [1, b"\0\r\n"]
    assert raw.ask([]) == []


def test_a_refused_command_is_an_error_and_the_next_is_answered(redis: Redis) -> None:
    raw = RawPipeline(redis)
    redis.set("text", "x")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        raw.ask([("HGET", "text", "f"), ("GET", "text")])
    assert raw.ask([("GET", "text")]) == [b"x"]


def test_threads_have_connections_of_their_own(redis: Redis) -> None:
    raw, found = RawPipeline(redis), {}

    def ask(number: int) -> None:
        found[number] = [raw.ask([("ECHO", str(number))])[0] for _ in range(200)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {number: [str(number).encode()] * 200 for number in range(8)}


def test_a_restart_while_nobody_asks_is_not_noticed(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, connect(server.url, tries=1) as redis:
        raw = RawPipeline(redis)
        raw.ask([("GET", "a")])
        server.kill()
        server.start()
        assert raw.ask([("PING",)]) == [b"PONG"]


def test_a_line_goes_on_after_a_restart(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, connect(server.url, tries=2, patience=1, pause=0.01) as redis:
        raw = RawPipeline(redis)
        raw.ask([("PING",)])
        server.kill()
        with pytest.raises(StoreError):
            raw.ask([("PING",)])
        server.start()
        assert after_the_pause(raw, ("PING",)) == [b"PONG"]


def test_a_line_to_a_server_that_is_silent_is_given_up_once_and_its_late_reply_is_nobodys(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, connect(server.url, tries=2, patience=1, pause=0.01) as redis:
        raw = RawPipeline(redis)
        raw.ask([("SET", "a", "late")])
        assert server.process
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreError, match="Timeout reading"):
                raw.ask([("GET", "a")])
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert after_the_pause(raw, ("ECHO", "new")) == [b"new"]


def test_after_a_failure_all_connections_fail_at_once_for_a_while() -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0", tries=2, patience=5, pause=60) as redis:
        raw = RawPipeline(redis)
        with pytest.raises(StoreError, match="refused"):
            raw.ask([("PING",)])
        for ask in (lambda: raw.ask([("PING",)]), redis.ping, lambda: RawPipeline(redis).ask([("PING",)])):
            with pytest.raises((StoreError, ConnectionError), match="a moment ago"):
                ask()


def test_those_who_work_with_one_client_share_its_line(store_server: StoreServer, redis: Redis) -> None:
    with connect(store_server.url) as other:
        assert pipeline(redis) is pipeline(redis)
        assert pipeline(redis) is not pipeline(other)


@pytest.mark.parametrize("order", [*permutations(range(3))], ids=str)
@pytest.mark.parametrize("between", [False, True], ids=["", "with others between"])
def test_what_is_begun_has_its_own_replies_whatever_is_finished_first(
    redis: Redis, order: tuple[int, ...], between: bool
) -> None:
    raw, found = RawPipeline(redis), {}
    asked = [raw.begin([("ECHO", number)] * number) for number in range(3)]
    for number in order:
        if between:
            assert raw.ask([("ECHO", "between")]) == [b"between"]
        found[number] = raw.finish(asked[number])
    assert found == {0: [], 1: [b"1"], 2: [b"2", b"2"]}


def test_the_server_works_before_what_is_begun_is_finished(redis: Redis) -> None:
    raw = RawPipeline(redis)
    raw.ask([("PING",)])
    asked = raw.begin([("SET", "a", "b")])
    wait_for(lambda: redis.get("a") == b"b", "the command is carried out")
    assert raw.finish(asked) == [b"OK"]


def test_an_error_is_raised_by_its_own_finish_only(redis: Redis) -> None:
    raw = RawPipeline(redis)
    redis.set("text", "x")
    before, wrong, after = (raw.begin([command, ("GET", "text")]) for command in (GET, ("HGET", "text", "f"), GET))
    assert raw.finish(after) == [b"x", b"x"]
    with pytest.raises(StoreError, match="WRONGTYPE"):
        raw.finish(wrong)
    assert raw.finish(before) == [b"x", b"x"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_begun_when_the_server_was_killed_is_sent_again(tmp_path: Path, when: str) -> None:
    with StoreServer(tmp_path) as server, connect(server.url, tries=4) as redis:
        # given a server that has not run the commands
        raw = RawPipeline(redis)
        raw.ask([("PING",)])
        stopped(server) if when == "after" else server.kill()
        asked = [raw.begin([("SET", name, name), ("GET", name)]) for name in "abc"]
        # when
        server.kill()
        server.start()
        # then
        assert raw.finish(asked[1]) == [b"OK", b"b"]
        assert raw.ask([("MGET", *"abc")]) == [[b"a", b"b", b"c"]]
        assert [raw.finish(each) for each in (asked[2], asked[0])] == [[b"OK", b"c"], [b"OK", b"a"]]


def test_a_finish_that_failed_leaves_nothing_over_to_be_sent_when_it_is_out_of_date(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, connect(server.url, tries=1) as redis:
        raw = RawPipeline(redis)
        raw.ask([("PING",)])
        stopped(server)
        failing, other = raw.begin([("INCR", "failing")]), raw.begin([("INCR", "other")])
        server.kill()
        with pytest.raises(StoreError):
            raw.finish(failing)
        server.start()
        assert raw.ask([("GET", "failing")]) == [None]
        with pytest.raises(StoreError, match="given up"):
            raw.finish(other)
        assert raw.ask([("MGET", "failing", "other")]) == [[None, None]]


def stopped(server: StoreServer) -> None:
    """Stops the server: it still receives, and does nothing."""
    assert server.process
    server.process.send_signal(signal.SIGSTOP)


class Loading(socketserver.BaseRequestHandler):
    """A server that is loading its data and is ready soon."""

    refusals = 0

    def handle(self) -> None:
        reader = hiredis.Reader()
        while received := self.request.recv(65_536):
            reader.feed(received)
            while command := reader.gets():
                self.request.sendall(self.answer(command))

    def answer(self, command: list[bytes]) -> bytes:
        if command[0] == b"HELLO":
            return b"%1\r\n$5\r\nproto\r\n:3\r\n"
        if command[0] != b"GET":
            return b"+PONG\r\n" if command[0] == b"PING" else b"+OK\r\n"
        if Loading.refusals:
            Loading.refusals -= 1
            return b"-LOADING Valkey is loading the dataset in memory\r\n"
        return b"$1\r\nx\r\n"


def test_a_server_that_is_loading_is_waited_for_as_one_that_is_away() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Loading) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        with connect(f"redis://127.0.0.1:{server.server_address[1]}/0", tries=3) as redis:
            raw = RawPipeline(redis)
            Loading.refusals = 2
            assert raw.ask([GET]) == [b"x"]
            Loading.refusals = 3
            with pytest.raises(StoreError, match="loading"):
                raw.ask([GET])
            assert raw.ask([GET]) == [b"x"]
        server.shutdown()


class OutOfTime(Exception):
    """An error that the pipeline does not know."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """A time limit like Celery's: the handler of a signal raises."""

    def end(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with pytest.raises(OutOfTime):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_reply_that_came_after_a_time_limit_is_nobodys(redis: Redis) -> None:
    raw = RawPipeline(redis)
    with time_limit(0.1):
        raw.ask([("ECHO", "old"), ("BLPOP", "nothing", 0.3), ("ECHO", "late")])
    assert raw.ask([("ECHO", "new")]) == [b"new"]


def test_commands_that_a_time_limit_cut_off_are_nobodys(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, connect(server.url) as redis:
        raw = RawPipeline(redis)
        raw.ask([("ECHO", "old")])
        large = bytes(30_000_000)  # more than the system buffers while the server does not read
        stopped(server)
        with time_limit(0.5):
            raw.ask([("SET", "a", large)])
        assert server.process
        server.process.send_signal(signal.SIGCONT)
        assert raw.ask([("ECHO", "new")]) == [b"new"]
        assert not redis.exists("a")


STRINGS = st.lists(
    st.none()
    | st.binary(max_size=50)
    | st.sampled_from([b"", b"\r\n", b"\r\n$-1\r\n", b"-ERR\r\n", b"_\r\n"])
    | st.builds(lambda times, more: bytes(max((times << 16) + more, 0)), st.integers(0, 4), st.integers(-30, 30)),
    max_size=8,
)


@given(STRINGS)
def test_strings_of_any_size_come_as_they_are_stored(
    shared_store_server: StoreServer, values: list[bytes | None]
) -> None:
    with connect(shared_store_server.url) as redis:
        redis.flushall()
        if present := {str(at): value for at, value in enumerate(values) if value is not None}:
            redis.mset(present)
        raw, names = RawPipeline(redis), [str(at) for at in range(len(values))]
        assert raw.ask([("GET", name) for name in names]) == values
        assert raw.ask([("MGET", "none", *names)]) == [[None, *values]]


@pytest.mark.parametrize("size", [1, 300_000])
def test_replies_that_nobody_waits_for_are_not_taken_for_the_next_ones(redis: Redis, size: int) -> None:
    raw = RawPipeline(redis)
    redis.mset({"text": "x", "other": bytes(size)})
    for _ in range(3):
        raw.begin([("GET", "other")])
        assert raw.ask([GET]) == [b"x"]
