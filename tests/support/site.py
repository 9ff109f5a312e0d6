"""A real nginx with the shipped site."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.support.programs import find
from tests.support.servers import free_port, wait_for

DEPLOY = Path(__file__).parents[2] / "deploy"


@contextmanager
def nginx(folder: Path, api: str, changes: dict[str, str] | None = None) -> Iterator["Site"]:
    """An nginx with the shipped site in front of ``api``, on free ports, with its own certificate.

    ``changes``: text of the site -> its replacement.
    """
    site = Site(free_port(), free_port(), folder / "cert.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tracker.example", "-days", "1",
         "-addext", "subjectAltName=DNS:tracker.example,IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", site.ca],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "site.conf").write_text(adapted(shipped(), folder, site, api, changes or {}))
    user = "user root;" if os.geteuid() == 0 else ""  # the folder belongs to root
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log off; include {folder}/site.conf; }}\n"
    )
    command = [find("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    process = site.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: process.poll() is not None or site.answers(), "nginx answers")
        assert process.poll() is None, process.communicate()
        yield site
    finally:
        process.terminate()
        process.wait(30)


def shipped() -> str:
    """The text of the site, with what it includes."""
    text = (DEPLOY / "nginx.conf").read_text()
    return re.sub(r"include tracker/(\w+\.conf);", lambda found: (DEPLOY / "nginx" / found[1]).read_text(), text)


def adapted(text: str, folder: Path, site: "Site", api: str, more: dict[str, str]) -> str:
    """The text of the site with the changes that a user must make, and ``more``."""
    changes = {
        "127.0.0.1:8000": api.removeprefix("http://"),
        "listen 80;": f"listen 127.0.0.1:{site.plain};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{site.port} ssl http2;",
        "/etc/ssl/tracker.example.pem": str(site.ca),
        "/etc/ssl/tracker.example.key": str(folder / "key.pem"),
        "/var/cache/nginx/tracker": str(folder / "cache"),
        **more,
    }
    for shipped, ours in changes.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, ours)
    return text


class Site:
    """The ports of an nginx, and its answers."""

    def __init__(self, plain: int, port: int, ca: Path):
        self.plain, self.port, self.ca = plain, port, ca
        self.process: subprocess.Popen | None = None

    def get(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(
            method, f"https://127.0.0.1:{self.port}{path}", headers={"Accept-Encoding": "", **named},
            verify=str(self.ca), timeout=30, stream=True,
        )  # fmt: skip

    def answers(self) -> bool:
        try:
            return self.get("/healthz").ok
        except requests.RequestException:
            return False
