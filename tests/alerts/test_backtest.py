"""The backtest of a rule finds the same alerts as a live evaluation of the same minutes."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.candle_files import FOLDER
from tests.support.stack import CLEAN
from tests.support.stored import write_slot
from tracker import pipeline
from tracker.alerts import backtest
from tracker.alerts.backtest import Past, of_files, report, run, run_ranks
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import All, Change, Condition, Ranked, Ratio, Silent, Spread, Threshold
from tracker.errors import TrackerError
from tracker.models import FIELDS, Market
from tracker.settings import load

START = 1_700_000_040
ROOT = Path(__file__).parents[2]


def write(folder, pair, volumes, start=START, price=1):
    lines = [
        f"{start + 60 * at},{price},{price},{price},{price},{volume}"
        for at, volume in enumerate(volumes)
        if volume is not None
    ]
    text = "\n".join(["open_time,open,high,low,close,volume", *lines]) + "\n"
    (folder / f"{pair}.csv.gz").write_bytes(gzip.compress(text.encode()))


def test_a_file_is_every_minute_and_silent_ones_have_no_volume(tmp_path):
    write(tmp_path, "ethbtc", [5, None, None, 7])
    write(tmp_path, "xmrbtc", [1, 2], start=START + 60)
    past = of_files(tmp_path)
    assert (past.start, past.step) == (START, 60)
    volumes = dict(zip(past.metrics, past.values.tolist(), strict=True))
    assert volumes["replay:ethbtc:volume"] == [5, 0, 0, 7]
    np.testing.assert_array_equal(volumes["replay:xmrbtc:volume"], [np.nan, 1, 2, 0])


def test_it_counts_what_is_above_the_edges_and_the_alerts():
    values = np.full((1, 300), 100.0)
    values[0, [100, 101, 103, 200]] = 1_000  # an edge of two minutes, an edge within the cooldown, and one after it
    [tally] = run(Past(["x:ab:volume"], values, START, 60), Ratio())
    assert (tally.above, tally.edges) == (4, [100, 103, 200])
    assert [at for at, _ in tally.alerts] == [100, 200]
    assert "1000 is 10.00 x its mean of 100" in tally.alerts[0][1]


def test_a_fall_is_counted_as_a_rise_is():
    values = np.full((1, 300), 100.0)
    values[0, [100, 101, 200]] = 10
    [tally] = run(Past(["x:ab:price"], values, START, 60), Threshold(below=50))
    assert (tally.above, tally.edges) == (3, [100, 200])
    assert [tally.levels[at] for at in (99, 100)] == [-100, -10]


def test_it_counts_which_of_the_largest_levels_came_with_an_alert():
    values = np.full((1, 300), 100.0)
    values[0, 100:110] = 1_000
    [tally] = run(Past(["x:ab:volume"], values, START, 60), Ratio())
    assert [at for at, _ in tally.alerts] == [100]
    assert (tally.told(60), tally.told(5), tally.told(0)) == (10, 6, 1)


#: A cooldown would make alerts of the first day count.
JUMP = Ratio(name="jump", match=("*:volume",), cooldown=0)
RISE = Condition("price", Change(percent=1, over=300, direction="up"))
BUSY_RISE = All(name="rise", all=(Condition("volume", Ratio()), RISE), cooldown=0)
QUIET = Silent(name="quiet", after=60, cooldown=0)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "least"), [(JUMP, 100), (BUSY_RISE, 5), (QUIET, 20)])
def test_real_candles_give_the_alerts_that_the_pipeline_gives(store, redis, rule, least):
    """Two days of two real markets. The second day is evaluated minute by minute, and compared with the backtest."""
    whole = of_files(FOLDER)
    markets = ["replay:powrbtc", "replay:ethbtc"]
    rows = [whole.metrics.index(f"{market}:{field}") for field in FIELDS for market in markets]
    minutes = 2_880
    past = Past([whole.metrics[row] for row in rows], whole.values[rows, :minutes], whole.start, 60)
    first = 1_440
    looked_back = {
        (tally.metric, past.start + 60 * at)
        for tally in run(past.of(rule), rule)
        for at, _ in tally.alerts
        if at >= first
    }

    store.watch("simulator", [Market(market, "a", "btc") for market in markets])
    outbox, live = Outbox(redis), set()
    slots = past.start + 60 * np.arange(minutes)
    both = past.values.reshape(len(FIELDS), len(markets), minutes)
    for row, market in enumerate(markets):
        store.write("simulator", market, slots[:first], both[:, row, :first].T, float(slots[first - 1]), new=True)
    for at in range(first, minutes):
        now = float(slots[at]) + 59
        for column in (at - 1, at):  # as a fetch does: it makes the previous slot final
            write_slot(store, markets, int(slots[column]), both[:, :, column].T, final=column < at)
        live |= {(alert.metric, alert.slot) for alert in pipeline.evaluate(store, outbox, [rule], markets, now).alerts}
    last = int(slots[-1])  # what needs a final slot is found in it a minute later
    assert {each for each in live if slots[first] <= each[1] < last} == {each for each in looked_back if each[1] < last}
    assert len(looked_back) > least


def test_a_day_in_the_store_is_looked_back_on(store_server, store, redis):
    now = 1_700_000_070.0
    slots = store.ring.slots(now)
    volumes = np.full(len(slots), 100.0)
    volumes[500] = 900
    store.watch("simulator", [Market("x:ab", "a", "b")])
    store.write("simulator", "x:ab", slots, np.column_stack([np.ones(len(slots)), volumes]), now, new=True)
    settings = load({"REDIS_URL": store_server.url, "CLOCK_START": str(now), "CLOCK_SPEED": "1"})
    text = report(type(settings)(**settings.__dict__ | {"clock_speed": 0}), None, "*:volume", None)
    assert "x:ab:volume" in text and "x:ab:price" not in text
    assert "900 is 9.00 x its mean of 100" in text
    assert "^" in text


def test_conditions_on_both_fields_are_looked_back_on(tmp_path):
    write(tmp_path, "ethbtc", [100] * 200 + [900, 900] + [100] * 50)
    rule = All(name="a", all=(Condition("volume", Ratio()), Condition("price", Threshold(above=0.5))))
    [tally] = run(of_files(tmp_path).of(rule), rule)
    assert (tally.metric, tally.above, tally.edges) == ("replay:ethbtc:volume", 2, [200])
    assert "price: 1 is beyond 0.5" in tally.alerts[0][1]
    dear = All(name="a", all=(Condition("volume", Ratio()), Condition("price", Threshold(above=1.5))))
    assert [tally.above for tally in run(of_files(tmp_path).of(dear), dear)] == [0]


def test_prices_of_exchanges_are_compared_as_they_were(tmp_path):
    for exchange in "abc":
        write(tmp_path, f"{exchange}-ethbtc", [5] * 100, price=1)
    write(tmp_path, "d-ethbtc", [5] * 50 + [None] * 10 + [5] * 40, price=1.02)
    write(tmp_path, "a-xmrbtc", [5] * 100)
    rule = Spread(name="off", percent=1)
    tallies = {tally.metric: tally for tally in run(of_files(tmp_path).of(rule), rule)}
    assert (tallies["d:ethbtc:price"].above, tallies["d:ethbtc:price"].edges) == (90, [0])
    assert tallies["a:ethbtc:price"].above == 0
    rules = tmp_path / "rules.toml"
    rules.write_text('[rules.off]\nkind = "spread"\npercent = 1\n')
    text = report(load({"RULES": str(rules)}), "off", None, str(tmp_path))
    assert "1.02 is +2.00 % from 1, the median of 4 exchanges" in text
    assert "1 of 5 metrics have no level in any slot: too few exchanges trade the pair" in text


def test_a_silence_is_looked_back_on_as_far_as_it_is_known(tmp_path):
    write(tmp_path, "ethbtc", [5] * 100 + [None] * 12 + [5] * 40)
    rules = tmp_path / "rules.toml"
    rules.write_text('[rules.quiet]\nkind = "silent"\nafter = "10m"\n')
    text = report(load({"RULES": str(rules)}), "quiet", None, str(tmp_path))
    assert "it shows no trades alone: when a source gave no answer is not stored" in text
    assert "replay:ethbtc:volume" in text and "replay:ethbtc:price" not in text
    assert "replay:ethbtc:volume: no trades for 660 s, more than 600 s" in text


@pytest.mark.slow
def test_ranks_of_real_candles_are_those_of_a_plain_loop():
    """Two days of prices: the second one has ranks."""
    whole, minutes = of_files(FOLDER), 2_880
    rows = [row for row, metric in enumerate(whole.metrics) if metric.endswith(":price")]
    past = Past([whole.metrics[row] for row in rows], whole.values[rows, :minutes], whole.start, 60)
    rule = Ranked(name="wild", top=3, leave=4, by="cv", cooldown=0)
    inside, of, entered = set(), 0, []
    for at in range(1_440, minutes):
        days = {metric: past.values[row, at - 1_440 : at] for row, metric in enumerate(past.metrics)}
        cv = {metric: np.nanstd(day) / np.nanmean(day) for metric, day in days.items() if not np.isnan(day).all()}
        order = sorted(cv, key=cv.__getitem__, reverse=True)
        entered += [(at, metric) for metric in order[:3] if metric not in inside and len(order) <= of]
        inside, of = {metric for metric in order[:4] if metric in inside or metric in order[:3]}, len(order)
    tallies = run_ranks(past, rule)
    assert sorted((at, tally.metric) for tally in tallies for at in tally.edges) == sorted(entered)
    assert len(entered) > 3


def test_ranks_of_the_stored_day_are_not_known(tmp_path):
    write(tmp_path, "ethbtc", [5] * 100)
    rules = tmp_path / "rules.toml"
    rules.write_text('[rules.wild]\nkind = "rank"\ntop = 3\n')
    text = report(load({"RULES": str(rules)}), None, None, str(tmp_path))
    assert text.startswith("wild (rank): ranks of the past are not stored")


def test_a_chart_is_in_its_upper_half_where_the_rule_was_above():
    values = np.full((1, 960), 100.0)
    values[0, 480] = 1_000
    past = Past(["x:ab:volume"], values, START, 60)
    for rule in (Ratio(), Threshold(above=500)):
        chart = backtest._chart(past, rule, run(past, rule)[0]).splitlines()
        assert chart[2].index("█") == chart[3].index("^") == 48
        assert set(chart[2]) <= set(" ▁▂▃▄█")


@pytest.mark.parametrize(
    ("rule", "metric", "message"),
    [("nosuch", None, "no rule nosuch"), (None, "nosuch:*", "no metric that matches nosuch:*")],
)
def test_what_there_is_not_is_said(tmp_path, rule, metric, message):
    write(tmp_path, "ethbtc", [5] * 100)
    with pytest.raises(TrackerError, match=message.replace("*", r"\*")):
        report(load({}), rule, metric, str(tmp_path))


def test_a_folder_without_candles_is_said(tmp_path):
    with pytest.raises(TrackerError, match="no candle files"):
        report(load({}), None, None, str(tmp_path))


def tracker(*arguments, **variables):
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *arguments],
        cwd=ROOT, env=CLEAN | variables, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_the_command_backtests_a_folder(tmp_path):
    write(tmp_path, "ethbtc", [5] * 100 + [50] + [5] * 20)
    code, said = tracker("rules", "backtest", "--candles", str(tmp_path), "--metric", "*:volume")
    assert code == 0
    assert "replay:ethbtc:volume" in said and "50 is 10.00 x its mean of 5" in said


@pytest.mark.slow
def test_the_command_checks_the_rules_file(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text('[rules.high]\nkind = "threshold"\nabove = 5\nchannels = []\nremind = "30m"\nthen = ["log"]\n')
    code, said = tracker("rules", "check", RULES=str(file))
    assert "-> nobody, again every 1800 s, after 600 s also log\n" in said
    assert code == 0 and "high" in said and "threshold" in said and "nobody" in said and "quiet" not in said
    with file.open("a") as more:
        more.write('[quiet.night]\nfrom = "22:00"\nto = "07:00"\nzone = "Europe/Berlin"\n')
    code, said = tracker("rules", "check", RULES=str(file))
    assert code == 0 and "quiet hours:\n  night, 22:00 to 07:00 Europe/Berlin\n" in said
    file.write_text('[rules.high]\nkind = "threshold"\nabove = "5"\n')
    code, said = tracker("rules", "check", RULES=str(file))
    assert (code, said) == (1, f"rules: {file}:3: rules.high.above = '5': expected a number from -1e+18 to 1e+18\n")
    # and no part starts with it
    for part in (["worker", "evaluate"], ["start"]):
        code, said = tracker(*part, RULES=str(file), DATA_DIR=str(tmp_path / "var"))
        assert code == 1 and f"{file}:3: rules.high.above" in said


@pytest.mark.slow
def test_the_command_tries_a_channel(tmp_path, server):
    file = tmp_path / "rules.toml"
    file.write_text(
        f'[channels.hook]\nkind = "webhook"\nurl = "{server.url}/T0K3N"\nallow_private = true\n'
        '[rules.high]\nkind = "threshold"\nabove = 5\n'
    )
    server.says(b"hello")
    code, said = tracker("channels", "test", "hook", RULES=str(file))
    assert (code, said) == (0, "sent: answered 200: 'hello'\n")
    assert b"test of the channel hook" in server.posts[0].body
    server.says(b"no", 403)
    assert tracker("channels", "test", "hook", RULES=str(file)) == (
        1,
        "channels: hook did not take it: answered 403: 'no'\n",
    )
    code, said = tracker("channels", "test", "phone", RULES=str(file))
    assert (code, said) == (1, "channels: no channel phone: there are log, hook\n")


@pytest.mark.slow
def test_the_command_lists_and_redrives_dead_letters(store_server, redis):
    from tests.support.notices import ALERT, FAILED

    outbox = Outbox(redis)
    outbox.record(ALERT, 60, ["phone", "mail"])
    for channel in ("phone", "mail"):
        outbox.deliveries.settle(outbox.deliveries.get(f"{ALERT.id}/{channel}/firing"), "dead", FAILED)
    url = {"REDIS_URL": store_server.url}
    code, said = tracker("deliveries", "list", **url)
    assert code == 0 and f"{ALERT.id}/phone/firing" in said and "answered 500" in said and "2 dead" in said
    code, said = tracker("deliveries", "redrive", f"{ALERT.id}/phone/firing", **url)
    assert (code, said) == (0, f"{ALERT.id}/phone/firing\n1 to be sent again\n")
    assert tracker("deliveries", "redrive", "no/such/row", **url)[0] == 1
    assert tracker("deliveries", "redrive", **url)[1].endswith("1 to be sent again\n")
    assert len(outbox.deliveries.due(10)) == 2
