"""A rule of several conditions in the rules file: how it is read, and how a refusal names the wrong condition."""

import pytest

from tracker.alerts.rulebook import read
from tracker.alerts.rules import All, Change, Condition, Ratio
from tracker.errors import SettingsError

FILE = """
[rules.busy-rise]
kind = "all"
match = "kraken:*"
for = "2m"
all = [
  { field = "volume", kind = "ratio", factor = 4 },
  { field = "price", kind = "change", percent = 2, over = "5m", direction = "up" },
]
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "rules.toml"


def test_a_rule_may_have_several_conditions(file):
    busy, rise = Ratio(factor=4), Change(percent=2, over=300, direction="up")
    expected = All(name="busy-rise", match=("kraken:*",), hold=120,
                   all=(Condition("volume", busy), Condition("price", rise)))  # fmt: skip
    file.write_text(FILE)
    assert read(file).rules == (expected,)
    # a table for each does too
    head, _, _ = FILE.partition("all = [")
    tables = [
        '[[rules.busy-rise.all]]\nfield = "volume"\nkind = "ratio"\nfactor = 4\n',
        '[[rules.busy-rise.all]]\nfield = "price"\nkind = "change"\npercent = 2\nover = "5m"\ndirection = "up"\n',
    ]
    file.write_text(head + "".join(tables))
    assert read(file).rules == (expected,)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("factor = 4", "factor = -4", 6, "rules.busy-rise.all[1].factor = -4: expected a number above 0, up to 1e+06"),
        ("percent = 2, ", "", 6, "rules.busy-rise.all[2].percent = (missing): expected a value for it"),
        ('field = "volume"', 'field = "volumes"', 6, "all[1].field = 'volumes': expected one of price, volume"),
        ('field = "price", ', "", 6, "all[2].field = (missing): expected one of price, volume"),
        ('kind = "ratio"', 'kind = "stale"', 6, "all[1].kind = 'stale': expected one of ratio, change, threshold"),
        ('kind = "ratio"', 'kind = "ratio", for = "1m"', 6, "all[1].for: expected no such option in a condition"),
        ('kind = "ratio"', 'kind = "ratio", "a\\nb" = 1', 6, "rules.busy-rise.all[1].'a\\nb': expected no such option"),
        ('{ field = "volume", kind = "ratio", factor = 4 },', "", 6,
         "rules.busy-rise.all = [{'field': 'price', 'kind': 'change', "),
        ('{ field = "volume", kind = "ratio", factor = 4 },', "3,", 6, "rise.all[1] = 3: expected a table such as"),
        ("factor = 4", "factor = 1.5", 6, "all[1].clear_factor = 2.0 (its default): expected at most factor, 1.5"),
        ("all = [", 'cooldown = "x"\nall = [', 6, "rules.busy-rise.cooldown = 'x': expected seconds"),
        ('"kraken:*"', '"*:price"', 4, "rules.busy-rise.match = '*:price': expected globs that match a volume"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_condition_that_is_wrong(file, old, new, line, message):
    assert old in FILE
    file.write_text(FILE.replace(old, new, 1))
    with pytest.raises(SettingsError) as refusal:
        read(file)
    assert f"{file}:{line}: " in str(refusal.value) and message in str(refusal.value)


@pytest.mark.parametrize("given", ["3", '"ratio"', "{}", "[]"])
def test_what_is_no_list_of_conditions_is_refused(file, given):
    file.write_text(f'[rules.a]\nkind = "all"\nall = {given}\n')
    with pytest.raises(SettingsError, match=r":3: rules.a.all = .*: expected a list of 2 to 8 conditions"):
        read(file)
