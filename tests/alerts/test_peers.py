"""Prices are compared with those of other exchanges in the store, whatever markets an evaluation is given."""

import numpy as np
import pytest

from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.alerts.peers import LIFE, Peers
from tracker.alerts.rules import Spread
from tracker.models import Market

NOW = 1_700_000_065.0  # 25 s into a slot
OFF = Spread(name="off", percent=1, match=("*:btcusd:price",), cooldown=0)
EXCHANGES = "abcd"


class Exchanges:
    """Four exchanges that trade btcusd at 100; the test sets the price of a minute, and evaluates one of them."""

    def __init__(self, store):
        self.store, self.outbox, self.peers = store, Outbox(store.redis), Peers(store, ["one", "two"])
        self.slots = store.ring.slots(NOW)
        self.watch("one", *(f"{each}:btcusd" for each in "ab"))
        self.watch("two", *(f"{each}:btcusd" for each in "cd"))
        for each in EXCHANGES:
            self.write(each, self.slots[-10:], [100.0] * 10)

    def watch(self, source, *markets):
        self.store.watch(source, [Market(market, "btc", "usd") for market in markets])

    def write(self, exchange, slots, prices, settled=None, volume=1.0):
        both = np.column_stack([prices, np.full(len(prices), volume)])
        self.store.write(
            "one",
            f"{exchange}:btcusd",
            np.array(slots),
            both,
            max(NOW, float(slots[-1]) + 25),
            new=True,
            settled=settled,
        )

    def closes(self, settled=None, **prices):
        """Sets prices of the newest closed slot."""
        for exchange, price in prices.items():
            self.write(exchange, self.slots[-2:-1], [price], settled)

    def evaluated(self, *exchanges, rules=(OFF,), now=NOW):
        markets = [f"{each}:btcusd" for each in exchanges]
        return pipeline.evaluate(self.store, self.outbox, rules, markets, now, peers=self.peers).alerts


@pytest.fixture
def exchanges(store):
    return Exchanges(store)


def test_a_price_that_is_off_is_found_by_the_evaluation_of_its_market_alone(exchanges):
    exchanges.closes(a=103.0)
    assert exchanges.evaluated("b", "c", "d") == []
    [alert] = exchanges.evaluated("a")
    assert (alert.metric, alert.slot, alert.baseline, alert.samples) == (
        "a:btcusd:price", exchanges.slots[-2], 100, 4,
    )  # fmt: skip
    assert exchanges.outbox.get(alert.id).details == {"median": 100, "exchanges": 4, "percent": pytest.approx(3)}
    assert exchanges.evaluated("a", "b") == []


def test_it_is_over_when_the_prices_are_together_again(exchanges):
    exchanges.closes(a=103.0)
    [alert] = exchanges.evaluated("a")
    slots = exchanges.slots[-1] + 60 * np.arange(2)
    for each in EXCHANGES:
        exchanges.write(each, slots, [100.0, 100.0])
    exchanges.evaluated("a", now=NOW + 60)
    assert exchanges.outbox.get(alert.id).state == "resolved"


def test_the_slot_in_progress_and_prices_that_are_not_final_do_not_count(exchanges):
    exchanges.write("a", exchanges.slots[-1:], [103.0])
    assert exchanges.evaluated("a") == []
    # given a closed slot for which only three of the four were asked again
    exchanges.closes(a=103.0)
    exchanges.closes(c=100.0, d=100.0, settled=int(exchanges.slots[-2]))
    assert exchanges.evaluated("a") == []
    exchanges.closes(d=100.0)
    [alert] = exchanges.evaluated("a")
    assert alert.samples == 3


def test_two_exchanges_are_too_few(exchanges):
    exchanges.watch("two")
    exchanges.closes(a=103.0)
    assert exchanges.evaluated("a") == []


def test_watch_lists_are_read_once_a_minute(exchanges):
    exchanges.evaluated("a")
    exchanges.watch("two")
    exchanges.closes(a=103.0)
    [alert] = exchanges.evaluated("a", now=NOW + LIFE - 31)
    assert alert.samples == 4
    exchanges.closes(b=96.0)
    assert exchanges.evaluated("b", now=NOW + LIFE) == []


def test_each_market_of_the_pairs_is_read_once_and_without_a_rule_for_them_none(exchanges, monkeypatch):
    asked = []
    tails = exchanges.store.tails
    monkeypatch.setattr(exchanges.store, "tails", lambda markets, *rest: asked.append(markets) or tails(markets, *rest))
    exchanges.evaluated("a", rules=())
    assert asked == []
    exchanges.evaluated("a", rules=(Spread(percent=1, match=("a:ethusd:price",)),))
    assert asked == [[]]
    exchanges.evaluated("a", "b", rules=(OFF,))
    assert asked[1:] == [[f"{each}:btcusd" for each in EXCHANGES]]


def test_a_long_hold_is_looked_back_on(exchanges):
    held = Spread(name="held", percent=1, hold=70 * 60)
    slots = exchanges.slots[-72:-1]  # one more than the hold
    for each in EXCHANGES:
        exchanges.write(each, slots, [103.0 if each == "a" else 100.0] * len(slots))
    [alert] = exchanges.evaluated("a", rules=(held,))
    assert alert.rule == "held"
