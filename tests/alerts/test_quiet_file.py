"""Quiet hours in the rules file: how they are read, and how a refusal names what is wrong."""

import pytest

from tracker.alerts.rulebook import read
from tracker.errors import SettingsError

FILE = """
[rules.odd]
kind = "zscore"

[quiet.night]
from = "22:00"
to = "07:00"
days = ["fri", "mon"]
zone = "Europe/Berlin"
match = "kraken:*"
except_severity = "critical"
"""
WRONG = [
    ('"22:00"', '"24:00"', 6, 'quiet.night.from = \'24:00\': expected a time of day from "00:00" to "23:59"'),
    ('"22:00"', "22", 6, "quiet.night.from = 22: expected a time of day"),
    ('to = "07:00"', "", 5, "quiet.night.to = (missing): expected a value for it"),
    ('"07:00"', '"7:00"', 7, "quiet.night.to = '7:00': expected a time of day"),
    (
        'to = "07:00"\ndays = ["fri", "mon"]',
        'to = "22:00"',
        7,
        "quiet.night.to = '22:00': expected another time than from",
    ),
    ('["fri", "mon"]', '["friday"]', 8, "quiet.night.days = ['friday']: expected a list of days, of mon, tue"),
    ('["fri", "mon"]', "[]", 8, "quiet.night.days = []: expected a list of days"),
    ("Europe/Berlin", "Berlin", 9, "quiet.night.zone = 'Berlin': expected the name of a time zone, such as"),
    ("Europe/Berlin", "../etc/passwd", 9, "quiet.night.zone = '../etc/passwd': expected the name of a time zone"),
    ("Europe/Berlin", "Europe", 9, "quiet.night.zone = 'Europe': expected the name of a time zone"),
    ("Europe/Berlin", "x" * 999, 9, "expected the name of a time zone"),
    ('zone = "Europe/Berlin"', "zone = [1]", 9, "quiet.night.zone = [1]: expected the name of a time zone"),
    ('match = "kraken:*"', "match = []", 10, "quiet.night.match = []: expected a glob"),
    (
        'except_severity = "critical"',
        'except_severity = ["bad"]',
        11,
        "quiet.night.except_severity = ['bad']: expected one of",
    ),
    (
        'except_severity = "critical"',
        "severity = 1",
        11,
        "quiet.night.severity: expected no such option, but one of from",
    ),
    ("[quiet.night]", "[quiet.Night]", 5, "quiet.Night: expected a name of lower-case letters"),
    ("[quiet.night]", "[quiet]", 5, "quiet: expected only tables [quiet.NAME]"),
]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "rules.toml"


def test_a_file_says_which_hours_are_quiet(file):
    file.write_text(FILE)
    [night] = read(file).quiet
    assert str(night) == "night, 22:00 to 07:00 Europe/Berlin on mon, fri"
    assert (night.match, night.except_severity) == (("kraken:*",), ("critical",))


def test_there_are_only_so_many_tables_of_quiet_hours(file):
    table = '[quiet.{}]\nfrom = "22:00"\nto = "07:00"\nzone = "UTC"\n'
    file.write_text(FILE + "".join(table.format(f"q{number}") for number in range(50)))
    with pytest.raises(SettingsError, match="quiet: expected at most 50 tables"):
        read(file)


@pytest.mark.parametrize(("old", "new", "line", "message"), WRONG, ids=[f"{each[1]!r:.30}" for each in WRONG])
def test_a_refusal_names_what_is_wrong(file, old, new, line, message):
    file.write_text(FILE.replace(old, new, 1))
    with pytest.raises(SettingsError) as refusal:
        read(file)
    assert str(refusal.value).startswith(f"{file}:{line}: ")
    assert message in str(refusal.value)
