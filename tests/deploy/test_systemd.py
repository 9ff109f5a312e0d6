"""The systemd units: systemd reads them, they may do little, and they run commands of the tracker."""

import os
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from tests.support.command_line import parsed
from tests.support.image import ROOT
from tracker.commands.parts import QUEUES
from tracker.settings import Settings, load
from tracker.worker import watchdog

UNITS = ROOT / "deploy" / "systemd"
PROGRAM = "/opt/data-tracker/bin/data-tracker"
SERVICES = {path.name: path.read_text() for path in UNITS.glob("*.service")}
TARGET = (UNITS / "tracker.target").read_text()
STARTED = re.findall(r"tracker-[\w@]+\.service", TARGET)

pytestmark = pytest.mark.program("systemd-analyze")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that exists."""
    shutil.copytree(UNITS, tmp_path / "units")
    (program := tmp_path / "data-tracker").write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in (tmp_path / "units").glob("*.service"):
        path.write_text(path.read_text().replace(PROGRAM, str(program)))
    return tmp_path / "units"


def analyze(units: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command, environment = ["systemd-analyze", "--no-pager", *words], os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:"}
    return subprocess.run(command, cwd=units, env=environment, capture_output=True, text=True, timeout=60)


def test_systemd_finds_no_fault(units: Path) -> None:
    names = ["tracker.target", *STARTED]
    done = analyze(units, "verify", "--man=no", *names)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    drop_in = units / "tracker-.service.d" / "all.conf"
    drop_in.write_text(drop_in.read_text().replace("Restart=always", "Restart=allways"))
    assert "allways" in analyze(units, "verify", "--man=no", *names).stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_may_do_little(units: Path, name: str) -> None:
    done = analyze(units, "security", "--offline=true", "--threshold=20", name)  # of 100: 20 is "ok"
    assert done.returncode == 0, done.stdout[-300:]


def test_the_target_starts_each_unit_with_a_command_of_the_tracker() -> None:
    assert {re.sub(r"@\w+", "@", name) for name in STARTED} == set(SERVICES)
    assert {f"tracker-worker@{queue}.service" for queue in QUEUES} <= set(STARTED)
    for name in STARTED:
        text = SERVICES[re.sub(r"@\w+", "@", name)].replace("%i", name.partition("@")[2].partition(".")[0])
        [command] = re.findall(rf"^ExecStart={PROGRAM} (.*)$", text, re.MULTILINE)
        parsed(*command.split())


def test_the_example_has_variables_of_the_tracker() -> None:
    names = re.findall(r"^#?([A-Z_]+)=", (UNITS / "environment.example").read_text(), re.MULTILINE)
    known = {field.metadata["name"] for field in fields(Settings)}
    assert names and {name.removesuffix("_FILE") for name in names} <= known


@pytest.mark.parametrize("name", ["tracker-worker@.service", "tracker-beat.service"])
def test_what_hangs_starts_again_within_two_intervals(name: str) -> None:
    [seconds] = map(int, re.findall(r"^WatchdogSec=(\d+)$", SERVICES[name], re.MULTILINE))
    longest_look = watchdog.EVERY + 15  # while the broker hangs: its socket_timeout
    assert longest_look < seconds < 2 * load({}).intervals.of("simulator")
    assert "Restart=always" in (UNITS / "tracker-.service.d" / "all.conf").read_text()
