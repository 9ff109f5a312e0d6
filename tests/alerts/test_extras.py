"""What notices have besides their text: what is around the alert, and links."""

import socket
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.sending import ALERT, World
from tests.support.servers import StoreServer
from tests.support.tracked import NOW, SLOTS, Tracked
from tracker.alerts import extras
from tracker.alerts.channels import ConfiguredChannel, log
from tracker.alerts.extras import Extras
from tracker.alerts.sender import deliver, trial
from tracker.models import Alert, Notice
from tracker.settings import load

PUBLIC = "https://tracker.example/crypto"


@pytest.fixture
def tracked(store_server: StoreServer) -> Tracked:
    """Three exchanges have the pair btcusd. Each trades 10 a minute, and 20 in the newest minute that has ended."""
    tracked = Tracked(store_server.url)
    markets = ["kraken:btcusd", "binance:btcusd", "okx:btcusd", "okx:ethusd"]
    tracked.watch(*markets)
    volumes = np.full(len(SLOTS), 10.0)
    volumes[-2:] = 20, 99
    for number, market in enumerate(markets):
        tracked.put(market, volumes * (number + 1), price=100 + number)
    tracked.evaluate(*markets)
    return tracked


def sent(world: World, alert: Alert = ALERT, **settings: Any) -> Notice:
    """The notice of an alert, as its channel gets it."""
    url = settings.pop("redis_url", "")
    given = load({"REDIS_URL": url or "redis://127.0.0.1:1/0", "PUBLIC_URL": settings.pop("public_url", "")})
    added = Extras(replace(given, clock_start=NOW, clock_speed=0)).added
    deliver(world.outbox, world.outlets, world.record(alert), added)
    return world.channel.taken[-1]


def test_a_notice_links_to_its_alert_on_the_chart(world: World) -> None:
    link = sent(world, public_url=f"{PUBLIC}/").link
    assert link == f"{PUBLIC}/?metric=kraken:btcusd:volume&alert=jump:kraken:btcusd:volume:1699999980"


def test_without_an_address_there_is_no_link(world: World) -> None:
    notice = sent(world)
    assert notice.link == ""
    assert notice.lines() == ["it jumped"]


def test_an_alert_about_a_source_opens_without_a_metric_and_has_no_context(world: World, tracked: Tracked) -> None:
    notice = sent(world, replace(ALERT, metric="source:kraken"), redis_url=tracked.url, public_url=PUBLIC)
    assert notice.link == f"{PUBLIC}/?alert=jump:source:kraken:1699999980"
    assert notice.context == ()


def test_a_notice_of_many_alerts_links_to_the_dashboard(world: World) -> None:
    assert Extras(load({"PUBLIC_URL": PUBLIC})).added(trial("phone", 0), world.outlet).link == f"{PUBLIC}/"


def test_a_notice_about_a_volume_tells_price_rank_and_other_exchanges(world: World, tracked: Tracked) -> None:
    assert sent(world, redis_url=tracked.url).context == (
        "price 100 usd, +0.00 % in 1 h, rank 4/4 by standard deviation of volume",
        "volume elsewhere: okx 60 btc (2.0 x its last hour), binance 40 btc (2.0 x its last hour)",
    )


def test_a_notice_about_a_price_tells_how_far_the_others_are_from_it(world: World, tracked: Tracked) -> None:
    notice = sent(world, replace(ALERT, metric="kraken:btcusd:price"), redis_url=tracked.url)
    assert notice.context[1] == "price elsewhere: okx 102 usd (+2.00 %), binance 101 usd (+1.00 %)"


def test_an_exchange_without_a_value_for_minutes_is_left_out(world: World, tracked: Tracked) -> None:
    tracked.watch("kraken:btcusd", "binance:btcusd", "okx:btcusd", "gone:btcusd")
    tracked.put("gone:btcusd", np.full(len(SLOTS) - 8, 10.0), SLOTS[:-8])
    tracked.store.write("simulator", "okx:btcusd", SLOTS[-8:], np.full((8, 2), np.nan), NOW)
    [_, elsewhere] = sent(world, redis_url=tracked.url).context
    assert elsewhere == "volume elsewhere: binance 40 btc (2.0 x its last hour)"


def test_an_exchange_without_trades_in_the_last_hour_is_told_without_a_share(world: World, tracked: Tracked) -> None:
    quiet = np.zeros(len(SLOTS))
    quiet[-2:] = 5
    tracked.put("okx:btcusd", quiet)
    assert sent(world, redis_url=tracked.url).context[1].endswith("okx 5 btc")


def test_only_what_tells_that_it_fires_has_context(world: World, tracked: Tracked) -> None:
    added = Extras(tracked.settings).added
    for event, is_detailed in {"firing": True, "reminder": True, "resolved": False}.items():
        notice = Notice(ALERT.id, ALERT.id, event, "warning", "jump", "it jumped", NOW, ALERT)
        assert bool(added(notice, world.outlet).context) == is_detailed
    channel = ConfiguredChannel(name="log", kind="log", channel=log.Channel())
    assert added(replace(notice, event="firing"), channel).context == ()


@pytest.mark.parametrize("seconds", [0.2, 60])
def test_a_store_that_does_not_answer_leaves_the_notice_without_context(
    world: World, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(extras, "PATIENCE", seconds)  # a long one is cut short
    with socket.create_server(("127.0.0.1", 0)) as silent:
        notice = sent(world, redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
    assert notice.lines() == ["it jumped"]
