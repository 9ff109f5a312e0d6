"""Prometheus and Alertmanager as docker-compose.yml runs them, as processes of this machine, and many times as fast."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.support.compose import make_secrets, services
from tests.support.http_server import HttpServer
from tests.support.image import ROOT
from tests.support.programs import find
from tests.support.servers import answers, free_port, wait_for

FOLDER = ROOT / "deploy" / "monitoring"
#: All durations are divided by this: data is scraped every half second, and a minute is two seconds.
FASTER = 30
UNITS = {"s": 1, "m": 60, "h": 3_600}


def faster(text: str) -> str:
    """``text`` with its durations divided by FASTER, in milliseconds."""

    def divided(found: re.Match[str]) -> str:
        return f"{int(found[1]) * UNITS[found[2]] * 1_000 // FASTER}ms"

    return re.sub(r"\b(\d+)([smh])\b", divided, text)


class Monitoring:
    """Scrapes ``targets``, which are addresses by job, the API with its ``key``, and sends alerts to a receiver.

    ``sent``: what the receiver got, as (alert's name, its labels, whether it fires), oldest first.
    """

    def __init__(self, folder: Path, targets: dict[str, list[str]], key: str):
        self.folder, self.targets = folder, targets
        self.ports = {"prometheus": free_port(), "alertmanager": free_port()}
        self.receiver = HttpServer()
        self.receiver.says(b"")
        self.secrets = make_secrets(folder)
        (self.secrets / "metrics_key").write_text(key)
        self._write()

    def _write(self) -> None:
        rules = self._local("alerts.yml")
        configuration = yaml.safe_load(self._local("prometheus.yml"))
        for job in configuration["scrape_configs"]:
            del job["dns_sd_configs"]
            job["static_configs"] = [{"targets": self.targets[job["job_name"]]}]
        (self.folder / "alerts.yml").write_text(rules)
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        told = self._local("alertmanager.yml").replace("http://receiver.example", self.receiver.url)
        (self.folder / "alertmanager.yml").write_text(told)

    def _local(self, name: str) -> str:
        text = faster((FOLDER / name).read_text())
        text = text.replace("alertmanager:9093", f"127.0.0.1:{self.ports['alertmanager']}")
        return text.replace("/run/secrets", str(self.secrets))

    def _start(self, name: str, program: str) -> "subprocess.Popen[bytes]":
        command = str(services({}, "monitoring")[name]["command"])
        for place in (f"/etc/{name}", f"/{name}"):
            command = command.replace(f"={place}", f"={self.folder}/{'' if place.startswith('/etc') else name}")
        command = re.sub(r"=:\d+", f"=127.0.0.1:{self.ports[name]}", command)
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen([str(find(program)), *shlex.split(command)], stdout=log, stderr=log)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers to ``expression``, which it must understand."""
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/query"
        answer = requests.get(url, {"query": expression}, timeout=10).json()
        assert answer["status"] == "success", (expression, answer)
        return list(answer["data"]["result"])

    def held_back(self, name: str) -> bool:
        """Whether Alertmanager knows the alert, and tells nobody because of another one."""
        url = f"http://127.0.0.1:{self.ports['alertmanager']}/api/v2/alerts"
        found = requests.get(url, {"filter": f"alertname={name}"}, timeout=10).json()
        return any(each["status"]["inhibitedBy"] for each in found)

    @property
    def sent(self) -> list[tuple[str, dict[str, str], bool]]:
        return [
            (alert["labels"]["alertname"], alert["labels"], alert["status"] == "firing")
            for post in list(self.receiver.posts)
            for alert in json.loads(post.body)["alerts"]
        ]

    def told(self, name: str, firing: bool = True, since: int = 0, **labels: str) -> bool:
        """Whether the receiver was told of that alert, in its messages from number ``since`` on."""
        return any(
            each == name and fires == firing and labels.items() <= known.items()
            for each, known, fires in self.sent[since:]
        )

    def wait_until_told(self, name: str, firing: bool = True, since: int = 0, **labels: str) -> None:
        what = f"the receiver is told that {name} {'fires' if firing else 'is over'}"
        try:
            wait_for(lambda: self.told(name, firing, since, **labels), what, 60)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.query('ALERTS')}, sent: {self.sent}") from None

    def __enter__(self) -> "Monitoring":
        self.receiver.__enter__()
        self.processes = [
            self._start("alertmanager", "prometheus-alertmanager"),
            self._start("prometheus", "prometheus"),
        ]
        for name, port in self.ports.items():
            wait_for(lambda port=port: answers(f"http://127.0.0.1:{port}/-/ready"), f"{name} is ready: {self.folder}")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        self.receiver.__exit__()
