"""docs/alerts.md agrees with the code: its examples run, its tables are complete, its figures are right."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from tests.support.candle_files import FOLDER
from tracker.alerts import channels
from tracker.alerts.backtest import Past, of_files, run
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.channels.webhook import Channel as Webhook
from tracker.alerts.quiet import Quiet
from tracker.alerts.rulebook import read
from tracker.alerts.rules import DEFAULT_RULES, KINDS, LevelRule, Rule, Series, SeriesRule, rising_edges
from tracker.errors import ChannelError, SettingsError
from tracker.models import FIRING, Notice

TEXT = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
NOTICE = Notice("a:1", "a:1", FIRING, "warning", "a", "it jumped", 1.0)


def block(language: str, beginning: str) -> str:
    return next(code for kind, code in BLOCKS if kind == language and beginning in code)


def options_after(heading: str) -> list[str]:
    """The options in the first table after ``heading``."""
    table = re.search(r"(\|.*\n)+", TEXT[TEXT.index(heading) :])
    assert table
    return re.findall(r"^\| `(\w+)` \|", table[0], re.MULTILINE)


def test_the_rules_file_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(block("toml", "[rules.busy]"))
    book = read(file, {"PHONE_URL": f"pover://{'u' * 30}@{'t' * 30}", "BOT_SECRET": "s3cret"})
    assert [rule.name for rule in book.rules] == [
        "busy",
        "very-busy",
        "crash",
        "busy-rise",
        "off",
        "halted",
        "wild",
        "silent",
    ]
    assert book.outlets["phone"].most == 5 and book.outlets["bot"].most == book.outlets["log"].most == 0


def test_every_option_is_described() -> None:
    headings = {
        Rule: "Every kind has these options; a time",
        LevelRule: "All but `stale` and `rank`",
        SeriesRule: "baseline, `ratio`",
    }
    described = {kind: options_after(heading) for kind, heading in headings.items()}
    assert described[Rule] == list(Rule.options())
    assert {*described[Rule], *described[LevelRule]} == set(LevelRule.options())
    assert {*described[Rule], *described[LevelRule], *described[SeriesRule]} == set(SeriesRule.options())
    for name, kind in KINDS.items():
        inherited = {option for base, options in described.items() if issubclass(kind, base) for option in options}
        assert set(options_after(f"### `{name}`")) == set(kind.options()) - inherited
    assert options_after("## Channels") == list(ConfiguredChannel.options())
    assert options_after("### Quiet hours") == list(Quiet.options())


def test_a_receiver_can_tell_what_is_ours(server) -> None:
    code: dict = {}
    exec(block("python", "def is_ours"), code)
    server.says(b"")
    Webhook(url=server.url, secret="s3cret", allow_private=True).send(NOTICE)
    [post] = server.posts
    assert code["is_ours"]("s3cret", post.headers, post.body)
    assert not code["is_ours"]("other", post.headers, post.body)
    assert not code["is_ours"]("s3cret", post.headers, post.body + b" ")
    old = {**post.headers, "X-Tracker-Timestamp": "1700000000"}
    assert not code["is_ours"]("s3cret", old, post.body)


def test_a_new_kind_of_channel_is_a_file_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("tracker.alerts.channels.file")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(block("python", "A file as a channel"), module.__dict__)
    monkeypatch.setitem(channels.KINDS, "file", "file")
    rules, path = tmp_path / "rules.toml", tmp_path / "notices"
    rules.write_text(
        f'[channels.notes]\nkind = "file"\npath = "{path}"\nceiling = 9\n\n'
        '[rules.busy]\nkind = "ratio"\nchannels = ["notes"]\n'
    )
    outlet = read(rules).outlets["notes"]
    assert outlet.channel.send(NOTICE) == "written" and outlet.most == 9
    assert path.read_text() == "it jumped [a:1]\n"
    with pytest.raises(ChannelError, match="Is a directory"):
        module.Channel(path=str(tmp_path)).send(NOTICE)
    rules.write_text(rules.read_text().replace(f'"{path}"', "3"))
    with pytest.raises(SettingsError, match=r":3: channels.notes.path = 3: expected a text of 1 to 2,000 characters$"):
        read(rules)


def test_a_new_kind_of_rule_is_a_class_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("crowd")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(block("python", "A rule on the number of samples"), module.__dict__)
    monkeypatch.setitem(KINDS, "crowd", module.Crowd)
    rules = tmp_path / "rules.toml"
    rules.write_text('[rules.crowd]\nkind = "crowd"\ncount = 50\n')
    [rule] = read(rules).series
    values = np.full((2, 1_441), 5.0)
    values[1, -62:-52] = np.nan  # the hour before now has nine of these ten
    [edge] = rising_edges(Series(values, 60), rule)
    assert (edge.row, edge.column, edge.samples) == (1, 1_440, 51)
    assert edge.alert(rule, "a:b:price", 60, 61.0).text == "a:b:price: 51 samples in the last hour, more than 50"
    rules.write_text(rules.read_text().replace("50", "5000"))
    with pytest.raises(SettingsError, match=r":3: rules.crowd.count = 5000: expected a whole number from 0 to 1440$"):
        read(rules)


@pytest.mark.slow
def test_the_figures_of_the_default_rule_come_out() -> None:
    found = re.findall(r"^\| (\w+btc) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \|$", TEXT, re.MULTILINE)
    [rule] = DEFAULT_RULES
    assert isinstance(rule, SeriesRule)
    whole = of_files(FOLDER)
    rows = [row for row, metric in enumerate(whole.metrics) if metric.endswith(":volume")]
    past = Past([whole.metrics[row] for row in rows], whole.values[rows], whole.start, whole.step)
    computed = {
        (tally.metric.split(":")[1],
         *(f"{count / past.days:.1f}" for count in (tally.above, len(tally.edges), len(tally.alerts))),
         str(tally.told(60)))
        for tally in run(past, rule)
    }  # fmt: skip
    assert set(found) == computed
    assert len(found) == 10
