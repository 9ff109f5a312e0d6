"""GET /v1/sources: answers fit the document."""

from api.v1.sources import Sources
from tests.support.tracked import NOW, Tracked
from tracker.models import Metric


def test_sources_are_told_as_promised(tracked: Tracked) -> None:
    tracked.fill(["kraken:btcusd", "kraken:ethusd"])
    tracked.store.failed("simulator", NOW, "not_json", "kraken:btcusd: not_json: <html>")
    answer = tracked.get("/v1/sources")
    Sources.model_validate(answer)
    [source] = answer["sources"]
    assert source["name"] == source["kind"] == "simulator"
    assert source["state"] == "ok"
    assert source["markets"] == {"tracked": 2, "stale": 0, "of_catalogue": None}
    assert source["budget"] == {"limit": None, "period": None, "used": None, "deferred": 0}
    assert source["breaker"] == {"state": "closed", "failures": 0, "until": None}
    assert source["refused"] == {"not_json": 1}
    assert source["last_error_at"] == NOW


def test_a_stale_market_is_a_state_of_its_source_and_no_alert(tracked: Tracked) -> None:
    tracked.fill(["kraken:btcusd"])
    tracked.watch("kraken:btcusd", "kraken:ethusd")
    [source] = tracked.get("/v1/sources")["sources"]
    assert (source["state"], source["reason"]) == ("degraded", "1 of 2 markets are stale")
    assert tracked.store.redis.exists("{dt1}:alerts") == 0
    assert Metric("kraken:ethusd", "price").id not in tracked.store.ranking("price")


def test_parameters_are_refused(tracked: Tracked) -> None:
    assert tracked.client.get("/v1/sources?state=ok").status_code == 422


def test_it_is_in_the_openapi_document(tracked: Tracked) -> None:
    assert "/v1/sources" in tracked.get("/v1/openapi.json")["paths"]
