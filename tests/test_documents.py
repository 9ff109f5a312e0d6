"""README and other texts agree with the code."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from tests.support.command_line import commands, parsed
from tracker.commands.variables import page
from tracker.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
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
    for pattern in ("README.md", "docs/*.md", "scripts/*", "tracker/commands/supervisord.conf", "*.py", "deploy/**/*",
                    "{}/**/*.py", "{}/**/*.js", "{}/**/*.html")
    for folder in (["tracker", "api", "bench"] if "{}" in pattern else [""])
    for path in ROOT.glob(pattern.format(folder))
    if "vendor" not in path.parts and path.is_file()
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
        ("README.md", "status"),
        ("notice.js", "status"),
        ("alerts.md", "deliveries"),
        ("keys.py", "keys"),
    } <= seen


def test_every_script_that_people_are_told_of_exists() -> None:
    for path in TOLD:
        for script in re.findall(r"\./(scripts/[\w-]+(?:\.\w+)?)", path.read_text(encoding="utf-8")):
            assert (ROOT / script).exists(), f"{path.relative_to(ROOT)}: {script}"
