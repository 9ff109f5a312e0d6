"""What notices have besides their text: links."""

from dataclasses import replace

from tests.support.sending import ALERT, World
from tracker.alerts.extras import Extras
from tracker.alerts.sender import deliver, trial
from tracker.models import Notice
from tracker.settings import load

PUBLIC = "https://tracker.example/crypto"


def sent(world: World, **environment: str) -> Notice:
    """The notice of an alert, as its channel gets it."""
    extras = Extras(load(environment))
    deliver(world.outbox, world.outlets, world.record(), extras.added)
    return world.channel.taken[-1]


def test_a_notice_links_to_its_alert_on_the_chart(world: World) -> None:
    link = sent(world, PUBLIC_URL=f"{PUBLIC}/").link
    assert link == f"{PUBLIC}/?metric=kraken:btcusd:volume&alert=jump:kraken:btcusd:volume:1699999980"


def test_without_an_address_there_is_no_link(world: World) -> None:
    notice = sent(world)
    assert notice.link == ""
    assert notice.lines() == ["it jumped"]


def test_an_alert_about_a_source_opens_without_a_metric() -> None:
    notice = replace(trial("phone", 0), alert=replace(ALERT, metric="source:kraken"))
    added = Extras(load({"PUBLIC_URL": PUBLIC})).added(notice)
    assert added.link == f"{PUBLIC}/?alert=jump:source:kraken:1699999980"


def test_a_notice_of_many_alerts_links_to_the_dashboard() -> None:
    assert Extras(load({"PUBLIC_URL": PUBLIC})).added(trial("phone", 0)).link == f"{PUBLIC}/"
