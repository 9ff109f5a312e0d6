"""Positions in the replication stream: which of two servers is ahead, and what counts after what was read before."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.redis_servers import Followed, Server
from tests.support.servers import free_port, wait_for
from tracker.errors import StoreError
from tracker.store.connection import connect
from tracker.store.position import ASK, LATEST, Position, Seen, position
from tracker.store.raw import RawPipeline


def test_a_position_is_told_by_masters_and_replicas_alike(tmp_path: Path) -> None:
    def told(server: Server) -> Position:
        raw = RawPipeline(connect(server.url))
        return position(raw.ask([ASK])[0])

    with Followed(tmp_path) as servers:
        [replica] = servers.replicas
        servers.master.client.set("a", "b")
        wait_for(lambda: told(servers.master) == told(replica), "the replica has it all")
        replica.follow(free_port())
        before = told(replica)
        servers.master.client.set("a", "c")
        assert before[:2] == told(replica)[:2] < told(servers.master)[:2]


def test_a_server_that_tells_no_position_is_an_error() -> None:
    with pytest.raises(StoreError, match="does not tell"):
        position(b"# Replication\r\nrole:master\r\n")


OFFSETS = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=30)


@given(OFFSETS)
def test_what_counts_never_goes_back(found: list[tuple[bool, int]]) -> None:
    """Replicas have any part of what the master has, and the master goes on."""
    seen, master, last = Seen(), 0, 0
    for of_master, offset in found:
        if of_master:
            master += offset
            seen.of_master(Position(b"a", master, 0))
            last = master
        elif seen.of_replica(Position(b"a", min(offset, master), 0), seen.least):
            assert min(offset, master) >= last
            last = min(offset, master)


def test_a_late_reply_of_the_previous_master_does_not_bring_it_back() -> None:
    seen, old, new = Seen(), Position(b"old", 9, 0), Position(b"new", 5, 0)
    seen.of_master(old)
    seen.of_master(new)
    seen.of_master(old)
    assert seen.least == new
    assert not seen.of_replica(old, seen.least) and seen.of_replica(new, seen.least)


def test_the_lag_is_how_long_ago_the_master_was_there() -> None:
    seen = Seen()
    for second, offset in enumerate([10, 20, 30]):
        seen.note(Position(b"a", offset, 0), second)
    assert [seen.lag(Position(b"a", offset, 0), 5) for offset in (5, 10, 25, 30, 40)] == [5, 4, 3, 0, 0]
    assert seen.least == Position(b"a", 10, 0)
    seen.forget(LATEST + 1)
    assert seen.least == Position(b"a", 20, 0)
