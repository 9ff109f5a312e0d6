"""What /livez, /readyz and /healthz say of fresh data, late data, and a store that is away."""

from pathlib import Path

from tests.support.servers import StoreServer
from tests.support.tracked import NOW, SLOTS, Tracked

MARKET = "kraken:ethbtc"


def test_a_source_without_data_is_waiting_and_no_failure(tracked: Tracked) -> None:
    assert tracked.get("/readyz") == {"status": "ok", "sources": {"simulator": "waiting"}}


def test_data_is_late_after_two_intervals_and_ready_again_with_the_next(tracked: Tracked) -> None:
    tracked.fill([MARKET])
    assert tracked.get("/readyz") == {"status": "ok", "sources": {"simulator": "fresh"}}

    tracked.now = float(SLOTS[-1]) + 120
    assert tracked.client.get("/readyz").status_code == 200
    tracked.now = float(SLOTS[-1]) + 121
    answer = tracked.client.get("/readyz")
    why = "simulator: no data for 121 s, expected within 120 s"
    assert answer.status_code == 503 and answer.json["detail"] == why
    health = tracked.get("/healthz")
    assert (health["ready"], health["reasons"], health["sources"]["simulator"]["state"]) == (False, [why], "late")
    assert tracked.get("/livez") == {"status": "ok"}

    tracked.store.write("simulator", MARKET, SLOTS[:0], SLOTS[:0].reshape(0, 2), tracked.now, new=False)
    assert tracked.client.get("/readyz").status_code == 200


def test_without_its_store_the_api_lives_and_is_not_ready(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server:
        client = Tracked(server.url, NOW).client
        assert client.get("/readyz").status_code == 200
        server.kill()
        answer = client.get("/readyz")
        assert answer.status_code == 503 and "The store does not answer" in answer.json["detail"]
        assert client.get("/livez").json == {"status": "ok"}
