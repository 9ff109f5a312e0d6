"""No log holds a secret: real processes run at LOG_LEVEL=debug, and the test searches all that they wrote."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.support.http_server import HttpServer
from tests.support.processes import LocalProcess
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import CLEAN, ROOT
from tracker.alerts.outbox import Outbox
from tracker.series.ring import Ring
from tracker.store.api_keys import Keys
from tracker.store.connection import connect
from tracker.store.series import Store

SECRETS = {
    "the store's password": "pAssw0rd-of-the-store",
    "a token in a webhook's path": "T0K3N-in-a-path",
    "a token in a webhook's query": "T0K3N-in-a-query",
    "a token in the path of a service of Apprise": "t0k3n-of-a-service",
    "a password of a service of Apprise": "pAssw0rd-of-a-service",
    "the key of Cryptowatch": "K3Y-of-cryptowatch",
}
PASSWORD, PATH, QUERY, SERVICE, SERVICE_PASSWORD, CRYPTOWATCH = SECRETS.values()
RECORD = """
from tracker.models import Alert
from tracker.tasks import outbox, publish_notices

alert = Alert("jump", "kraken:btcusd:volume", 1_700_000_040, 9.0, 1.0, 3.0, 60, 3_600, 1_700_000_071.0, text="jumped")
outbox().record(alert, 60, ["hook", "chat"])
publish_notices([f"{alert.id}/hook/firing", f"{alert.id}/chat/firing"])
"""
ROW = "jump:kraken:btcusd:volume:1700000040"


@pytest.fixture
def repeating(server: HttpServer) -> HttpServer:
    """Receiver and exchange in one. It refuses every request, repeats path and key, and sends a malformed header."""

    def answer(request) -> None:
        said = f"no {request.path} for {request.headers.get('X-CW-API-Key')}".encode()
        request.send_response(404)
        request.send_header("Content-Length", str(len(said)))
        request.wfile.write(b"".join(request._headers_buffer) + b"no field\r\n\r\n" + said)

    server.answer = answer
    return server


@pytest.fixture
def environment(tmp_path: Path, repeating: HttpServer) -> Iterator[dict[str, str]]:
    host = repeating.url.removeprefix("http://")
    rules = tmp_path / "rules.toml"
    rules.write_text(
        f'[channels.hook]\nkind = "webhook"\nurl = "http://{host}/{PATH}?key={QUERY}"\nallow_private = true\n'
        f'[channels.chat]\nkind = "apprise"\nurl = "json://user:{SERVICE_PASSWORD}@{host}/{SERVICE}"\n'
        'allow_private = true\n[rules.jump]\nkind = "ratio"\nchannels = ["hook", "chat"]\n'
    )
    store = StoreServer(tmp_path / "store", "--requirepass", PASSWORD)
    store.url = f"redis://:{PASSWORD}@127.0.0.1:{store.port}/0"
    with store:
        yield CLEAN | {
            "REDIS_URL": store.url, "RULES": str(rules), "LOG_LEVEL": "debug", "API_PORT": str(free_port()),
            "SOURCES": "cryptowatch", "CRYPTOWATCH_URL": repeating.url, "CRYPTOWATCH_KEY": CRYPTOWATCH,
        }  # fmt: skip


def test_no_log_holds_a_secret_at_any_level(tmp_path: Path, repeating: HttpServer, environment: dict[str, str]) -> None:
    prompts = {"worker": "ready.", "beat": "beat: Starting", "api": "Started worker-2"}
    with connect(environment["REDIS_URL"]) as redis, ExitStack() as parts:
        api_key = Keys(redis).create("kim", "admin", 0)
        started = []
        for name, prompt in prompts.items():
            arguments = [name, "-c", "2"] if name == "worker" else [name]
            part = LocalProcess(name, [sys.executable, "-m", "tracker", *arguments], tmp_path, prompt, environment)
            parts.callback(part.teardown)
            started.append(part)
        for part in started:
            part.ready()

        subprocess.run([sys.executable, "-c", RECORD], cwd=ROOT, env=environment, check=True, timeout=60)
        for name in ("Authorization", "X-API-Key"):
            for key in (api_key, api_key[:-1] + "x"):
                sent = f"Bearer {key}" if name == "Authorization" else key
                url = f"http://127.0.0.1:{environment['API_PORT']}/v1/silences"
                requests.post(url, headers={name: sent}, json={"match": "none:*", "until": 1}, timeout=30)
        deliveries = Outbox(redis).deliveries
        rows = [f"{ROW}/hook/firing", f"{ROW}/chat/firing"]
        wait_for(lambda: [row.state for row in deliveries.all(rows)] == ["dead", "dead"], "both are refused", 60)
        status = Store(redis, Ring()).status
        wait_for(lambda: status("cryptowatch").get("last_error"), "the exchange has refused", 60)
        stored = f"{deliveries.all(rows)} {status('cryptowatch')}"

    logged = {part.name: part.logs() for part in started}
    assert "given up after 1 tries: answered 404" in logged["worker"]
    assert "DEBUG" in logged["worker"]
    assert [(what, name) for what, secret in {**SECRETS, "an API key": api_key[12:-1]}.items()
            for name, text in [*logged.items(), ("what is stored", stored)] if secret in text] == []  # fmt: skip
