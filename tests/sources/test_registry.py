"""Every part of the tracker refuses to start with the name of an unknown source."""

import subprocess
import sys

import pytest

from api import create_app
from tests.support.stack import CLEAN, ROOT
from tracker.errors import SettingsError
from tracker.settings import load
from tracker.sources import SOURCES, known
from tracker.variables import SOURCES_EXPECTED


def test_what_exists_is_known() -> None:
    settings = load({"SOURCES": ",".join([*SOURCES, "kraken", "coinbaseexchange"])})
    assert known(settings) is settings


@pytest.mark.parametrize("name", ["simulater", "krakn", "base", "bitflyer"])  # the last has no candles
def test_a_name_that_no_source_has_is_refused_as_any_bad_value_is(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        known(load({"SOURCES": f"kraken,{name}"}))
    assert str(refused.value) == f"SOURCES='kraken,{name}': expected {SOURCES_EXPECTED}"


def test_what_is_expected_names_every_source_that_is_written_by_hand() -> None:
    assert f"out of {', '.join(SOURCES)}, and exchanges" in SOURCES_EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("code", ["import celeryconfig", "import tracker.__main__"])
def test_workers_beats_and_commands_do_not_start_with_one(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, "sources"],
        cwd=ROOT, env=CLEAN | {"SOURCES": "mtgox"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith(f"SOURCES='mtgox': expected {SOURCES_EXPECTED}\n")
    assert done.stderr.count("\n") == 1


def test_the_api_does_not_start_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES", "mtgox")
    with pytest.raises(SystemExit) as stop:
        create_app()
    assert stop.value.code == f"api: SOURCES='mtgox': expected {SOURCES_EXPECTED}"
