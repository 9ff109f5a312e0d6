"""The fast line to the store: right replies, whole again after a restart, and quick to say that it is away."""

import signal
import threading
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError, ResponseError, TimeoutError

from tests.servers import StoreServer, free_port
from tracker.line import Line
from tracker.store import connect


def test_replies_come_in_the_order_of_the_commands(redis: Redis) -> None:
    line, large = Line(redis), bytes(300_000)
    assert line.ask([("SET", "a", large), ("GET", "a"), ("GET", "b"), ("INCR", "n")]) == [b"OK", large, None, 1]
    assert line.ask([("HSET", "h", "f", b"\0\r\n"), ("HGET", "h", "f")]) == [1, b"\0\r\n"]
    assert line.ask([]) == []


def test_a_refused_command_is_an_error_and_the_next_is_answered(redis: Redis) -> None:
    line = Line(redis)
    redis.set("text", "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        line.ask([("HGET", "text", "f"), ("GET", "text")])
    assert line.ask([("GET", "text")]) == [b"x"]


def test_threads_have_connections_of_their_own(redis: Redis) -> None:
    line, found = Line(redis), {}

    def ask(number: int) -> None:
        found[number] = [line.ask([("ECHO", str(number))])[0] for _ in range(200)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {number: [str(number).encode()] * 200 for number in range(8)}


def test_a_line_goes_on_after_a_restart(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, connect(server.url, tries=2, patience=1, pause=0.01) as redis:
        line = Line(redis)
        line.ask([("PING",)])
        server.kill()
        with pytest.raises(ConnectionError):
            line.ask([("PING",)])
        server.start()
        time.sleep(0.02)  # the pause
        assert line.ask([("PING",)]) == [b"PONG"]


def test_a_line_to_a_server_that_is_silent_is_given_up_once_and_its_late_reply_is_nobodys(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, connect(server.url, tries=2, patience=1, pause=0.01) as redis:
        line = Line(redis)
        line.ask([("SET", "a", "late")])
        assert server.process
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                line.ask([("GET", "a")])
        finally:
            server.process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
        assert line.ask([("ECHO", "new")]) == [b"new"]


def test_after_a_failure_all_connections_fail_at_once_for_a_while() -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0", tries=2, patience=5, pause=60) as redis:
        line = Line(redis)
        with pytest.raises(ConnectionError, match="refused"):
            line.ask([("PING",)])
        for ask in (lambda: line.ask([("PING",)]), redis.ping, lambda: Line(redis).ask([("PING",)])):
            with pytest.raises(ConnectionError, match="a moment ago"):
                ask()
