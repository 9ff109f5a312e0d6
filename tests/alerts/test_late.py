"""Edges in slots that came too late: recorded once, marked, and told in one digest to the channels that want it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.days import HIGH, MARKETS, Days, trades
from tests.support.hand_driven import START
from tests.support.redis_servers import Cluster
from tracker import pipeline
from tracker.alerts import late
from tracker.alerts.silences import Silences
from tracker.errors import SourceError
from tracker.series.ring import Ring
from tracker.store.connection import connect
from tracker.store.series import LATE, Store

HOUR = 3_600


def test_what_happened_while_the_tracker_was_away_is_recorded_once_and_told_in_one_digest(store):
    days = Days(store, {MARKETS[0]: trades([20, 25, 40]), MARKETS[1]: trades([30]), MARKETS[2]: trades([])})
    assert days.tick() == []  # the first backfill
    found = days.tick(45)
    assert found == [(MARKETS[0], 20), (MARKETS[0], 25), (MARKETS[1], 30), (MARKETS[0], 40)]
    for _ in range(3):  # a task may run twice
        assert days.evaluate().late == [] == days.tick(0)
    assert [(alert.late, alert.state) for alert in days.outbox.newest()] == [(True, "resolved")] * 4
    # nobody is told at once, and the digest comes when no more is found
    assert days.told(days.phone) == []
    days.send(100)
    [digest] = days.phone.taken
    assert (digest.event, digest.title) == ("digest", "While away, 4 edges in 21 minutes")
    assert digest.text.splitlines()[:3] == [
        "2023-11-14 22:34 UTC to 2023-11-14 22:54 UTC, none still firing",
        "rules: 4 x high",
        f"metrics: 3 x {MARKETS[0]}:volume, 1 x {MARKETS[1]}:volume",
    ]
    assert digest.text.count("\nover: ") == 4 and digest.severity == "info"
    days.send(200)
    assert len(days.phone.taken) == 1 and days.bot.taken == []
    assert store.redis.zcard("{dt1}:due") == 0 and not store.redis.exists(LATE)


def test_the_first_backfill_of_a_market_is_no_absence_even_in_parts(store):
    days = Days(store, {MARKETS[0]: trades([*range(-1_400, 0, 10)])})
    whole = days.exchange.candles
    days.exchange.candles = lambda market, since: replace(
        answer := whole(market, since), slots=answer.slots[:500], values=answer.values[:500],
        until=int(answer.slots[:500][-1]),
    )  # fmt: skip
    for _ in range(5):
        assert days.tick() == []
    days.exchange.candles = whole
    assert days.tick() == [] and days.outbox.newest() == []
    assert not store.redis.exists(LATE)


@pytest.mark.parametrize("who", ["evaluation", "source", "held back", "in parts"])
def test_it_does_not_matter_who_was_away(store, who):
    days = Days(store, {MARKETS[0]: trades([10, 25])})
    days.tick()
    whole = days.exchange.candles
    for _ in range(30):
        days.clock.time += 60
        if who == "source":
            days.exchange.fails = {MARKETS[0]: SourceError("status_503", "away")}
        elif who == "held back":  # its newest candles stay the same, as with a stuck cache
            days.exchange.late += 60
        elif who == "in parts":
            days.exchange.candles = lambda market, since: replace(
                answer := whole(market, since), slots=answer.slots[:2], values=answer.values[:2], until=since
            )
        if who != "in parts":
            days.fetch()
        if who != "evaluation":
            assert days.evaluate().late == []
    if who == "in parts":
        assert days.tick(0) == []
    days.exchange.fails, days.exchange.late, days.exchange.candles = {}, 0, whole
    assert days.tick() == [(MARKETS[0], 10), (MARKETS[0], 25)]
    assert days.tick() == []


def test_a_worker_that_dies_between_loses_no_late_edge(store, monkeypatch):
    days = Days(store, {MARKETS[0]: trades([10, 20])})
    days.tick()
    days.clock.time += 30 * 60
    days.fetch()
    record = late.Late.record
    monkeypatch.setattr(late.Late, "record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        days.evaluate()
    monkeypatch.setattr(late.Late, "record", record)
    assert days.tick() == [(MARKETS[0], 10), (MARKETS[0], 20)]


def test_what_still_fires_is_told_in_the_digest_and_so_is_its_end(store):
    days = Days(store, {MARKETS[0]: trades(range(20, 50))})
    days.tick()
    assert days.tick(40) == [(MARKETS[0], 20)]
    days.send(100)
    assert "1 still firing" in days.phone.taken[0].text and days.phone.taken[0].severity == "warning"
    days.tick(20)
    days.tick()
    days.send(30)
    assert [event for event, _ in days.told(days.phone)] == ["digest", "resolved"]
    assert days.bot.taken == []


def test_what_ends_before_the_digest_is_told_as_over_in_it_and_not_again(store):
    days = Days(store, {MARKETS[0]: trades(range(20, 42))})
    days.tick()
    assert days.tick(40) == [(MARKETS[0], 20)]
    [alert] = days.outbox.newest()
    assert alert.state == "firing"
    assert days.outbox.resolve(alert.id, days.clock.now(), ["phone", "bot"]) == []
    days.send(200)
    assert [event for event, _ in days.told(days.phone)] == ["digest"]
    assert "\nover: " in days.phone.taken[0].text


def test_a_late_alert_holds_back_none_that_is_not_late(store):
    rule = HIGH.model_copy(update={"cooldown": 10 * HOUR})
    days = Days(store, {MARKETS[0]: trades([20, 35, 40])})
    days.tick()
    days.clock.time += 40 * 60
    days.fetch()
    found = pipeline.evaluate(store, days.outbox, [rule], [MARKETS[0]], days.clock.now(), wants_late=("phone",))
    assert [(alert.slot - START) // 60 for alert in found.late] == [20]  # among themselves they have the cooldown
    assert [(alert.slot - START) // 60 for alert in found.alerts] == [40]
    assert found.rows[:2] == [f"{found.alerts[0].id}/phone/firing", f"{found.alerts[0].id}/bot/firing"]


def test_a_silence_holds_back_what_came_late_too(store):
    days = Days(store, {MARKETS[0]: trades(range(20, 900)), MARKETS[1]: trades([20])})
    days.tick()
    silence = Silences(store.redis).add(("*",), days.clock.now() + 2 * HOUR, "maintenance", days.clock.now())
    assert len(days.tick(40)) == 2
    days.send(300)
    assert days.phone.taken == []
    Silences(store.redis).remove(silence.id)
    days.send(30)
    assert [(notice.event, notice.key) for notice in days.phone.taken] == [
        ("firing", f"high:{MARKETS[0]}:volume:{START + 20 * 60}")
    ]


def test_a_long_absence_is_bounded(store, monkeypatch):
    monkeypatch.setattr(late, "AT_ONCE", 30)
    monkeypatch.setattr(late, "MOST", 40)
    monkeypatch.setattr("tracker.alerts.sender.MOST", 40)
    days = Days(store, {MARKETS[0]: trades([*range(10, 300, 4)])})
    days.tick()
    assert [at for _, at in days.tick(320)] == [*range(10, 300, 4)][-30:]
    days.exchange.trades = {MARKETS[1]: days.exchange.trades[MARKETS[0]]}
    store.note_late(MARKETS[1], START)
    assert len(days.tick(0)) == 10
    days.send(200)
    [digest] = days.phone.taken
    assert digest.title.startswith("While away, 40 edges or more in ") and digest.text.endswith("and 30 more")


def test_two_absences_are_two_digests(store):
    days = Days(store, {MARKETS[0]: trades([20, 90])})
    days.tick()
    for _ in range(2):
        days.tick(60)
        days.send(100)
    assert [title for _, title in days.told(days.phone)] == ["While away, 1 edge in 1 minute"] * 2


def test_a_late_edge_that_is_found_while_the_digest_is_sent_is_in_another_one(store):
    days = Days(store, {MARKETS[0]: trades([20]), MARKETS[1]: trades([21])})
    markets = days.exchange.trades
    days.tick()
    days.exchange.trades = {MARKETS[0]: markets[MARKETS[0]]}
    days.tick(40)
    days.clock.time += late.QUIET
    [row] = [row.id for row in days.outbox.deliveries.pending()]
    days.outbox.deliveries.claim(row, 15)
    days.clock.time -= 1
    days.exchange.trades = markets
    assert days.tick(0) == [(MARKETS[1], 21)]
    days.send(200)
    assert [title for _, title in days.told(days.phone)] == ["While away, 1 edge in 1 minute"] * 2


ABSENCES = st.sampled_from(["tick", "tick", "fetch", "evaluate", "away", "hold back", "fail"])


@given(st.sets(st.integers(5, 150), max_size=12), st.lists(st.tuples(ABSENCES, st.integers(1, 20)), max_size=7))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example({5}, [("tick", 2), ("hold back", 3), ("evaluate", 3)])
@example({5}, [("fetch", 5), ("away", 1)])
def test_every_edge_becomes_one_alert_whoever_was_away(store, spikes, steps):
    store.redis.flushall()
    market = {slot: trade for slot, trade in trades(spikes).items() if START - HOUR <= slot < START + 4 * HOUR}
    days = Days(store, {MARKETS[0]: market})
    days.tick()
    for who, minutes in [*steps, ("tick", 2)]:
        for _ in range(1 if who == "away" else minutes):
            days.clock.time += 60 * (minutes if who == "away" else 1)
            days.exchange.late = days.exchange.late + 60 if who == "hold back" else 0
            days.exchange.fails = {MARKETS[0]: SourceError("status_503", "away")} if who == "fail" else {}
            if who not in ("away", "evaluate"):
                days.fetch()
            if who not in ("away", "fetch"):
                days.evaluate()
    seen = int(days.clock.time - START) // 60
    alerts = [(alert.slot - START) // 60 for alert in days.outbox.newest(1_000)]
    assert sorted(alerts) == [at for at in sorted(spikes) if at < seen and at - 1 not in spikes]
    assert days.outbox.firing().keys() <= {f"high:{MARKETS[0]}:volume"}


@pytest.mark.slow
def test_a_cluster_keeps_it_too(tmp_path: Path) -> None:
    with Cluster(tmp_path, replicas=0) as servers:
        days = Days(Store(connect(servers.url), Ring()), {MARKETS[0]: trades([20, *range(30, 50)])})
        days.tick()
        assert days.tick(40) == [(MARKETS[0], 20), (MARKETS[0], 30)]
        assert days.tick(0) == []
        days.send(100)
        days.tick(20)
        days.tick()
        days.send(30)
        assert [event for event, _ in days.told(days.phone)] == ["digest", "resolved"]
