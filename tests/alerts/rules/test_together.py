"""The kind ``all``: it fires where all of its conditions are true, and says what each of them found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tracker.alerts.rules import All, Change, Condition, Ratio, Threshold, by_field, firings, of_markets, screen

COLUMNS = 1_441
BUSY = Condition("volume", Ratio(factor=3))
RISE = Condition("price", Change(percent=2, over=300, direction="up"))
BUSY_RISE = All(name="busy-rise", all=(BUSY, RISE))


def market(price=(), volume=()):
    """(price, volume) of a day at 100 each, which ends with these values: (2, COLUMNS)."""
    both = np.full((2, COLUMNS), 100.0)
    for row, newest in zip(both, (price, volume), strict=True):
        row[COLUMNS - len(newest) :] = newest
    return both


def found(both, rule=BUSY_RISE, **options):
    """The columns, counted from the end, of the edges of one market."""
    series = of_markets(["x:ab"], both, 60, rule.field)
    return [edge.column - both.shape[1] for _, edge in firings(series, [rule], **options)]


def test_all_conditions_must_be_true_in_one_slot():
    assert found(market([102.1], [301])) == [-1]
    assert found(market([102.0], [301])) == []
    assert found(market([102.1], [300])) == []
    assert found(market([102.1, 100], [100, 301])) == []
    assert found(market([102.1, 102.1], [100, 320])) == [-1]


def test_it_is_over_when_one_condition_is_clear_and_goes_on_between():
    # given an edge, a slot in which one condition is neither above nor clear, and both again
    assert found(market([103, 101.5, 103], [400, 400, 400]), steps=3) == [-3]
    # and one in which the price has fallen back
    assert found(market([103, 100, 103], [400, 400, 400]), steps=3) == [-3, -1]


def test_a_condition_without_a_baseline_decides_nothing():
    both = market([102.1], [301])
    both[1, -61:-31] = np.nan
    assert found(both) == [-1]
    both[1, -31] = np.nan
    assert found(both) == []
    both = market([102.1], [np.nan])
    assert found(both) == []


def test_the_whole_may_have_to_last():
    rule = All(all=(BUSY, RISE), hold=120)
    assert found(market([102.1] * 3, [500] * 3), rule) == [-1]
    assert found(market([102.1] * 3, [100, 500, 500]), rule) == []


def test_an_alert_has_the_metric_of_the_first_condition_and_tells_all():
    series = of_markets(["x:ab"], market([103], [400]), 60, "volume")
    [(rule, edge)] = firings(series, [BUSY_RISE])
    alert = edge.alert(rule, series.metrics[edge.row], 1_700_000_040, 1_700_000_071.0)
    assert (alert.id, alert.value, alert.baseline, alert.factor, alert.window) == (
        "busy-rise:x:ab:volume:1700000040", 400, 100, 3, 3_600,
    )  # fmt: skip
    busy, rise = alert.details["conditions"]
    assert (busy["field"], busy["kind"], busy["value"], busy["baseline"], busy["samples"]) == (
        "volume", "ratio", 400, 100, 60,
    )  # fmt: skip
    assert (rise["field"], rise["value"], rise["baseline"], rise["factor"], rise["window"]) == (
        "price", 103, 100, 2, 300,
    )  # fmt: skip
    assert alert.text == (
        "x:ab:volume: volume: 400 is 4.00 x its mean of 100 over the last 60 min (60 samples), above 3 x; "
        "price: 103 is +3.00 % against 100 5 min ago, beyond 2 %"
    )
    own = All(name="own", all=(BUSY, RISE), message="{rule}: {ratio:.0f} x, {conditions}")
    assert edge.alert(own, "x:ab:volume", 60, 61.0).text.startswith("own: 4 x, volume: 400 is")


def test_its_definition_is_what_the_file_says():
    definition = All(name="a", all=(Condition("volume", Ratio(factor=4)), RISE)).definition()
    assert definition["kind"] == "all" and definition["all"] == [
        {"field": "volume", "kind": "ratio", "min_samples": 30, "min_baseline": 0.0, "factor": 4.0, "baseline": 3_600,
         "clear_factor": 2.0},
        {"field": "price", "kind": "change", "min_samples": 0, "min_baseline": 0.0, "percent": 2.0, "over": 300,
         "direction": "up", "clear_percent": None},
    ]  # fmt: skip


@pytest.mark.parametrize("conditions", [(), (BUSY,), (BUSY,) * 9, ("volume",)])
def test_there_are_some_conditions(conditions):
    with pytest.raises(ValidationError):
        All(all=conditions)


def test_globs_for_another_field_match_nothing_and_are_refused():
    with pytest.raises(ValidationError, match="globs that match a volume"):
        All(all=(BUSY, RISE), match=("kraken:*", "*:price"))
    rule = All(all=(BUSY, RISE), match=("kraken:*",))
    assert [rule.matches(f"kraken:ab:{field}") for field in ("price", "volume")] == [False, True]


def plainly(price, volume, rule):
    """The columns of all edges of ``rule``, by one loop for each condition and slot."""
    values, edges, firing = {"price": price, "volume": volume}, [], False
    newest = max((at for at in range(len(price)) if not np.isnan(price[at] + volume[at])), default=-1)
    for at in range(len(price)):
        decided = [decide(values[each.field], at, each.rule, newest) for each in rule.all]
        if all(above for above, _ in decided):
            if not firing:
                edges.append(at)
            firing = True
        elif any(clear for _, clear in decided):
            firing = False
    return edges


def decide(values, at, rule, newest):
    """(above, clear) of one condition in one slot."""
    value, final = values[at], at < newest
    width = rule.window // 60
    before = [each for each in values[max(at - width, 0) : at] if not np.isnan(each)]
    if np.isnan(value):
        return False, False
    if isinstance(rule, Threshold):
        return value > rule.above, final and value <= rule.above
    if isinstance(rule, Ratio):
        if len(before) < rule.min_samples or sum(before) <= 0:
            return False, False
        mean = sum(before) / len(before) * (1 + 1e-12)
        return value / mean > rule.factor, final and value / mean <= rule.clear_factor
    base = values[at - width] if at >= width else np.nan
    if np.isnan(base) or base <= 0:
        return False, False
    percent = (value / base - 1) * 100 / (1 + 1e-12)
    return percent > rule.percent, final and percent <= rule.percent / 2


numbers = st.sampled_from([1, 2, 3, 5, 9, 10, 27, 30, 100, np.nan]).map(float)
conditions = st.builds(
    Condition,
    st.sampled_from(["price", "volume"]),
    st.builds(Ratio, factor=st.sampled_from([1.5, 2.0]), clear_factor=st.just(1.0), baseline=st.just(180),
              min_samples=st.sampled_from([1, 2]))
    | st.builds(Change, percent=st.sampled_from([50, 100]), over=st.sampled_from([60, 180]), direction=st.just("up"))
    | st.builds(Threshold, above=st.sampled_from([2.0, 9.0])),
)  # fmt: skip


@settings(max_examples=200)
@given(
    st.integers(6, 20).flatmap(
        lambda slots: st.lists(
            st.lists(st.tuples(numbers, numbers), min_size=slots, max_size=slots), min_size=1, max_size=3
        )
    ),
    st.lists(conditions, min_size=2, max_size=3),
)
def test_many_markets_at_once_find_what_plain_loops_find(rows, some):
    # given markets, some of whose slots are missing in both fields
    both = np.array(rows).transpose(2, 0, 1)  # (fields, markets, slots)
    both[:, np.isnan(both).any(axis=0)] = np.nan
    rule, slots = All(all=tuple(some)), both.shape[2]
    [(field, group)] = by_field([rule]).items()
    series = of_markets([f"x:m{number}" for number in range(len(rows))], both.reshape(-1, slots), 60, field)
    # when
    edges = [(edge.row, edge.column) for _, edge in firings(series, group, slots - 1)]
    # then
    expected = [(row, at) for row in range(len(rows)) for at in plainly(both[0, row], both[1, row], rule)]
    assert sorted(edges) == expected
    assert {row for row, _ in edges} <= set(screen(series, group, slots - 1).tolist())
