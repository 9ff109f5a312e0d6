"""The client, with a live API."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.http_server import HttpServer
from tests.support.served import served
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.tracked import RING, Tracked, market
from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.client import Client, ClientError
from tracker.store.api_keys import Keys

pytestmark = pytest.mark.slow  # starts processes of its own

ID = "kraken:ethbtc"


class Live:
    """A store that the test fills while time passes, and an API over it."""

    def __init__(self, tracked: Tracked, url: str):
        self.tracked, self.url = tracked, url
        self.client = Client(url)

    def put(self, *newest: float) -> int:
        """Stores the ``newest`` volumes up to the slot in progress; returns that slot."""
        now = time.time()
        slots = RING.slots(now)[-len(newest) :]
        self.tracked.put(ID, np.array(newest), slots)
        pipeline.evaluate(self.tracked.store, Outbox(self.tracked.store.redis), (), [ID], now)
        return int(slots[-1])

    def serve(self, slot: int, value: float) -> None:
        """Waits until the API answers with ``value`` in ``slot``: it asks the store about once a second."""

        def served() -> bool:
            series = Client(self.url).metric(f"{ID}:volume")
            return (slot, value) in zip(series.slots.tolist(), series.values.tolist(), strict=True)

        wait_for(served, f"the API answers with {value}")


@pytest.fixture
def live(tracked: Tracked) -> Iterator[Live]:
    tracked.store.watch("simulator", [market(ID), market("kraken:ltcbtc")])
    with served(tracked.url) as url:
        yield Live(tracked, url)


def test_all_metrics_come_however_many_pages(live: Live) -> None:
    live.put(1.0, 2.0)
    ids = [row["id"] for row in live.client.metrics(order="id", limit=1)]
    assert ids == [f"{id}:{field}" for id in (ID, "kraken:ltcbtc") for field in ("price", "volume")]
    assert [row["id"] for row in live.client.metrics(q="eth", field="volume")] == [f"{ID}:volume"]


def test_a_metric_is_arrays(live: Live) -> None:
    slot = live.put(5.0, 6.0, 7.0)
    series = live.client.metric(f"{ID}:volume")
    assert series.values.dtype == float and series.values.shape == series.slots.shape == (1441,)
    at = series.slots.tolist().index(slot)
    assert series.values[at - 2 : at + 1].tolist() == [5, 6, 7] and np.isnan(series.values[0])
    assert (series.step, series.closed, series.final, series.row["unit"]) == (60, 1440, at, "eth")
    assert len(live.client.metric(f"{ID}:volume", since=slot).values) in (1, 2)


def test_who_watches_gets_all_and_then_what_is_new(live: Live) -> None:
    live.put(5.0, 6.0)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 2:
            newest = 7.0 + len(waits)
            live.serve(live.put(5.0, 6.0, newest), newest)

    watched = live.client.watch(f"{ID}:volume", wait)
    whole, news = next(watched), next(watched)
    while not news.values[-1] > 7:
        news = next(watched)
    assert len(whole.values) == 1441
    assert 1 <= len(news.values) <= 3 and news.slots[-1] >= whole.slots[-1]
    assert all(1 <= seconds <= 300 for seconds in waits)


def test_who_keeps_what_is_final_keeps_what_is_true(live: Live) -> None:
    """The watcher asks after a minute has ended and before the next fetch. The newest value is not final then."""
    slot = RING.slot(time.time())
    both = np.array([[1.0, 5.0], [1.0, 6.0], [1.0, 0.5]])
    slots = np.array([slot - 180, slot - 120, slot - 60])
    live.tracked.store.write("simulator", ID, slots, both, slot - 30, new=True)
    kept: dict[int, float] = {}

    def wait(seconds: float) -> None:
        both[2, 1] = 7.0  # as the fetch after the minute does
        live.tracked.store.write("simulator", ID, slots, both, time.time())
        pipeline.evaluate(live.tracked.store, Outbox(live.tracked.store.redis), (), [ID], time.time())
        live.serve(slot - 60, 7.0)

    def told() -> None:
        series = next(watched)
        for at, value in list(zip(series.slots.tolist(), series.values.tolist(), strict=True))[: series.final]:
            assert kept.setdefault(at, value) == value or np.isnan(value)

    watched = live.client.watch(f"{ID}:volume", wait)
    told()
    assert slot - 60 not in kept
    while slot - 60 not in kept:
        told()
    assert kept[slot - 60] == 7.0


def test_what_the_api_refuses_is_an_error_with_its_detail(live: Live) -> None:
    with pytest.raises(ClientError, match="There is no metric x:y:volume") as refusal:
        live.client.metric("x:y:volume")
    assert refusal.value.status == 404
    with pytest.raises(ClientError, match="There is no metric"):
        next(live.client.watch("x:y:volume"))
    with pytest.raises(ClientError, match="order: "):
        next(live.client.metrics(order="name"))


def test_a_key_is_sent(store_server: StoreServer, tracked: Tracked) -> None:
    key = Keys(tracked.store.redis).create("c", "read", 0)
    with served(store_server.url, API_READS="key") as url:
        assert list(Client(url, key).metrics()) == []
        with pytest.raises(ClientError, match="needs an API key"):
            list(Client(url).metrics())


def test_an_api_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(ClientError, match="does not answer") as failure:
        Client(f"http://127.0.0.1:{free_port()}", timeout=1).metric(f"{ID}:volume")
    assert failure.value.status == 0


BODY = b'{"id":"a:b:volume","start":600,"step":60,"closed":2,"final":1,"values":[1,null,3]}'


def test_whoever_watches_looks_when_a_change_is_due_and_asks_by_etag(server: HttpServer) -> None:
    server.says(BODY, ETag='"one"', Cache_Control="public, max-age=17, stale-if-error=300")
    waits: list[float] = []
    watched = Client(server.url).watch("a:b:volume", waits.append)
    first = next(watched)
    assert first.slots.tolist() == [600, 660, 720] and np.isnan(first.values[1])
    next(watched)
    assert waits == [17.0]
    assert server.asked == ["/v1/metrics/a:b:volume", "/v1/metrics/a:b:volume?since=660"]
    next(watched)
    assert "If-None-Match" in server.headers and server.headers["If-None-Match"] == '"one"'


def test_whoever_watches_waits_longer_and_longer_while_the_api_is_away(server: HttpServer) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            server.says(BODY)

    server.says(b"{}", status=503, Retry_After="9")
    assert next(Client(server.url).watch("a:b:volume", wait)).closed == 2
    assert waits == [9.0, 9.0, 9.0]
    server.says(b"not JSON", status=429)
    waits.clear()
    assert next(Client(server.url).watch("a:b:volume", wait)).closed == 2
    assert waits == [2.0, 4.0, 8.0]


def test_alerts_come_page_by_page(server: HttpServer) -> None:
    def answer(request) -> None:
        body = (
            b'{"alerts":[{"id":"2"}],"next":null}'
            if "cursor=x" in request.path
            else b'{"alerts":[{"id":"1"}],"next":"x"}'
        )
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    server.answer = answer
    assert [alert["id"] for alert in Client(server.url).alerts(state="firing")] == ["1", "2"]
    assert server.asked[0] == "/v1/alerts?state=firing"
