"""A kept answer is not replaced by an older one, which another thread read earlier and rendered later."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from api import create_app
from api.serving import cache
from api.serving.answer import JSON, Answer, CachePolicy
from api.serving.cache import Cached
from api.v1 import table
from tests.support.cached import PATHS
from tests.support.tracked import SLOTS, Tracked
from tracker.models import Metric

KEPT = CachePolicy((), b"5", 50.0, 0.0)
METRIC = (Metric("kraken:ethbtc", "volume"),)
SERIES = CachePolicy(METRIC, b"5", 50.0, 0.0)


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_that_was_read_earlier_and_rendered_later_does_not_replace_a_newer_one(
    filled: Tracked, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # given a request that has read the store and is held up
    app = create_app(filled.settings)
    read, go_on, render = threading.Event(), threading.Event(), Cached._render

    def held_up(self: Cached, key: cache.Key, environ: dict) -> object:
        found = render(self, key, environ)
        read.set()
        go_on.wait(30)
        return found

    monkeypatch.setattr(Cached, "_render", held_up)
    monkeypatch.setattr(table, "UNASKED", 0.0)
    monkeypatch.setattr(cache, "UNASKED", math.inf)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(lambda: app.test_client().get(path))
        assert read.wait(30)
        # when another request is answered after an evaluation
        monkeypatch.setattr(Cached, "_render", render)
        filled.put("kraken:ethbtc", np.array([7_777.0]), SLOTS[-1:])
        filled.now += 5
        filled.evaluate("kraken:ethbtc", "bancor:bntbtc")
        newer = app.test_client().get(path)
        go_on.set()
        older = slow.result()
    # then
    assert "7777" in newer.text
    assert older.headers["ETag"] == app.test_client().get(path).headers["ETag"] == newer.headers["ETag"]


@pytest.mark.parametrize(
    ("kept", "fresh", "moved", "yields"),
    [
        (KEPT, KEPT, 0, True),  # nothing new
        (KEPT, KEPT._replace(version=b"10"), 0, False),
        (KEPT, KEPT._replace(version=b"4", evaluated=60.0), 0, True),
        (KEPT, KEPT._replace(version=b""), 0, True),
        (KEPT, KEPT._replace(version=b"4"), 60, False),  # the window has moved
        (KEPT, KEPT._replace(version=b"10"), -60, True),
        (SERIES, SERIES._replace(version=b"4", evaluated=60.0), 0, False),
        (SERIES, SERIES._replace(version=b"10", evaluated=40.0), 0, True),
        (SERIES, SERIES._replace(version=b"", evaluated=0.0), 0, False),  # its samples are gone
    ],
)
def test_an_answer_yields_to_a_kept_one_that_is_not_older(
    kept: CachePolicy, fresh: CachePolicy, moved: float, yields: bool
) -> None:
    one, other = Answer(b"", JSON, kept, slot_end=60), Answer(b"", JSON, fresh, slot_end=60 + moved)
    assert other.yields_to(one) == yields
    assert not one.yields_to(one)


def test_an_answer_takes_the_place_of_one_that_could_not_be_confirmed() -> None:
    kept = Answer(b"", JSON, KEPT, failed=True)
    assert not Answer(b"", JSON, KEPT).yields_to(kept)
    assert Answer(b"", JSON, KEPT._replace(version=b"4")).yields_to(kept)
