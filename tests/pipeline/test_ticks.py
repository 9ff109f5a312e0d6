"""A tick is done once in each interval, and counted: in time, late, taken, or missed."""

from contextlib import ExitStack

from tests.support.counting import counts
from tracker import pipeline
from tracker.store.series import Store

MINUTE = 1_700_000_040.0


def tick(store: Store, task: str, at: float, **counted: int) -> bool:
    """Whether ``task`` has claimed the tick, ``at`` seconds after MINUTE. It must have ``counted`` exactly this."""
    with ExitStack() as all:
        for outcome in ("claimed", "late", "taken", "missed"):
            by = counted.pop(outcome, 0)
            all.enter_context(counts("tracker_ticks_total", by, source="x", outcome=outcome))
        return pipeline.claim(store, "x", task, 60, MINUTE + at)


def test_one_task_has_the_tick_of_an_interval(store: Store) -> None:
    assert tick(store, "a", 6, claimed=1)
    assert not tick(store, "b", 7, taken=1)
    assert tick(store, "b", 66, claimed=1)
    assert float(store.status("x")["last_tick"]) == MINUTE + 66


def test_a_tick_is_late_half_an_interval_after_it_was_due(store: Store) -> None:
    assert tick(store, "a", 35, claimed=1)
    assert tick(store, "b", 60 + 37, late=1)


def test_ticks_between_two_are_missed(store: Store) -> None:
    assert tick(store, "a", 6, claimed=1)
    assert tick(store, "b", 4 * 60 + 6, claimed=1, missed=3)
    assert tick(store, "b", 4 * 60 + 8, claimed=1)  # it was delivered again
