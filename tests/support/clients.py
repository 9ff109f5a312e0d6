"""The simulated exchange as a process, and the clients once published for Cryptowatch, run against it.

The clients pin versions that conflict with ours, so each is installed into a folder of its own, once, and runs in a
process of its own.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.servers import answers, free_port, wait_for

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".cache" / "clients"
SERVE = """
import json, sys
from tracker.simulator.serve import SimulatorConfig, serve
serve(SimulatorConfig(**json.loads(sys.argv[1])))
"""


def start_simulator(**config: Any) -> subprocess.Popen:
    """Starts a simulator without waiting for its answer. ``config``: fields of SimulatorConfig."""
    command = [sys.executable, "-c", SERVE, json.dumps(config)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def simulator(port: int | None = None, **config: Any) -> Iterator[str]:
    """The URL of a simulator that answers, by default on a free port."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    with start_simulator(port=port, **config) as process:
        try:
            wait_for(lambda: process.poll() is not None or answers(url), f"the simulator at {url} answers")
            assert process.poll() is None, process.communicate()
            yield url
        finally:
            process.terminate()
            process.wait(30)


def install(requirement: str) -> Path:
    """Installs a published package with its pinned requirements; returns the folder."""
    folder = FOLDER / f"{requirement}-py{sys.version_info.major}.{sys.version_info.minor}"
    if not folder.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        fresh = tempfile.mkdtemp(dir=FOLDER)  # renamed when complete, so that no test finds half an install
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", fresh]
        subprocess.run([*pip, requirement], check=True, stderr=subprocess.PIPE, text=True)
        with contextlib.suppress(OSError):  # another run was faster
            Path(fresh).rename(folder)
    return folder


def run_client(folder: Path, code: str, url: str, home: Path, key: str | None = None) -> Any:
    """Runs ``code``, which finds the simulator's URL in ``sys.argv[1]`` and calls ``answer(value)``; returns the value.

    ``home`` becomes its home folder, where the official client reads its configuration.
    """
    (home / ".cw").mkdir(exist_ok=True)
    (home / ".cw" / "credentials.yml").write_text(json.dumps({"rest_url": url} | ({"api_key": key} if key else {})))
    environment = {"PYTHONPATH": str(folder), "HOME": str(home), "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    code = f"import json, sys\ndef answer(value):\n    print('ANSWER', json.dumps(value))\n{code}"
    command = [sys.executable, "-c", code, url]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return next(json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("ANSWER "))
