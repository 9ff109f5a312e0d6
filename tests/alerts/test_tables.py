"""Rules and channels as pydantic models: the bounds also apply in Python, and no refusal shows a secret."""

import pytest
from pydantic import ValidationError, field_validator

from tracker.alerts import channels
from tracker.alerts.rulebook import read
from tracker.alerts.rules import Ratio, SeriesRule, Zscore
from tracker.alerts.tables import BadOption, Secret
from tracker.errors import SettingsError

URL = 'url = "https://hooks.example/T0K3N"'
SECRET = 'secret_env = "HOOK_SECRET"'
FILE = f"""
[channels.hook]
kind = "webhook"
{URL}
{SECRET}

[rules.jump]
kind = "ratio"
"""


def everything_said(error: BaseException | None) -> str:
    """The text that a traceback shows of ``error`` and of the errors before it."""
    if error is None:
        return ""
    return f"{error!r} {error} {everything_said(None if error.__suppress_context__ else error.__context__)}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (URL, 'url = "ftp://hooks.example/T0K3N"'),
        (URL, 'url = ["https://hooks.example/T0K3N"]'),
        (URL, 'url = { a = "T0K3N" }'),
        (URL, 'url_env = "WRONG_URL"'),
        (URL, 'url_env = ["T0K3N"]'),
        (URL, 'url_file = "T0K3N://a"'),
        (SECRET, 'secret = ["T0K3N"]'),
        (SECRET, f'secret = "T0K3N{"x" * 2_000}"'),
        (SECRET, 'secrt = "T0K3N"'),
        ('kind = "webhook"', 'kind = "apprise"'),
    ],
)
def test_no_refusal_shows_a_secret(tmp_path, old, new):
    file = tmp_path / "rules.toml"
    file.write_text(FILE.replace(old, new, 1))
    with pytest.raises(SettingsError) as refusal:
        read(file, {"HOOK_SECRET": "s3cret", "WRONG_URL": "ftp://T0K3N"})
    assert "channels.hook." in str(refusal.value)
    assert "T0K3N" not in everything_said(refusal.value) and "s3cret" not in everything_said(refusal.value)


@pytest.mark.parametrize(
    "options", [{"url": "ftp://T0K3N"}, {"url": ["T0K3N"]}, {"url": "https://a", "secret": ["T0K3N"]}]
)
def test_pydantic_shows_no_secret_that_is_refused_in_python(options):
    with pytest.raises(ValidationError) as refusal:
        channels.kind("webhook")(**options)
    assert "T0K3N" not in str(refusal.value)


def test_a_rule_without_a_limit_and_a_channel_that_cannot_send_are_none():
    class Half(SeriesRule):
        KIND = "half"
        MESSAGE = "{metric}"

    for kind in (SeriesRule, Half, channels.Channel):
        with pytest.raises(TypeError, match="abstract"):
            kind()


@pytest.mark.parametrize("kind", [Ratio, Zscore])
@pytest.mark.parametrize(
    "options", [{"min_samples": 1_441}, {"hold": -1}, {"cooldown": "1 h"}, {"match": ()}, {"factr": 3}]
)
def test_a_rule_made_in_python_has_the_bounds_of_the_file(kind, options):
    with pytest.raises(ValidationError):
        kind(**options)


class Quoting(channels.Channel):
    """A kind with a validator that quotes its value, and a secret whose name ends like a reference."""

    PATIENCE = CEILING = 0

    pin: Secret = "1"
    key_file: Secret = "k"

    @field_validator("pin", "key_file")
    @classmethod
    def _count(cls, value: str) -> str:
        int(value)
        return value

    def send(self, notice):
        return ""


@pytest.mark.parametrize("option", ["pin", "key_file"])
def test_the_text_of_a_careless_validator_is_left_out(option):
    with pytest.raises(BadOption) as refusal:
        Quoting.read({option: "T0K3N"}, lambda how, value: value)
    assert (refusal.value.name, refusal.value.shown) == (option, "(secret)")
    assert "T0K3N" not in everything_said(refusal.value)


def test_a_number_of_thousands_of_digits_is_refused_where_a_name_is_expected(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(FILE.replace(URL, f"url_env = 0x{'f' * 9_000}"))
    with pytest.raises(SettingsError, match=r"channels.hook.url_env = \(secret\): expected a text"):
        read(file)
