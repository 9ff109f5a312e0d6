"""A real RabbitMQ on free ports, with data of its own. It can be killed and started again on its data."""

import contextlib
import os
import socket
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.support.programs import find
from tests.support.servers import free_port, wait_for

#: Debian's /usr/sbin/rabbitmq-server changes to the user ``rabbitmq``. The script that it calls runs as any user.
OWN_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
LOCAL = "127.0.0.1"


class RabbitMQ:
    """``configuration``: more lines of rabbitmq.conf. ``url`` has a user with all rights."""

    def __init__(self, folder: Path, password: str = "of-rabbitmq", configuration: str = ""):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.names_port, self.nodes_port = free_port(), free_port(), free_port()
        self.password = password
        self.url = f"amqp://tracker:{password}@{LOCAL}:{self.port}/"
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {LOCAL}:{self.port}\ndefault_user = tracker\ndefault_pass = {password}\n"
            f"{configuration}\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        local = f"{{{LOCAL.replace('.', ',')}}}"
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),  # of the cookie
            "ERL_EPMD_PORT": str(self.names_port),
            "ERL_EPMD_ADDRESS": LOCAL,
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_DIST_PORT": str(self.nodes_port),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {local}",
            "detached": "yes",  # the script becomes the server, so that signals reach it
        }

    def start(self) -> Self:
        """Starts epmd, which Erlang needs, and the server."""
        if not self.processes:
            self._run(find("epmd") or "epmd", "-address", LOCAL, "-port", str(self.names_port))
            wait_for(lambda: _listens(self.names_port), "epmd listens")
        self._run(str(OWN_SCRIPT) if OWN_SCRIPT.exists() else find("rabbitmq-server") or "rabbitmq-server")
        wait_for(self.answers, f"RabbitMQ answers on port {self.port}", 60)
        return self

    def _run(self, *command: str) -> None:
        with (self.folder / "output").open("ab") as output:
            self.processes.append(subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            ))  # fmt: skip

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server."""
        return self.processes[-1]

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "output").read_text()[-2_000:]
        with contextlib.suppress(OSError), socket.create_connection((LOCAL, self.port), 1) as client:
            client.settimeout(5)
            client.sendall(b"AMQP\0\0\x09\x01")
            return bool(client.recv(1))
        return False

    def control(self, *words: str) -> str:
        """Runs rabbitmqctl."""
        script = OWN_SCRIPT.with_name("rabbitmqctl")
        command = [str(script if script.exists() else find("rabbitmqctl")), "-q", "-n", "rabbit@localhost", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def kill(self) -> None:
        """Ends the server as a crash does. epmd goes on."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: Any) -> None:
        for process in self.processes[::-1]:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOCAL, port), 1):
        return True
    return False
