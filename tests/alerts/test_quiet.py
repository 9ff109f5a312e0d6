"""Quiet hours: when they are, also over changes of the clocks, and what they hold back."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support.redis_servers import Cluster
from tests.support.sending import ALERT, NOW, World, resolve
from tracker.alerts.quiet import DAYS, Quiet
from tracker.alerts.sender import due
from tracker.store.connection import connect

#: Zones with unusual changes: just after midnight, by half an hour, by two hours, at midnight, a day left out, none.
ODD = (
    "America/St_Johns", "Australia/Lord_Howe", "Antarctica/Troll", "America/Havana", "America/Sao_Paulo",
    "Pacific/Apia", "Asia/Kolkata",
)  # fmt: skip
ZONES = sorted(available_timezones() - {"localtime"})
MINUTE, WEEK = timedelta(minutes=1), timedelta(weeks=1)
WEEKS = [date(1973, 1, 1) + number * WEEK for number in range(3_300)]


def quiet(begin="22:00", end="07:00", zone="Europe/Berlin", **options):
    return Quiet.read({"from": begin, "to": end, "zone": zone, **options}, lambda how, text: text, name="night")


def moment(text):
    """Unix seconds of a time such as ``2027-03-28 01:00 UTC``."""
    return datetime.strptime(text.replace("UTC", "+0000"), "%Y-%m-%d %H:%M %z").timestamp()


@pytest.mark.parametrize(
    ("hours", "during", "begin", "end"),
    [
        (("22:00", "07:00"), "2026-11-28 23:00 UTC", "2026-11-28 21:00 UTC", "2026-11-29 06:00 UTC"),
        (("12:30", "13:15"), "2026-11-28 12:00 UTC", "2026-11-28 11:30 UTC", "2026-11-28 12:15 UTC"),
        # a night that loses an hour, and one that has an hour more
        (("22:00", "07:00"), "2027-03-28 01:00 UTC", "2027-03-27 21:00 UTC", "2027-03-28 05:00 UTC"),
        (("22:00", "07:00"), "2026-10-25 01:00 UTC", "2026-10-24 20:00 UTC", "2026-10-25 06:00 UTC"),
        # 02:30 does not exist: the clocks go from 02:00 to 03:00 at 01:00 UTC
        (("02:30", "07:00"), "2027-03-28 03:00 UTC", "2027-03-28 01:00 UTC", "2027-03-28 05:00 UTC"),
        (("22:00", "02:30"), "2027-03-28 00:30 UTC", "2027-03-27 21:00 UTC", "2027-03-28 01:00 UTC"),
        # 02:30 exists twice, at 00:30 and 01:30 UTC: the first one counts
        (("02:30", "07:00"), "2026-10-25 01:00 UTC", "2026-10-25 00:30 UTC", "2026-10-25 06:00 UTC"),
        (("22:00", "02:30"), "2026-10-25 00:00 UTC", "2026-10-24 20:00 UTC", "2026-10-25 00:30 UTC"),
    ],
)
def test_the_hours_begin_and_end_by_the_clocks_of_their_zone(hours, during, begin, end):
    found = quiet(*hours)
    assert found.hours(moment(during)) == (moment(begin), moment(end))
    assert found.hours(moment(begin)) and not found.hours(moment(begin) - 1)
    assert found.hours(moment(end) - 1) and not found.hours(moment(end))


def test_hours_go_on_when_the_clocks_go_back_over_midnight():
    """In St. John's they went from 00:01 to 23:01 of the day before, at 02:31 UTC."""
    found = quiet("00:00", "06:00", "America/St_Johns").hours(moment("2010-11-07 02:45 UTC"))
    assert found == (moment("2010-11-07 02:30 UTC"), moment("2010-11-07 09:30 UTC"))


def test_hours_that_a_change_leaves_out_are_none_that_day():
    lost = quiet("02:15", "02:45")
    assert not any(lost.hours(moment("2027-03-28 00:00 UTC") + minute * 60) for minute in range(240))


def test_days_are_those_on_which_the_hours_begin():
    weekend = quiet("22:00", "07:00", "UTC", days=["sat"])  # 2026-11-28 is a Saturday
    assert weekend.hours(moment("2026-11-29 06:59 UTC"))
    assert not weekend.hours(moment("2026-11-28 06:59 UTC"))
    assert not weekend.hours(moment("2026-11-29 22:00 UTC"))


def test_the_same_time_twice_is_a_whole_day():
    weekend = quiet("00:00", "00:00", "UTC", days=["sat", "sun"])
    assert weekend.hours(moment("2026-11-29 12:00 UTC")) == (
        moment("2026-11-29 00:00 UTC"),
        moment("2026-11-30 00:00 UTC"),
    )
    assert not weekend.hours(moment("2026-11-30 00:00 UTC"))


@given(st.data())
@settings(max_examples=60, deadline=None, phases=[Phase.generate])  # to make an example smaller takes minutes
def test_hours_agree_with_a_clock_that_is_read_every_minute(data):
    zone = ZoneInfo(data.draw(st.sampled_from(ODD) | st.sampled_from(ZONES)))
    changes = [day for day in WEEKS if noon(day, zone).utcoffset() != noon(day + WEEK, zone).utcoffset()]
    first = data.draw(st.sampled_from(changes or WEEKS)) - timedelta(2)
    start = int(noon(first, zone).timestamp())
    minutes = range(start, start + 10 * 86_400, 60)
    shown = [datetime.fromtimestamp(at, zone).replace(tzinfo=None) for at in minutes]

    jumps = [shown[at] for at in range(1, len(shown)) if shown[at] - shown[at - 1] != MINUTE]
    near = st.integers(-90, 90).map(lambda number: ((jumps or shown)[0] + MINUTE * number).time())
    times = (near | st.times()).map(lambda at: at.strftime("%H:%M"))
    days = data.draw(st.lists(st.sampled_from(DAYS), min_size=4, max_size=6, unique=True))
    found = quiet(data.draw(times), data.draw(times), zone.key, days=days)
    is_quiet = [False] * len(minutes)
    for day in (first + timedelta(number) for number in range(-1, 12)):  # Samoa once left out a day
        if DAYS[day.weekday()] in found.days:
            begin = since(shown, datetime.combine(day, found.begin))
            end = since(shown, datetime.combine(day + timedelta(found.end <= found.begin), found.end))
            is_quiet[begin:end] = [True] * (end - begin)

    turns = [at for at in range(1, len(minutes)) if is_quiet[at] != is_quiet[at - 1]]
    for at in sorted({*range(0, len(minutes), 97), *turns, *(at - 1 for at in turns)}):
        assert bool(found.hours(minutes[at])) == is_quiet[at], (found, shown[at])


def noon(day, zone):
    return datetime.combine(day, time(12), zone)


def since(shown, local):
    """The first minute at which the clock shows ``local`` or a later time."""
    return next((at for at, reading in enumerate(shown) if reading >= local), len(shown))


#: NOW is 22:13:20 UTC on a Tuesday.
TONIGHT = quiet("22:00", "22:20", "UTC")
END = NOW + 400


def test_what_still_fires_when_quiet_hours_end_is_told_once(world):
    world.quiet = [TONIGHT]
    found = world.deliver(row := world.record())
    assert found.state == "silenced" and "quiet hours night, 22:00 to 22:20 UTC" in found.attempts[0].detail
    world.run(END - NOW - 1)
    assert world.told == []
    world.run(100)
    assert world.told == [("firing", ALERT.id)]
    assert world.outbox.deliveries.get(row).state == "delivered"


def test_what_is_over_before_quiet_hours_end_is_never_told_and_whoever_was_told_before_hears_the_end(world):
    told = replace(ALERT, metric="kraken:ethusd:volume")
    world.deliver(world.record(told))
    world.quiet = [TONIGHT]
    world.deliver(world.record())
    for id in (told.id, ALERT.id):
        world.deliver(resolve(world, id))
    world.run(600)
    assert world.told == [("firing", told.id), ("resolved", told.id)]


def test_quiet_hours_hold_back_what_they_match_except_some_severities(world):
    world.quiet = [quiet("22:00", "22:20", "UTC", match="kraken:*", except_severity=["critical"])]
    for alert in (
        replace(ALERT, severity="critical"),
        replace(ALERT, metric="bitfinex:btcusd:volume"),
        replace(ALERT, rule="x"),
    ):
        world.deliver(world.record(alert))
    assert [notice.alert.severity for notice in world.channel.sent] == ["critical", "warning"]


def test_hours_that_follow_on_each_other_are_told_after_the_last(world):
    world.quiet = [TONIGHT, quiet("22:20", "22:30", "UTC")]
    world.deliver(world.record())
    world.run(END - NOW + 500)
    assert world.told == []
    world.run(200)
    assert world.told == [("firing", ALERT.id)]


def test_quiet_hours_that_are_taken_out_of_the_file_are_over(world):
    world.quiet = [TONIGHT]
    world.deliver(world.record())
    world.quiet = []
    world.run(2)
    assert world.told == [("firing", ALERT.id)]


def test_the_quiet_hours_in_force_are_listed_where_the_file_is_not_known(world, redis):
    elsewhere = World(redis).silences
    world.quiet = [TONIGHT]
    assert elsewhere.listed(NOW) == []
    due(world.outbox, 1)
    [listed] = elsewhere.listed(NOW)
    assert (listed.id, listed.until, listed.by) == (f"quiet:night:{NOW - 800:.0f}", END, "the rules file")
    assert elsewhere.listed(END) == []
    assert 0 < redis.ttl("{dt1}:quiet") <= 60


@pytest.mark.slow
def test_a_cluster_holds_back_too(tmp_path):
    with Cluster(tmp_path, replicas=0) as servers:
        world = World(connect(servers.url))
        world.quiet = [TONIGHT]
        id = world.silence(1_000, match="*:volume")
        world.deliver(world.record())
        [night] = [each.id for each in world.silences.all(NOW) if each.id != id]
        assert [back.count for back in world.outbox.deliveries.held.back([night, id])] == [1, 0]
        world.run(END - NOW + 10)
        assert [back.count for back in world.outbox.deliveries.held.back([night, id])] == [0, 1]
        assert {each.id for each in World(connect(servers.url)).silences.listed(NOW)} == {night, id}
        world.silences.end_at(id, world.time + 5, world.time)
        world.run(10)
        assert world.told == [("firing", ALERT.id)]
