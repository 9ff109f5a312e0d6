"""The installed package, used from an empty folder: the command, the page, and everything at once."""

import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from tests.support.servers import StoreServer, answers, free_port, wait_for
from tests.support.stack import CLEAN, ROOT, Stack

IN_WHEEL = ("tracker", "api", "celeryconfig.py", "pyproject.toml", "requirements.txt", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command ``data-tracker`` in an environment that has the wheel, and sees the requirements of this one."""
    folder = tmp_path_factory.mktemp("install")
    for name in IN_WHEEL:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    python = folder / "venv" / "bin" / "python"
    for command in (
        [*pip, "wheel", "--no-deps", "--wheel-dir", folder, folder / "source"],
        [sys.executable, "-m", "venv", "--without-pip", folder / "venv"],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    [wheel] = folder.glob("*.whl")
    subprocess.run(
        [*pip, "--python", python, "install", "--no-deps", wheel], check=True, capture_output=True, timeout=300
    )
    [packages] = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib"))
    return python.with_name("data-tracker")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()  # but for packages of the user's that have our names
    for name in ("api", "tracker"):
        (tmp_path / "empty" / name).mkdir()
        (tmp_path / "empty" / name / "__init__.py").touch()
    return tmp_path / "empty"


def test_the_command_helps_under_its_own_name(installed: Path, empty: Path) -> None:
    done = subprocess.run([installed, "--help"], cwd=empty, env=CLEAN, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("Usage: data-tracker [OPTIONS] COMMAND")


def test_the_installed_api_serves_the_page_with_its_files(
    installed: Path, empty: Path, store_server: StoreServer
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = CLEAN | {"REDIS_URL": store_server.url, "API_PORT": str(port), "LOG_LEVEL": "warning"}
    process = subprocess.Popen([installed, "api"], cwd=empty, env=environment)
    try:
        wait_for(lambda: answers(f"{url}/healthz"), "the API answers")
        source = ROOT / "api" / "static"
        assert '<script type="module"' in requests.get(f"{url}/", timeout=10).text
        for path in filter(Path.is_file, source.rglob("*")):
            assert path.name in ("index.html", "docs.html", "LICENSE") or served(url, path.relative_to(source)), path
        assert "examples" in requests.get(f"{url}/v1/openapi.json", timeout=10).text
    finally:
        process.terminate()
        process.wait(30)


def served(url: str, path: Path) -> bool:
    return requests.get(f"{url}/static/{path.as_posix()}", timeout=10).status_code == 200


@pytest.mark.slow
def test_the_installed_start_runs_everything_and_keeps_its_data_where_it_was_started(
    installed: Path, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(empty)
    (empty / "rate").write_text("1000000")
    stack = Stack(empty / "var", SIMULATOR_MARKETS="3", API_RATE_FILE="rate")
    del stack.environment["DATA_DIR"]
    stack.command, stack.directory = [str(installed), "start"], empty
    with stack:
        stack.ready()
        assert stack.get("/v1/metrics")["total"] == 6
        assert {each.name for each in empty.iterdir()} == {"rate", "var", "api", "tracker"}
        assert not any(_directory(each) == ROOT for each in stack.processes())
        assert stack.stop() == []


def _directory(process: psutil.Process) -> Path | None:
    with suppress(psutil.Error):
        return Path(process.cwd())
    return None
