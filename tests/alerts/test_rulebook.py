"""The rules file: its rules take effect, and a refusal names the wrong line."""

import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.alerts.rulebook import Rulebook, built_in, read
from tracker.alerts.rules import DEFAULT_RULES, KINDS, Change, Ratio, Stale, Threshold, Zscore
from tracker.errors import SettingsError

FILE = """
# who is told
[channels.hook]
kind = "webhook"
url = "https://hooks.example/T0K3N"
secret_env = "HOOK_SECRET"
allow_private = true
resolved = true
ceiling = 20
window = "5m"

[rules.jump]
kind = "ratio"
match = ["*:volume", "kraken:*"]
factor = 4
baseline = "30m"
min_samples = 20
min_baseline = 0.5
clear_factor = 1.5
for = "2m"
cooldown = "2h"
channels = ["log", "hook"]
severity = "critical"
message = "{metric} is {ratio:.1f} x as busy"

[rules.drop]
kind = "change"
match = "*:price"
percent = 5
over = "5m"
direction = "down"

[rules.dear]
kind = "threshold"
above = 100000
clear = 99000

[rules.odd]
kind = "zscore"

[rules.silent]
kind = "stale"
after = "10m"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(FILE)
    return path


def write(path, text):
    path.write_text(text)
    return path


def book(path, **environment):
    return read(path, {"HOOK_SECRET": "s3cret"} | environment)


def test_a_file_says_which_rules_and_channels_there_are(file):
    found = book(file)
    assert found.rules == (
        Ratio(name="jump", match=("*:volume", "kraken:*"), factor=4, baseline=1_800, min_samples=20, min_baseline=0.5,
              clear_factor=1.5, hold=120, cooldown=7_200, channels=("log", "hook"), severity="critical",
              message="{metric} is {ratio:.1f} x as busy"),
        Change(name="drop", match=("*:price",), percent=5, over=300, direction="down"),
        Threshold(name="dear", above=100_000, clear=99_000),
        Zscore(name="odd"),
        Stale(name="silent", after=600),
    )  # fmt: skip
    assert found.series == found.rules[:4] and found.stale == found.rules[4:]
    hook = found.outlets["hook"]
    assert (hook.kind, hook.resolved, hook.most, hook.window) == ("webhook", True, 20, 300)
    assert (hook.channel.url, hook.channel.secret) == ("https://hooks.example/T0K3N", "s3cret")
    assert found.outlets["log"].kind == "log"
    assert found.wants_resolved == {"hook"}


def test_without_a_file_the_missions_rule_is_told_to_the_log():
    found = Rulebook("").current()
    assert found == built_in()
    assert found.rules == DEFAULT_RULES
    assert list(found.outlets) == ["log"]


def test_secrets_come_from_the_environment_or_a_file_and_are_not_shown(file, tmp_path):
    (tmp_path / "secret").write_text("from a file\n")
    file.write_text(FILE.replace('secret_env = "HOOK_SECRET"', 'secret_file = "secret"'))
    hook = book(file).outlets["hook"]
    assert hook.channel.secret == "from a file"
    for secret in ("T0K3N", "from a file"):
        assert secret not in repr(book(file))


WRONG = [
    ("factor = 4", "factor = -4", 15, "rules.jump.factor = -4: expected a number above 0, up to 1e+06"),
    ("factor = 4", 'factor = "4"', 15, "rules.jump.factor = '4': expected a number"),
    ("factor = 4", "factor = nan", 15, "rules.jump.factor = nan: expected a number"),
    ("factor = 4", "factor = true", 15, "rules.jump.factor = True: expected a number"),
    ("factor = 4", "faktor = 4", 15, "rules.jump.faktor: expected no such option, but one of match, cooldown"),
    ('"30m"', '"30 minutes"', 16, "rules.jump.baseline = '30 minutes': expected seconds, or a time such as \"90s\""),
    ('"30m"', '"2d"', 16, "rules.jump.baseline = '2d': expected seconds"),
    ("min_samples = 20", "min_samples = 20.5", 17, "rules.jump.min_samples = 20.5: expected a whole number"),
    ("min_baseline = 0.5", "min_baseline = -1", 18, "rules.jump.min_baseline = -1: expected a number from 0"),
    ("clear_factor = 1.5", "clear_factor = 5", 19, "rules.jump.clear_factor = 5: expected at most factor, 4"),
    ('for = "2m"', 'for = "-2m"', 20, "rules.jump.for = '-2m': expected seconds"),
    ('"hook"]', '"hock"]', 22, "rules.jump.channels = 'hock': expected only channels that there are: log, hook"),
    ('["log", "hook"]', '"log"', 22, "rules.jump.channels = 'log': expected a list of names"),
    ('"critical"', '"urgent"', 23, "rules.jump.severity = 'urgent': expected one of info, warning, critical"),
    ("{ratio:.1f}", "{ration}", 24, "rules.jump.message = '{metric} is {ration} x as busy': expected a message"),
    ("{ratio:.1f}", "{value:>9999999999999}", 24, "expected a message with nothing in braces but rule, metric"),
    ("{ratio:.1f}", "{value:>900000000}", 24, "formats such as {value:.2f}, of at most two digits each"),
    ("{ratio:.1f}", "{metric.__class__}", 24, "expected a message with nothing in braces but rule, metric"),
    ("{ratio:.1f}", "{metric[0]}", 24, "expected a message with nothing in braces but"),
    ("{ratio:.1f}", "{value:{window}}", 24, "expected a message with nothing in braces but"),
    ("{ratio:.1f}", "{metric!r}", 24, "expected a message with nothing in braces but"),
    ("{ratio:.1f}", "{definition}", 24, "expected a message with nothing in braces but"),
    ("{ratio:.1f}", "{", 24, "expected a message with nothing in braces but"),
    ("{ratio:.1f}", "{value:d}", 24, "expected a message whose formats fit what they format"),
    ('"30m"', '"\uff13m"', 16, "rules.jump.baseline = '\uff13m': expected seconds"),
    ("factor = 4", f"factor = {'9' * 400}", 15, "expected a number"),
    ("factor = 4", f"factor = 0x{'f' * 9_000}", 15, "rules.jump.factor = (a large int): expected a number"),
    ('kind = "ratio"', "kind = [1]", 13, "rules.jump.kind = [1]: expected one of ratio"),
    ('secret_env = "HOOK_SECRET"', 'secret_file = "a\\u0000b"', 6, "expected the path of a text file"),
    ("[rules.odd]", '[rules."o\\nd\\u001b[31md"]', 1, r"rules.'o\nd\x1b[31md': expected a name of lower-case"),
    ("[rules.odd]", f"[rules.{'o' * 65}]", 38, "expected a name of lower-case letters"),
    ("[channels.hook]", "[channels.log]", 4, "channels.log.kind = 'webhook': expected another name for it: `log` is"),
    ('"*:price"', "[]", 28, "rules.drop.match = []: expected a glob"),
    ("percent = 5\n", "\n", 26, "rules.drop.percent = (missing): expected a value for it"),
    ('"down"', '"sideways"', 31, "rules.drop.direction = 'sideways': expected one of up, down, both"),
    ("clear = 99000", "clear = 200000", 36, "rules.dear.clear = 200000: expected a number that is not beyond 100000"),
    ("clear = 99000", "below = 5", 35, "rules.dear.above = 100000: expected either above or below"),
    ('kind = "zscore"', 'kind = "z-score"', 39, "rules.odd.kind = 'z-score': expected one of ratio, change, thresh"),
    ('kind = "zscore"', "score = 3", 38, "rules.odd.kind = (missing): expected one of ratio"),
    ('after = "10m"', 'after = "10m"\nfactor = 3', 44, "rules.silent.factor: expected no such option, but one of"),
    ("[rules.odd]", "[rules.Odd]", 38, "rules.Odd: expected a name of lower-case letters, digits and hyphens"),
    ('kind = "webhook"', 'kind = "pigeon"', 4, "channels.hook.kind = 'pigeon': expected one of log, webhook, apprise"),
    ("https://hooks", "ftp://hooks", 5, "channels.hook.url = (secret): expected an http:// or https:// URL"),
    ('"HOOK_SECRET"', '"NO_SUCH"', 6, "channels.hook.secret_env = 'NO_SUCH': expected the name of an environment"),
    ("secret_env", "secret_file", 6, "channels.hook.secret_file = 'HOOK_SECRET': expected the path of a text file"),
    ("allow_private = true", 'allow_private = "yes"', 7, "channels.hook.allow_private = 'yes': expected true or false"),
    ("url =", "ur1 =", 5, "channels.hook.ur1: expected no such option, but one of url, secret, allow_private"),
    ('"HOOK_SECRET"', '"https://T0K3N"', 6, "channels.hook.secret_env = (secret): expected the name of an environment"),
    ("ceiling = 20", "ceiling = -1", 9, "channels.hook.ceiling = -1: expected a whole number from 0"),
    ("ceiling = 20", "height = 20", 9, "channels.hook.height: expected no such option, but one of"),
    ("ceiling = 20", 'ceiling_env = "X"', 9, "channels.hook.ceiling_env: expected no such option"),
    ('direction = "down"', 'then = ["log"]', 31, "rules.drop.then = ['log']: expected other channels than those in"),
    ('direction = "down"', 'then = ["boss"]', 31, "rules.drop.then = 'boss': expected only channels that there are"),
    ('direction = "down"', 'remind = "5s"', 31, "rules.drop.remind = '5s': expected seconds, or a time such as"),
    ("# who is told", "[rule.x]", 2, "rule: expected only tables [rules.NAME], [channels.NAME] and [quiet.NAME]"),
    ("# who is told", "rules = 3\nx = '''", None, "expected TOML"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), WRONG, ids=[f"{each[1]!r:.30}" for each in WRONG])
def test_a_bad_file_says_which_line_and_option_and_what_was_expected(file, old, new, line, message):
    file.write_text(FILE.replace(old, new, 1))
    with pytest.raises(SettingsError) as refusal:
        book(file)
    assert str(refusal.value).startswith(f"{file}:{line}: " if line else f"{file}: ")
    assert message in str(refusal.value)
    assert "T0K3N" not in str(refusal.value) and "s3cret" not in str(refusal.value)


def test_a_secret_given_twice_is_refused(file):
    file.write_text(FILE.replace("allow_private", 'secret = "a"\nallow_private'))
    with pytest.raises(SettingsError, match=r"secret: expected it only once"):
        book(file)


def refusal_of(file):
    """The refusal of ``file``, which must be one short line."""
    with pytest.raises(SettingsError) as refusal:
        book(file)
    [line] = str(refusal.value).splitlines()
    assert len(line) < 1_000
    return line


def test_toml_that_is_none_says_where(file):
    file.write_text("[rules.a]\nkind = \n")
    with pytest.raises(SettingsError, match=r"expected TOML: .*line 2"):
        book(file)
    file.write_text(f"[rules.a]\n{'a' * 5_000} = 1\n{'a' * 5_000} = 2")
    assert "expected TOML: Cannot overwrite a value" in refusal_of(file)


@pytest.mark.parametrize("text", ["[" * 5_000, f"x = {'[' * 5_000}", f"x = {'[{a=' * 5_000}", "a." * 500_000])
def test_brackets_and_names_without_end_are_refused_in_a_line(file, text):
    file.write_text(text)
    assert refusal_of(file).startswith(f"{file}: expected TOML")


def test_what_is_no_text_file_of_a_usable_size_is_refused_in_a_line(file, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").write_bytes(b"#" * 1_000_001)
    (tmp_path / "binary").write_bytes(b"[rules.a]\n\xff\x00")
    for name, expected in {
        "pipe": "it is no regular file",
        "huge": "it has more than 1,000,000 bytes",
        "binary": "it is no text in UTF-8: byte 10",
        "": "it is no regular file",
        "none": "it cannot be opened: No such file or directory",
        "n" * 300: "it cannot be opened: File name too long",
    }.items():
        assert expected in refusal_of(tmp_path / name)
        if name in ("pipe", "huge", "binary", "none"):  # and the same for a file with a secret
            file.write_text(FILE.replace("secret_env", "secret_file").replace("HOOK_SECRET", name))
            assert expected in refusal_of(file)
    (tmp_path / "huge").write_bytes(f"{FILE}\n".encode().ljust(1_000_000, b"#"))
    assert book(tmp_path / "huge") == book(write(file, FILE))


def test_the_log_may_have_options(file):
    write(file, f"{FILE}\n[channels.log]\nkind = 'log'\nresolved = true")
    assert book(file).wants_resolved == {"hook", "log"}


def test_a_file_without_rules_and_one_that_is_not_there_are_refused(file, tmp_path):
    file.write_text("")
    with pytest.raises(SettingsError, match=r"at least one table \[rules.NAME\]"):
        book(file)
    with pytest.raises(SettingsError, match=r"^RULES='.*none.toml': expected a file that can be read"):
        Rulebook(str(tmp_path / "none.toml"))


def test_every_option_of_every_kind_has_a_usable_default_or_is_asked_for():
    for name, kind in KINDS.items():
        assert name == kind.KIND and kind.__doc__ and kind.MESSAGE


words = st.sampled_from([
    "[rules.a]", "[channels.b]", "[rules]", "kind", "name", "match", "factor", "message", "url", "after",
    "all", "secret_file", "channels", "=", ".", ",", "[", "]", "{", "}", '"', "'", '"ratio"', '"stale"', '"webhook"',
    "\n", '"log"', '"{value:9}"', '"{value.real}"', "3", "0xffff", "1e999", "nan", "-inf", "true", '"1h"', "\x00", "\r",
])  # fmt: skip
values = st.recursive(
    st.sampled_from(["3", "-1", "0.5", "nan", "true", '""', '"1h"', "[]", "{}", '"log"', '"{x}"', '"{ratio:.1f}"']),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    | inner.map(lambda value: f"{{a = {value}}}")
    | inner.map(lambda value: f'{{field = "price", kind = "ratio", factor = {value}}}'),
    max_leaves=5,
)  # fmt: skip
OPTIONS = sorted({name for kind in KINDS.values() for name in kind.options()} | {"url", "secret", "resolved", "x"})
tables = st.builds(
    lambda header, kind, options: "\n".join([header, kind, *(f"{name} = {value}" for name, value in options.items())]),
    st.sampled_from(["[rules.a]", "[rules.b]", "[channels.c]", "[channels.log]", '[rules."\\n"]']),
    st.sampled_from([f'kind = "{kind}"' for kind in (*KINDS, "log", "webhook")] + ["kind = {}", ""]),
    st.dictionaries(st.sampled_from(OPTIONS), values, max_size=4),
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode(errors="replace"))
    | st.lists(words, max_size=30).map(lambda found: " ".join(found).encode())
    | st.lists(tables, max_size=3).map(lambda found: "\n".join(found).encode())
)
def test_whatever_the_file_it_is_a_book_or_one_line(file, content):
    file.write_bytes(content)
    try:
        assert book(file).rules
    except SettingsError as refusal:
        assert str(file) in str(refusal) and "expected" in str(refusal)
        assert len(str(refusal).splitlines()) == 1 and len(str(refusal)) < 1_000


def rewrite(path: Path, text: str) -> None:
    """Replaces the file by a new one, as an editor does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.fixture
def rulebook(file, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    return Rulebook(str(file))


def test_a_changed_file_is_in_force_at_the_next_look(rulebook, file):
    before = rulebook.current()
    assert rulebook.current() is before
    rewrite(file, FILE.replace("factor = 4", "factor = 5"))
    assert rulebook.current().rules[0] == Ratio(**before.rules[0].__dict__ | {"factor": 5})


def test_a_bad_file_leaves_the_old_rules_in_force_and_says_so(rulebook, file, caplog):
    before = rulebook.current()
    with caplog.at_level(logging.ERROR):
        rewrite(file, FILE.replace("factor = 4", "factor = 0"))
        assert rulebook.current() is before
    assert "THE RULES ARE NOT RELOADED" in caplog.text and f"{file}:15: rules.jump.factor" in caplog.text
    # until the file is corrected
    rewrite(file, FILE.replace("factor = 4", "factor = 6"))
    assert rulebook.current().rules[0].factor == 6


def test_a_file_that_is_gone_leaves_the_old_rules_in_force(rulebook, file, caplog):
    before = rulebook.current()
    file.unlink()
    assert rulebook.current() is before
    assert "NOT RELOADED" in caplog.text
    file.write_text(FILE)
    assert rulebook.current().rules == before.rules
