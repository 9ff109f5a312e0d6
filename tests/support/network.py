"""Two machines with a wire between them: network namespaces of this machine, which root may make."""

import os
import signal
import subprocess
from typing import Self

from tests.support import programs

IP = programs.find("ip") or "ip"
HERE, WIRE, THERE = "here", "wire", "there"
#: Machine -> its address, and that of its end of the wire.
ADDRESSES = {HERE: ("10.97.1.1", "10.97.1.2"), THERE: ("10.97.2.1", "10.97.2.2")}


class Network:
    """The machines HERE and THERE. Packets between them go through WIRE, unless it is cut."""

    def __init__(self) -> None:
        self.address = {machine: own for machine, (own, _) in ADDRESSES.items()}
        self._names = {each: f"tracker-{os.getpid()}-{each}" for each in (HERE, WIRE, THERE)}

    def on(self, machine: str, *command: str) -> list[str]:
        """The command that runs ``command`` on ``machine``. It has the process id of ``command``."""
        return [IP, "netns", "exec", self._names[machine], *command]

    def cut(self) -> None:
        """From now on packets vanish. Nobody is told: interfaces stay up, no connection is reset."""
        self._forward(0)

    def mend(self) -> None:
        self._forward(1)

    def _forward(self, on: int) -> None:
        _run(*self.on(WIRE, "sh", "-c", f"echo {on} > /proc/sys/net/ipv4/ip_forward"))

    def __enter__(self) -> Self:
        try:
            for name in self._names.values():
                _run(IP, "netns", "add", name)
        except subprocess.CalledProcessError as error:
            self.__exit__()
            programs.lacking(f"network namespaces cannot be made ({error.stderr.strip()})")
        for machine, (own, gateway) in ADDRESSES.items():
            end = f"to-{machine}"
            _run(IP, "-n", self._names[WIRE], "link", "add", end, "type", "veth",
                 "peer", "name", "eth0", "netns", self._names[machine])  # fmt: skip
            for name, link, address in ((machine, "eth0", own), (WIRE, end, gateway)):
                _run(IP, "-n", self._names[name], "address", "add", f"{address}/24", "dev", link)
                _run(IP, "-n", self._names[name], "link", "set", link, "up")
            _run(IP, "-n", self._names[machine], "link", "set", "lo", "up")
            _run(IP, "-n", self._names[machine], "route", "add", "default", "via", gateway)
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._names.values():
            left = subprocess.run([IP, "netns", "pids", name], capture_output=True, text=True, check=False).stdout
            for pid in left.split():
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run([IP, "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
