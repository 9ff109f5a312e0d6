"""The age of the oldest task in a queue, from what beats and workers note."""

import pytest
from redis import Redis

from tests.support.servers import free_port
from tracker.errors import StoreError
from tracker.store.connection import connect
from tracker.store.queues import Queues, Waiting, note_lengths, note_taken, read


def test_nothing_is_known_before_a_beat_looked(redis: Redis) -> None:
    note_taken(redis, {"fetch": 100})
    assert read(redis, 200) == Queues(None, {})


def test_an_empty_queue_has_no_oldest_task(redis: Redis) -> None:
    note_lengths(redis, {"fetch": 0}, 100)
    assert read(redis, 160) == Queues(60, {"fetch": Waiting(0, 0)})


def test_what_waits_was_published_after_the_queue_was_empty(redis: Redis) -> None:
    note_taken(redis, {"fetch": 90})
    note_lengths(redis, {"fetch": 0, "notify": 3}, 100)
    note_lengths(redis, {"fetch": 7, "notify": 4}, 105)
    assert read(redis, 110).waiting == {"fetch": Waiting(7, 10), "notify": Waiting(4, 10)}


def test_what_waits_was_published_after_what_was_taken(redis: Redis) -> None:
    note_lengths(redis, {"fetch": 0}, 100)
    note_lengths(redis, {"fetch": 7}, 105)
    note_taken(redis, {"fetch": 108})
    note_taken(redis, {"fetch": 90})  # it was delivered again
    assert read(redis, 110).waiting["fetch"].age == 2


def test_a_clock_that_is_behind_gives_no_negative_age(redis: Redis) -> None:
    note_lengths(redis, {"fetch": 1}, 100)
    assert read(redis, 99) == Queues(0, {"fetch": Waiting(1, 0)})


def test_a_store_that_is_away_is_an_error() -> None:
    with pytest.raises(StoreError):
        read(connect(f"redis://127.0.0.1:{free_port()}/0", tries=1), 0)
