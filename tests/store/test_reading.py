"""Reads from replicas: never older than what was read before, and from the master when no replica is fit."""

import gc
import logging
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis_servers import Followed, Replicated, Server
from tests.support.servers import free_port, wait_for
from tracker.errors import StoreError
from tracker.store import position as positions
from tracker.store.connection import connect, replicas_of
from tracker.store.pipelines import pipeline
from tracker.store.raw import Command, RawPipeline
from tracker.store.reading import BEHIND, SILENT, ReadingPipeline, Replicas, reader, replicas_behind

pytestmark = pytest.mark.slow  # starts servers for each test

PORT: Command = ("CONFIG", "GET", "port")
GET: Command = ("GET", "a")


class Reader:
    """A reading pipeline that looks at the replicas when the test says so."""

    def __init__(self, master_url: str, url: str):
        self.master = connect(master_url, tries=2, patience=2, pause=0.01)
        raw = RawPipeline(self.master)
        self.replicas = Replicas(raw, replicas_of(url, 0.5))
        self.raw = ReadingPipeline(raw, self.replicas)
        self.replicas.look()

    def asked(self) -> int:
        """The port of the server that is read."""
        [told] = self.raw.ask([PORT])
        return int(told[b"port"])

    def get(self) -> Any:
        return self.raw.ask([GET])[0]

    def looks_until_fit(self) -> None:
        def look() -> bool:
            self.replicas.look()
            return self.replicas.chosen is not None

        wait_for(look, f"a replica is fit: {self.replicas.reads}")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Followed]:
    with Followed(tmp_path) as servers:
        yield servers


@pytest.fixture
def replica(servers: Followed) -> Server:
    return servers.replicas[0]


@pytest.fixture
def reading(servers: Followed, replica: Server) -> Reader:
    reading = Reader(servers.master.url, replica.url)
    reading.looks_until_fit()
    return reading


def cut_off(replica: Server) -> None:
    """The replica loses its master, and answers on."""
    replica.follow(free_port())


def has(server: Server, value: bytes) -> None:
    wait_for(lambda: server.client.get("a") == value, f"the server on {server.port} has {value!r}")


def test_reads_come_from_the_replica_and_writes_go_to_the_master(servers: Followed, replica: Server) -> None:
    with connect(servers.master.url) as master:
        client = reader(master, replica.url)
        replicas = replicas_behind(client)
        assert replicas
        wait_for(lambda: replicas.chosen, "the replica is chosen")
        client.set("a", "b")
        has(replica, b"b")
        [told, value] = pipeline(client).ask([PORT, GET])
        assert (int(told[b"port"]), value) == (replica.port, b"b")
        assert client.config_get("port") == {"port": str(servers.master.port)}
        assert replicas_behind(master) is None


def test_what_was_read_from_the_master_is_not_read_older_from_the_replica(
    servers: Followed, replica: Server, reading: Reader
) -> None:
    # given a replica that lacks a write that was read
    cut_off(replica)
    reading.master.set("a", "new")
    assert (reading.asked(), reading.get()) == (replica.port, None)  # a moment behind
    replica.stop()
    assert reading.get() == b"new"
    replica.go_on()
    # when it is chosen again
    reading.looks_until_fit()
    # then
    assert (reading.asked(), reading.get()) == (servers.master.port, b"new")
    replica.follow(servers.master.port)
    has(replica, b"new")
    reading.looks_until_fit()
    assert (reading.asked(), reading.get()) == (replica.port, b"new")


def test_a_replica_that_lacks_what_was_read_is_waited_for_before_the_master_is_asked(
    servers: Followed, replica: Server, reading: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(replica)
    reading.master.set("a", "new")
    reading.replicas.catch_up()
    monkeypatch.setattr("tracker.store.reading.PAUSES", (0.05,) * 400)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(reading.raw.ask, [GET, PORT])
        replica.follow(servers.master.port)
        value, told = asked.result(60)
    assert (value, int(told[b"port"])) == (b"new", replica.port)


def test_a_replica_that_stays_behind_is_not_asked_before_the_next_look(
    servers: Followed, replica: Server, reading: Reader
) -> None:
    cut_off(replica)
    reading.master.set("a", "new")
    reading.replicas.catch_up()
    assert (reading.asked(), reading.replicas.reads) == (servers.master.port, (None, BEHIND, True))
    reading.replicas.look()
    assert reading.replicas.chosen


def test_of_two_replicas_the_one_behind_is_not_read_after_the_other(tmp_path: Path) -> None:
    with Followed(tmp_path, replicas=2) as servers:
        ahead, behind = servers.replicas
        readings = {server: Reader(servers.master.url, server.url) for server in servers.replicas}
        both = readings[ahead]
        both.looks_until_fit()
        readings[behind].looks_until_fit()
        cut_off(behind)
        servers.master.client.set("a", "new")
        has(ahead, b"new")
        assert (both.asked(), both.get()) == (ahead.port, b"new")
        # when its reader turns to the other replica
        both.replicas._chosen = readings[behind].replicas.chosen
        assert readings[behind].get() is None
        # then
        assert (both.asked(), both.get()) == (servers.master.port, b"new")


def test_what_was_written_is_in_all_that_is_read_after_it(replica: Server, reading: Reader) -> None:
    cut_off(replica)
    reading.master.set("a", "written")
    assert reading.get() is None
    reading.replicas.catch_up()
    assert reading.get() == b"written"


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_replica_that_is_away_is_left_alone_and_used_again_when_it_is_back(
    servers: Followed, replica: Server, reading: Reader, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert reading.asked() == replica.port
    begun = reading.raw.begin([GET, PORT])
    replica.stop() if how == "stopped" else replica.kill()

    servers.master.client.set("a", "b")
    asked = [reading.asked() for _ in range(3)]
    reading.raw.finish(begun)

    assert asked == [servers.master.port] * 3
    assert reading.replicas.reads == (None, SILENT, True)
    reading.replicas.look()
    assert reading.replicas.chosen is None
    replica.go_on() if how == "stopped" else replica.start()
    has(replica, b"b")
    reading.looks_until_fit()
    assert reading.asked() == replica.port
    said = [record.message for record in caplog.records]
    assert [line.partition(": ")[0] for line in said] == [
        f"the replica redis://127.0.0.1:{replica.port}/0 is left alone",
        f"the replica redis://127.0.0.1:{replica.port}/0 is used again",
    ]


def test_what_is_begun_on_a_replica_that_dies_is_finished_by_the_master(servers: Followed, reading: Reader) -> None:
    servers.master.client.set("a", "b")
    begun = reading.raw.begin([GET, PORT])
    servers.replicas[0].kill()
    value, told = reading.raw.finish(reading.raw.begin([GET, PORT]))
    assert (value, int(told[b"port"])) == (b"b", servers.master.port)
    assert reading.raw.finish(begun)[0] in (b"b", None)  # None: the replica had answered before it had the write


def test_a_replica_that_lags_for_long_is_left_alone_although_nothing_newer_was_read(
    servers: Followed, replica: Server, reading: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(replica)
    servers.master.client.set("a", "new")
    reading.replicas.look()
    assert reading.get() is None
    monkeypatch.setattr("tracker.store.reading.LATEST", 0)

    def left_alone() -> bool:
        reading.replicas.look()
        return reading.replicas.chosen is None

    wait_for(left_alone, "the replica is left alone")
    assert "behind the master" in reading.replicas.reads.reason or "link" in reading.replicas.reads.reason
    assert (reading.asked(), reading.get()) == (servers.master.port, b"new")
    replica.follow(servers.master.port)
    has(replica, b"new")
    reading.looks_until_fit()
    assert (reading.asked(), reading.replicas.reads.lag) == (replica.port, 0.0)


def test_a_replica_without_what_the_master_had_a_minute_ago_does_not_count_even_before_a_look(
    servers: Followed, replica: Server, reading: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(replica)
    servers.master.client.set("a", "new")
    reading.replicas.look()
    assert reading.get() is None
    monkeypatch.setattr(positions, "LATEST", 0)
    reading.replicas.seen.forget(time.monotonic())
    assert reading.replicas.chosen and reading.get() == b"new"


def test_a_replica_whose_link_is_down_for_long_is_left_alone_also_while_the_master_is_away(
    servers: Followed, replica: Server, reading: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.master.client.set("a", "b")
    has(replica, b"b")
    servers.master.kill()
    reading.replicas.look()
    assert (reading.get(), reading.replicas.reads.master) == (b"b", False)
    monkeypatch.setattr(positions, "LATEST", 0)  # seconds: the next look after a second finds it too long

    def refused() -> bool:
        try:
            reading.get()
        except StoreError:
            return True
        return False

    wait_for(refused, "its link is down for too long")


def test_a_server_that_does_not_follow_the_master_is_not_read(
    servers: Followed, replica: Server, reading: Reader
) -> None:
    # given a replica that is made a master of its own
    replica.client.execute_command("REPLICAOF NO ONE")
    replica.client.set("a", "other")
    # then it is not read, even before the next look
    assert (reading.asked(), reading.get()) == (servers.master.port, None)
    reading.replicas.look()
    assert reading.replicas.reads.reason == "it does not follow the master"


def test_nothing_is_read_before_the_master_has_answered_once(servers: Followed, replica: Server) -> None:
    servers.master.kill()
    reading = Reader(servers.master.url, replica.url)
    assert reading.replicas.reads == (None, "the master has not answered yet", False)
    with pytest.raises(StoreError):
        reading.get()
    servers.master.start()
    reading.looks_until_fit()
    assert reading.asked() == replica.port


def test_a_refused_command_is_an_error(reading: Reader) -> None:
    reading.master.set("a", "text")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        reading.raw.ask([("HGET", "a", "b")])
    assert reading.get() == b"text"


def test_the_thread_that_looks_ends_with_its_client(servers: Followed, replica: Server) -> None:
    with connect(servers.master.url) as master:
        client = reader(master, replica.url)
        gone = weakref.ref(replicas_behind(client))  # type: ignore[arg-type]
        del client

        def collected() -> bool:
            gc.collect()
            return gone() is None

        wait_for(collected, "nobody looks at the replicas any more")


def test_the_replicas_that_sentinels_name_are_read_also_after_a_failover(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with Replicated(tmp_path, replicas=2) as servers:
        reading = Reader(servers.url, servers.url)
        reading.looks_until_fit()
        old, *replicas = servers.data
        assert reading.asked() in {server.port for server in replicas}
        reading.master.set("a", "1")
        for server in replicas:
            has(server, b"1")
        # when the master dies, both replicas answer on, and one is made the master
        old.kill()
        assert reading.get() == b"1"
        wait_for(lambda: servers.master is not old, "a replica is the master", 60)
        [left] = [server for server in replicas if server is not servers.master]

        def reads_from_the_other() -> bool:
            reading.replicas.look()
            return reading.asked() == left.port

        wait_for(reads_from_the_other, "the other replica is read")
        # then the new master, and soon its replica, have what is written
        wait_for(lambda: _written(reading, "2"), "the new master takes writes")
        reading.replicas.catch_up()
        assert reading.get() == b"2"


def _written(reading: Reader, value: str) -> bool:
    try:
        return bool(reading.raw._master.ask([("SET", "a", value)]))
    except StoreError:
        return False
