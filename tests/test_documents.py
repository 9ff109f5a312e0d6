"""README, Compose, Dockerfile and other texts agree with the code."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from tests.support.command_line import commands, parsed
from tracker.commands.parts import QUEUES
from tracker.commands.variables import page
from tracker.settings import Settings, load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
VARIABLES = {field.metadata["name"]: field.metadata for field in fields(Settings)}


def test_the_page_of_the_configuration_lists_every_variable_with_its_default_and_meaning() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert text == f"{page()}\n", "python -m tracker variables --markdown > docs/configuration.md"
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? ?\| (.*) \|$", text, re.MULTILINE)
    assert rows == [(name, each["default"], each["meaning"]) for name, each in VARIABLES.items()]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", README))))
def test_what_the_readme_links_to_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("script", sorted(set(re.findall(r"\./(scripts/[\w.-]+)", README))))
def test_scripts_that_the_readme_names_can_be_run(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111


@pytest.mark.parametrize("name", [name for name in COMPOSE["services"] if name != "redis"])
def test_a_service_of_compose_is_a_command_of_the_tracker(name: str) -> None:
    service = COMPOSE["services"][name]
    assert set(parsed(*shlex.split(service["command"])).get("queues", [])) <= set(QUEUES)
    assert set(service["environment"]) <= set(VARIABLES)
    assert service["restart"] == "always"


def test_compose_runs_every_part_and_two_beats() -> None:
    commands = [service["command"] for service in COMPOSE["services"].values()]
    assert commands.count("beat") == 2
    for part in ("simulate", "api", "flower", *(f"worker {queue}" for queue in QUEUES)):
        assert part in commands


def test_compose_publishes_ports_on_this_machine_only() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2 and all(port.startswith("127.0.0.1:") for port in ports)


def test_flower_is_reached_in_its_container() -> None:
    variables = {name: value for name, value in COMPOSE["services"]["flower"]["environment"].items() if value}
    [bind] = re.findall(r"BIND_ADDRESS=(\S+)", (ROOT / "Dockerfile").read_text())
    chosen = {name: value for name, value in variables.items() if "${" not in value}
    assert load({**chosen, "BIND_ADDRESS": bind}).flower_bind == bind


def test_the_dockerfile_copies_what_exists_and_is_not_ignored() -> None:
    copied = [
        word
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY")
        for word in line.split()[1:-1]
    ]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied
    assert set(copied) == kept
    assert all((ROOT / name).exists() for name in copied)


def test_every_program_of_supervisord_is_a_command_of_the_tracker() -> None:
    lines = re.findall(
        r"^command = \"%\(ENV_PYTHON\)s\" -m tracker (.*)$",
        (ROOT / "tracker/commands/supervisord.conf").read_text(),
        re.MULTILINE,
    )
    assert len(lines) == 8
    for line in lines:
        parsed(*shlex.split(line))


#: All files that name commands to people: documents, scripts, pages, and the code with its messages.
TOLD = [
    path
    for pattern in ("README.md", "docs/*.md", "scripts/*", "tracker/commands/supervisord.conf", "*.py", "deploy/*",
                    "{}/**/*.py", "{}/**/*.js", "{}/**/*.html")
    for folder in (["tracker", "api", "bench"] if "{}" in pattern else [""])
    for path in ROOT.glob(pattern.format(folder))
    if "vendor" not in path.parts
]  # fmt: skip
MENTIONED = re.compile(r"\bpython\s+-m\s+tracker\s+([a-z]+)(?:\s+([a-z]+))?")


def test_every_command_that_people_are_told_of_exists() -> None:
    known, seen = commands(), set()
    for path in TOLD:
        for command, action in MENTIONED.findall(path.read_text(encoding="utf-8")):
            where = f"{path.relative_to(ROOT)}: python -m tracker {command} {action}"
            assert command in known, where
            assert not known[command] or not action or action in known[command], where
            seen.add((path.name, command))
    assert {
        ("README.md", "sources"),
        ("notice.js", "sources"),
        ("alerts.md", "deliveries"),
        ("keys.py", "keys"),
    } <= seen


def test_every_script_that_people_are_told_of_exists() -> None:
    for path in TOLD:
        for script in re.findall(r"\./(scripts/[\w-]+(?:\.\w+)?)", path.read_text(encoding="utf-8")):
            assert (ROOT / script).exists(), f"{path.relative_to(ROOT)}: {script}"
