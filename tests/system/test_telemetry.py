"""Errors go to Sentry and traces to OpenTelemetry: real processes send to a receiver on this machine."""

import gzip
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support import programs
from tests.support.exchange import Exchange
from tests.support.http_server import HttpServer, Post
from tests.support.parts import Parts
from tests.support.servers import StoreServer, free_port, wait_for
from tests.support.stack import ROOT
from tracker import telemetry
from tracker.clock import Clock
from tracker.settings import load
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app

#: Some of so many volumes rise above their mean in each minute.
FEED = Generated(seed=7, markets=12, exchanges=1)
RULES = '[rules.trades]\nkind = "ratio"\nmatch = "*:volume"\nfactor = 1\nclear_factor = 1\nchannels = ["log"]\n'
PASSWORD, QUERY = "pAssw0rd-of-the-store", "T0K3N-in-a-query"
FAIL = "from tracker.tasks import fetch; fetch.delay('nosuch', ['kraken:btcusd'])"


@pytest.fixture
def parts(tmp_path: Path, server: HttpServer) -> Iterator[Parts]:
    """Parts that send to ``server``, with a simulated exchange and a store that has a password."""
    for module in sum(telemetry.MODULES.values(), ()):
        if not telemetry._installed(module):
            programs.lacking("requirements-telemetry.txt is not installed")
    server.says(b"{}")
    (tmp_path / "rules.toml").write_text(RULES)
    store = StoreServer(tmp_path / "store", "--requirepass", PASSWORD)
    store.url = f"redis://:{PASSWORD}@127.0.0.1:{store.port}/0"
    variables = {
        "REDIS_URL": store.url, "DATA_DIR": str(tmp_path), "RULES": str(tmp_path / "rules.toml"), "BUDGET": "100/1",
        "API_PORT": str(free_port()), "SENTRY_DSN": server.url.replace("//", "//key@") + "/1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "INTERVAL": "2",
    }  # fmt: skip
    with (
        store,
        Exchange(create_app(FEED, Clock())) as exchange,
        Parts(tmp_path, SIMULATOR_URL=exchange.url, **variables) as parts,
    ):
        yield parts


def content(post: Post) -> bytes:
    return gzip.decompress(post.body) if post.headers.get("Content-Encoding") == "gzip" else post.body


def spans(server: HttpServer) -> list[tuple[str, str, str]]:
    """The trace, the part and the name of each span that has come."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    found = []
    for post in [post for post in server.posts if post.path == "/v1/traces"]:
        for each in ExportTraceServiceRequest.FromString(content(post)).resource_spans:
            [part] = [one.value.string_value for one in each.resource.attributes if one.key == "service.name"]
            found += [(one.trace_id.hex(), part, one.name) for scope in each.scope_spans for one in scope.spans]
    return found


def errors(server: HttpServer) -> list[dict]:
    """The events that Sentry got, each a line of JSON in an envelope."""
    lines = [line for post in server.posts if "envelope" in post.path for line in content(post).splitlines()]
    return [event for event in map(json.loads, lines) if "event_id" in event and "platform" in event]


def secrets(server: HttpServer) -> list[str]:
    sent = b"".join(map(content, server.posts)).decode(errors="replace")
    return [secret for secret in (PASSWORD, QUERY) if secret in sent]


@pytest.mark.slow
def test_a_trace_goes_from_a_tick_to_its_notices(parts: Parts, server: HttpServer) -> None:
    worker = parts.start("worker", "-c", "2", prompt="ready.")
    parts.start("beat", prompt="beat: Starting")
    wanted = {f"run/tracker.tasks.{name}" for name in ("schedule_fetches", "fetch", "evaluate", "notify")}

    def whole() -> list[str]:
        traces: dict[str, set[str]] = {}
        for trace, part, name in spans(server):
            traces.setdefault(trace, set()).update((part, name))
        return [trace for trace, names in traces.items() if names >= wanted | {"data-tracker-beat"}]

    wait_for(whole, f"a trace has all tasks: {worker.logs()[-2000:]}", 120)
    assert "refused a message" not in worker.logs()
    assert secrets(server) == []


@pytest.mark.slow
def test_a_request_has_a_span_and_an_error_is_reported_without_secrets(parts: Parts, server: HttpServer) -> None:
    parts.start("api", prompt="Started worker-2")
    worker = parts.start("worker", "fetch", "-c", "1", prompt="ready.")
    url = f"http://127.0.0.1:{parts.environment['API_PORT']}/v1/sources?none={QUERY}"
    assert requests.get(url, timeout=30).status_code == 422
    subprocess.run([sys.executable, "-c", FAIL], cwd=ROOT, env=parts.environment, check=True, timeout=60)
    wait_for(lambda: ("data-tracker-api", "GET /v1/sources") in [each[1:] for each in spans(server)], "a span", 60)
    [event] = wait_for(lambda: errors(server), f"an error: {worker.logs()[-2000:]}", 60)
    assert event["tags"]["part"] == "worker-fetch"
    assert "fetching kraken:btcusd failed" in event["logentry"].get("formatted", event["logentry"]["message"])
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames and not any("vars" in frame for frame in frames)
    assert secrets(server) == []
    assert not re.search("opentelemetry|sentry", worker.logs())


def test_a_missing_package_is_named_in_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "MODULES", dict.fromkeys(telemetry.MODULES, ("json", "nosuch.module")))
    settings = load({"SENTRY_DSN": f"https://{PASSWORD}@sentry.example/1"})
    with caplog.at_level(logging.WARNING):
        telemetry.check(settings)
        telemetry.begin(settings)
    [record] = caplog.records
    assert "SENTRY_DSN is set, and nothing is sent: nosuch.module is not installed" in record.getMessage()
    assert PASSWORD not in record.getMessage()
