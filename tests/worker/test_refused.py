"""The list of refused messages, and the longest time from a message to the end of its task."""

import pytest
from redis import Redis

from tests.support.kinds import good, raw
from tests.support.servers import free_port
from tracker.errors import StoreError
from tracker.store.connection import connect
from tracker.tasks import app
from tracker.worker.admission import LONGEST
from tracker.worker.refused import MOST, SHOWN, Refused


def test_the_newest_are_kept_and_only_their_beginnings(redis: Redis) -> None:
    refused = Refused(redis, lambda: 7.0)
    for number in range(MOST + 3):
        refused.add("fetch", f"reason {number}", b"\x00\xff" * 5_000)
    kept = refused.all()
    assert [each.reason for each in (kept[0], kept[-1])] == [f"reason {MOST + 2}", "reason 3"]
    assert len(kept) == MOST
    assert {(each.at, each.text[:8], len(each.text)) for each in kept} == {(7.0, "\\x00\\xff", SHOWN)}
    assert refused.clear() == MOST
    assert refused.all() == []


def test_what_a_terminal_would_obey_is_written_out(redis: Redis) -> None:
    refused = Refused(redis)
    refused.add("q\r", "two\nlines", "\x1b[2J\N{EURO SIGN}")
    [kept] = refused.all()
    assert (kept.queue, kept.reason, kept.text) == ("q\\r", "two\\nlines", "\\x1b[2J\N{EURO SIGN}")


def test_a_task_that_comes_back_is_counted_for_a_day(redis: Redis) -> None:
    refused = Refused(redis)
    assert [refused.redelivered(id) for id in ("a", "a", "b")] == [1, 2, 1]
    assert 86_300 < redis.ttl("{dt1}:redelivered:a") <= 86_400


def test_a_store_that_is_away_is_said() -> None:
    with pytest.raises(StoreError):
        Refused(connect(f"redis://127.0.0.1:{free_port()}/0", tries=1)).add("fetch", "reason", raw(good("fetch")))


def test_a_task_may_begin_and_end_within_the_visibility_timeout() -> None:
    assert app.conf.broker_transport_options["visibility_timeout"] == LONGEST > app.conf.task_time_limit
