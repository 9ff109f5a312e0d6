"""Kept answers: rendered once for many readers, and never outdated for long."""

import gzip
import math
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from api import create_app
from api.serving import cache, zstd
from api.serving.answer import Answer
from api.serving.cache import ByteLRU, Cached
from api.v1 import table
from tests.support.cached import PATHS, URL
from tests.support.servers import wait_for
from tests.support.stack import CLEAN, ROOT
from tests.support.tracked import NOW, RING, SLOTS, Tracked, spread
from tracker.clock import Clock
from tracker.variables import PerSource

#: Prints how many bytes a full cache counts, and by how many bytes the process has grown.
MEMORY = """
import threading
from types import SimpleNamespace

import numpy as np
import psutil

from api.serving.answer import JSON, CachePolicy, dumps
from api.serving.cache import KEEP, Cached
from tracker.series.ring import Ring
from tracker.settings import load

def app(environ, start_response):
    environ[KEEP] = CachePolicy((), b"", 0.0, 0.0)
    start_response("200 OK", [("Content-Type", JSON)])
    return [dumps({"values": random.standard_normal(int(random.integers(700, 1400)))})]

def fill():
    for number in range(4_000):
        cached({"REQUEST_METHOD": "GET", "PATH_INFO": f"/{number}"}, lambda *_: None)

def memory():
    return psutil.Process().memory_info().rss

random = np.random.default_rng(1)
store = SimpleNamespace(ring=Ring())
cached = Cached(app, lambda *key: None, load({"API_CACHE_MB": "32"}), store, ("/latest/", "/v1/"))
before = memory()
thread = threading.Thread(target=fill)  # its memory is laid out otherwise than the main thread's
thread.start()
thread.join()
print(cached.kept.used, memory() - before)
"""


class HandClock(Clock):
    """A clock that stands still until the test sets it."""

    time = NOW

    def at(self, wall: float) -> float:
        return HandClock.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[HandClock]:
    """The clock of all apps that the test creates."""
    monkeypatch.setattr("tracker.settings.Clock", HandClock)
    monkeypatch.setattr(HandClock, "time", NOW)
    return HandClock


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts how often each path was rendered."""
    count, render = Counter(), Cached._render

    def counted(cached, key, environ):
        count[environ["PATH_INFO"]] += 1
        return render(cached, key, environ)

    monkeypatch.setattr(Cached, "_render", counted)
    return count


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request asks the store for the version."""
    monkeypatch.setattr(cache, "UNASKED", 0.0)
    monkeypatch.setattr(table, "UNASKED", 0.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request asks the store for the version of a kept answer, even on a slow machine."""
    monkeypatch.setattr(cache, "UNASKED", math.inf)


@pytest.mark.parametrize("path", PATHS)
def test_many_readers_cost_one_rendering(filled: Tracked, rendered: Counter, path: str) -> None:
    client = filled.client
    answers = [client.get(path, headers={"Accept-Encoding": coding}) for coding in ("", "gzip", "zstd") * 3]

    assert sum(rendered.values()) == 1
    plain = answers[0].data
    assert {answer.headers.get("Content-Encoding") for answer in answers} <= {None, "gzip", "zstd"}
    for answer in answers:
        decode = {None: bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}
        assert decode[answer.headers.get("Content-Encoding")](answer.data) == plain
        assert int(answer.headers["Content-Length"]) == len(answer.data)
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"


def test_the_order_of_parameters_and_the_alias_do_not_matter(filled: Tracked, rendered: Counter) -> None:
    client = filled.client
    for path in (
        "/v1/metrics?limit=5&field=price",
        "/v1/metrics?field=price&limit=5",
        "/latest/metrics?field=price&limit=5",
    ):
        assert client.get(path).json["total"] == 2
    assert sum(rendered.values()) == 1


def test_a_value_stored_and_evaluated_within_the_slot_is_served(filled: Tracked, impatient: None) -> None:
    client = filled.client
    before = client.get(URL)
    filled.put("kraken:ethbtc", np.array([7_777.0]), SLOTS[-1:])
    filled.now += 5
    filled.evaluate("kraken:ethbtc")

    after = client.get(URL)

    assert (before.json["last"], after.json["last"], after.json["values"][-1]) == (1_000, 7_777, 7_777)
    assert client.get(URL, headers={"If-None-Match": before.headers["ETag"]}).status_code == 200


def test_a_list_follows_the_evaluation_of_any_metric(filled: Tracked, impatient: None) -> None:
    client = filled.client
    path = "/v1/metrics?field=volume&order=last&fields=last"
    assert [row["last"] for row in client.get(path).json["metrics"]] == [1_000, 1_000]
    filled.put("bancor:bntbtc", np.array([5.0]), SLOTS[-1:])
    filled.evaluate("bancor:bntbtc")
    assert [row["last"] for row in client.get(path).json["metrics"]] == [1_000, 5]


def test_an_answer_that_was_asked_about_just_now_costs_the_store_nothing(
    filled: Tracked, rendered: Counter, patient: None
) -> None:
    client = filled.client
    client.get(URL)
    commands = filled.store.redis.info("stats")["total_commands_processed"]
    for _ in range(20):
        assert client.get(URL).status_code == 200
    assert filled.store.redis.info("stats")["total_commands_processed"] - commands <= 1  # the INFO of this line
    assert rendered[URL] == 1


def test_the_window_moves_with_the_slot(filled: Tracked, clock: type[HandClock]) -> None:
    client = create_app(filled.settings).test_client()
    assert client.get(URL).json["start"] == SLOTS[0]
    clock.time = NOW + 60
    assert client.get(URL).json["start"] == SLOTS[1]
    assert client.get("/v1/markets/kraken:ethbtc").json["start"] == SLOTS[1]


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_that_was_rendered_while_the_window_moved_is_not_kept_for_the_new_one(
    filled: Tracked, clock: type[HandClock], patient: None, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    app, render = create_app(filled.settings), Cached._render

    def slow(*given):
        answer = render(*given)
        clock.time = NOW + 60
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Cached, "_render", slow)
        app.test_client().get(path)
    count: list[str] = []
    monkeypatch.setattr(Cached, "_render", lambda *given: count.append(path) or render(*given))
    app.test_client().get(path)
    assert count == [path]


def test_an_answer_that_is_due_is_rendered_by_one_of_many_who_ask(
    filled: Tracked, rendered: Counter, clock: type[HandClock], patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a kept answer of the previous slot, and a slow rendering
    app = create_app(filled.settings)
    app.test_client().get(URL)
    clock.time = NOW + 60
    release, render = threading.Event(), Cached._render

    def slow(*given):
        release.wait(30)
        return render(*given)

    monkeypatch.setattr(Cached, "_render", slow)
    first = threading.Thread(target=lambda: app.test_client().get(URL))
    first.start()
    wait_for(lambda: kept(app).renewing > 0, "the first has begun")
    # when others ask during the rendering
    others = [app.test_client().get(URL) for _ in range(5)]
    release.set()
    first.join(30)
    # then they get the previous answer, which no cache in front may keep, and later the new one
    assert [answer.json["start"] for answer in others] == [SLOTS[0]] * 5
    assert {answer.headers["Cache-Control"] for answer in others} == {"no-cache"}
    assert rendered[URL] == 2
    assert app.test_client().get(URL).json["start"] == SLOTS[1]


def test_an_answer_that_was_found_right_is_rendered_anew_as_soon_as_the_slot_ends(
    filled: Tracked, clock: type[HandClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_app(filled.settings).test_client()
    monkeypatch.setattr(cache, "UNASKED", 0.0)
    assert [client.get(URL).json["start"] for _ in range(2)] == [SLOTS[0]] * 2
    monkeypatch.setattr(cache, "UNASKED", math.inf)
    clock.time = NOW + 60
    assert client.get(URL).json["start"] == SLOTS[1]


def kept(app) -> Answer:
    return app.extensions["cache"].kept.get((URL, "", "application/json"))


def control(client: FlaskClient, path: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in client.get(path).headers["Cache-Control"].split(", "))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("interval", "evaluated", "asked", "left"),
    [
        (60, 26, 30, 30),  # evaluated after the tick at second 6: nothing changes before the slot ends
        (60, 5, 30, 1),  # not evaluated since that tick: due at any moment
        (60, 26, 59.5, 1),  # at least a second: caches store nothing that expires at once
        (10, 21, 25, 6),  # the next tick is at second 31
        (300, 31, 35, 25),  # the slot ends before the next tick
    ],
)
def test_others_may_keep_an_answer_until_the_next_change_is_due(
    tracked: Tracked, clock: type[HandClock], path: str, interval: float, evaluated: int, asked: float, left: int
) -> None:
    minute = NOW // 300 * 300
    tracked.now = minute + evaluated
    tracked.watch("kraken:ethbtc")
    tracked.put("kraken:ethbtc", spread(1, 1), RING.slots(minute))
    tracked.evaluate("kraken:ethbtc")
    clock.time = minute + asked

    found = control(create_app(replace(tracked.settings, intervals=PerSource(interval, {}))).test_client(), path)

    beyond = {"stale-while-revalidate": str(cache.MEANWHILE), "stale-if-error": str(cache.STALE)}
    assert found == {"public": "", "max-age": str(left), **beyond}


def test_a_list_does_not_wait_for_what_is_no_longer_watched(tracked: Tracked, clock: type[HandClock]) -> None:
    minute = NOW // 60 * 60
    for at, ids in ((minute - 600, ["a:oldbtc"]), (minute + 26, ["a:newbtc"])):
        tracked.now = at
        tracked.watch(*ids)
        tracked.put(ids[0], spread(1, 1), RING.slots(at))
        tracked.evaluate(*ids)
    clock.time = minute + 30
    assert control(create_app(tracked.settings).test_client(), "/v1/metrics")["max-age"] == "30"


def test_what_may_change_at_any_time_is_asked_about_each_time(filled: Tracked) -> None:
    answer = filled.client.get("/healthz")
    assert answer.headers["Cache-Control"] == "no-cache"
    again = filled.client.get("/healthz", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 12_000)), max_size=60))
def test_no_more_is_kept_than_the_capacity(puts: list[tuple[int, int]]) -> None:
    lru, newest = ByteLRU(40_000), {}
    for number, size in puts:
        answer = Answer(bytes(size), "text/plain")
        lru.put(("", "", str(number)), answer)
        newest[number] = answer
        assert lru.used <= lru.capacity
        assert lru.used == sum(answer.size for answer in map(lru.get, list(lru._answers)) if answer)
    for number, answer in newest.items():
        assert lru.get(("", "", str(number))) in (answer, None)


def test_what_was_not_read_for_longest_leaves_first() -> None:
    empty = Answer(b"", "text/plain")
    lru = ByteLRU(8 * empty.size)
    for number in range(8):
        lru.put(("", "", str(number)), empty)
    lru.get(("", "", "0"))
    lru.put(("", "", "8"), empty)
    assert [number for number in range(9) if lru.get(("", "", str(number)))] == [0, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.slow
def test_kept_answers_take_the_memory_that_the_setting_says() -> None:
    run = subprocess.run(
        [sys.executable, "-c", MEMORY], cwd=ROOT, env=CLEAN, capture_output=True, text=True, timeout=60
    )
    says, grown = map(int, run.stdout.split())
    assert 31e6 < says <= 32e6 and grown < 1.2 * says


def test_errors_are_not_kept(tracked: Tracked, rendered: Counter) -> None:
    client = tracked.client
    for _ in range(2):
        assert client.get(URL).status_code == 404
    assert rendered[URL] == 2
    tracked.fill(["kraken:ethbtc"])
    assert client.get(URL).status_code == 200


@pytest.mark.slow
def test_a_serving_process_does_not_look_through_what_it_is_made_of_for_garbage() -> None:
    code = "import gc, api; api.server_app(); print(gc.get_freeze_count(), len(gc.get_objects()))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=CLEAN, capture_output=True, text=True, timeout=60)
    frozen, looked_through = map(int, run.stdout.split())
    assert frozen > 50_000 and looked_through < 1_000
