"""Reports errors to Sentry and traces to OpenTelemetry, if their variables are set and their packages installed."""

import atexit
import logging
from importlib.util import find_spec
from threading import Thread
from typing import Any

from tracker import logs
from tracker.errors import StoreError
from tracker.settings import Settings

log = logging.getLogger(__name__)

#: What each variable needs. requirements-telemetry.txt pins the packages.
MODULES = {
    "SENTRY_DSN": ("sentry_sdk",),
    "OTEL_EXPORTER_OTLP_ENDPOINT": (
        "opentelemetry.sdk",
        "opentelemetry.exporter.otlp.proto.http",
        "opentelemetry.instrumentation.celery",
        "opentelemetry.instrumentation.flask",
    ),
}
#: Seconds that a process which ends waits for the receiver of what it has not sent yet.
LAST = 1


def check(settings: Settings) -> None:
    """Says so if a variable is set and its packages are missing."""
    for variable, value in zip(MODULES, (settings.sentry_dsn, settings.otel_endpoint), strict=True):
        if value and (missing := [module for module in MODULES[variable] if not _installed(module)]):
            how = "pip install -r requirements-telemetry.txt"
            log.warning("%s is set, and nothing is sent: %s is not installed (%s)", variable, missing[0], how)


def begin(settings: Settings) -> None:
    """Begins both in this process."""
    report_errors(settings)
    trace(settings)


def report_errors(settings: Settings) -> None:
    """Sends each error in a log and each failed task or request to Sentry. May be called before a fork."""
    if not settings.sentry_dsn or not all(map(_installed, MODULES["SENTRY_DSN"])):
        return
    import sentry_sdk
    from sentry_sdk.integrations import celery, dedupe, excepthook, flask, threading
    from sentry_sdk.integrations.logging import LoggingIntegration

    once = logs.OneLine()

    def prepared(event: Any, hint: dict[str, Any]) -> Any:
        if "request" in event:  # queries and headers may hold what a client keeps secret
            event["request"] = {name: event["request"].get(name) for name in ("method", "url")}
        record = hint.get("log_record")
        return event if record is None or once.filter(record) else None

    sentry_sdk.init(
        settings.sentry_dsn,
        # Its other integrations note the URL of each request, and a webhook's URL is a secret.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None),
            celery.CeleryIntegration(propagate_traces=False),
            flask.FlaskIntegration(),
            dedupe.DedupeIntegration(),
            excepthook.ExcepthookIntegration(),
            threading.ThreadingIntegration(propagate_scope=False),
        ],
        before_send=prepared,
        ignore_errors=[StoreError],  # an outage: metrics and logs tell it
        include_local_variables=False,
        send_default_pii=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        shutdown_timeout=LAST,
    )
    sentry_sdk.set_tag("part", logs.part())


def trace(settings: Settings) -> None:
    """Sends a span for each task, and for each request that an app of ``trace_requests`` sees. Call it after a fork.

    A trace goes from a tick to its fetches, evaluations and notices. Requests to others have no span: a webhook's URL
    is a secret.
    """
    if not settings.otel_endpoint or not all(map(_installed, MODULES["OTEL_EXPORTER_OTLP_ENDPOINT"])):
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": f"data-tracker-{logs.part()}"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # that waits for as long as a receiver hangs
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{settings.otel_endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()
    atexit.register(end, settings)


def trace_requests(app: Any, settings: Settings) -> None:
    """Makes a span for each request that the Flask ``app`` sees. What is put around it later makes none."""
    if settings.otel_endpoint and all(map(_installed, MODULES["OTEL_EXPORTER_OTLP_ENDPOINT"])):
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app, response_hook=_hide_query)


def _hide_query(span: Any, *_: Any) -> None:
    """Removes the query from the span of a request: as in the log and in Sentry. Called when its answer begins."""
    for name, value in dict(getattr(span, "attributes", None) or {}).items():
        if name in ("http.url", "http.target"):
            span.set_attribute(name, value.partition("?")[0])
        elif name == "url.query":
            span.set_attribute(name, "")


def end(settings: Settings) -> None:
    """Sends the last spans of this process, within LAST seconds."""
    if settings.otel_endpoint and _installed("opentelemetry.sdk"):
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace import get_tracer_provider

        provider = get_tracer_provider()
        if isinstance(provider, TracerProvider):
            last = Thread(target=provider.force_flush, daemon=True)
            last.start()
            last.join(LAST)


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of its parent
        return False
