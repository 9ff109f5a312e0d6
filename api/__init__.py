"""The HTTP API. ``create_app`` makes the WSGI app, ``server_app`` the app of a server process.

``app.extensions`` has two Stores. ``reads`` is for what answers show: it may read from a replica (REDIS_READ_URL).
``store`` is the master, for what is written and for what must not be a moment old: counts of requests and API keys.
"""

import gc
import sys
from functools import partial
from typing import Any

import orjson
from apiflask import APIFlask
from flask import Response, request
from flask.json.provider import JSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from api import v1
from api.pages import dashboard, docs, links, metrics, openapi, service
from api.serving import bodies, problems
from api.serving.access import READS, Guard
from api.serving.answer import dumps
from api.serving.cache import Cached
from api.serving.counted import Counted
from api.serving.request_log import RequestLog
from api.v1.series import FastPath
from api.v1.table import Tables
from tracker import logs, telemetry
from tracker.errors import SettingsError
from tracker.metrics import metrics_page
from tracker.plain import plain
from tracker.settings import Settings, load
from tracker.sources import known
from tracker.store import heartbeat, skew
from tracker.store.connection import connect
from tracker.store.reading import Replicas, reader, replicas_behind
from tracker.store.series import Store

#: Seconds for the store to answer a command or accept a connection. A client is waiting.
PATIENCE = 2
#: Seconds for which the API does not ask the store again after such a failure.
PAUSE = 0.5
#: The versions of the API by their names in paths, the newest last.
VERSIONS = {"v1": v1.bp}


def create_app(settings: Settings | None = None) -> APIFlask:
    """The app, configured by ``settings`` or by the environment. A bad variable ends the process with one line."""
    settings = settings or _from_environment()
    app = APIFlask(
        "api",
        title="data-tracker",
        version="1",
        spec_path="/v1/openapi.json",
        docs_path=None,
        static_folder=None,  # type: ignore[arg-type]  # the dashboard serves its files itself
    )
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        DESCRIPTION="Crypto market metrics of the last 24 hours, ranked by standard deviation. Times are Unix seconds, "
        "UTC. To watch, poll with `since=` and `If-None-Match`. /latest is another name of the newest version.",
        MAX_CONTENT_LENGTH=64_000,
        AUTO_SERVERS=False,  # it would publish the Host header of the first client
        AUTO_404_RESPONSE=False,  # problems.documented describes errors
        AUTO_VALIDATION_ERROR_RESPONSE=False,
    )
    app.json = Json(app)
    app.url_map.merge_slashes = False  # a doubled slash is an unknown path, not a redirect
    redis = connect(settings.redis_url, tries=2, patience=PATIENCE, pause=PAUSE, local=settings.redis_socket)
    store = Store(redis, settings.ring)
    reads = Store(reader(redis, settings.redis_read_url), settings.ring) if settings.redis_read_url else store
    app.extensions.update(settings=settings, store=store, reads=reads, tables=Tables(reads, settings.sources))
    app.register_blueprint(dashboard.bp)
    app.register_blueprint(service.bp)
    app.register_blueprint(docs.bp)
    app.register_blueprint(links.bp)
    app.register_blueprint(metrics.bp)
    app.extensions["metrics"] = metrics_page(store, settings)
    for version, bp in VERSIONS.items():
        app.register_blueprint(bp, url_prefix=f"/{version}", name=version)
    newest = list(VERSIONS)[-1]
    app.register_blueprint(VERSIONS[newest], url_prefix="/latest", name="latest")
    app.add_url_rule("/latest/openapi.json", "openapi.latest", app.view_functions["openapi.spec"])
    app.spec_processor(openapi.improved)
    telemetry.trace_requests(app, settings)
    fast, alias = FastPath(settings, reads), ("/latest/", f"/{newest}/")
    app.extensions["cache"] = Cached(app.wsgi_app, fast, settings, reads, alias)
    app.wsgi_app = Guard(app.extensions["cache"], settings, store)  # type: ignore[method-assign]
    if hops := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    app.wsgi_app = RequestLog(app.wsgi_app, Counted(app.url_map))  # type: ignore[method-assign]
    problems.install(app)
    if replicas := replicas_behind(reads.redis):
        app.after_request(partial(_catch_up, replicas))
    return app


def server_app() -> APIFlask:
    """The app of a process that does nothing but serve it, configured by the environment.

    Frozen objects are not searched for garbage. Searching them would stop all requests for 50 ms at each full
    collection, and answers that leave the cache cause those.
    """
    logs.set_up()
    app = create_app()
    telemetry.begin(app.extensions["settings"])
    bodies.install()
    skew.watch(app.extensions["settings"])
    heartbeat.begin(app.extensions["settings"], "api", "api")
    gc.collect()
    gc.freeze()
    return app


def _catch_up(replicas: Replicas, response: Response) -> Response:
    """What a request has written is in all answers after it."""
    if request.method not in READS:
        replicas.catch_up()
    return response


class Json(JSONProvider):
    """JSON by orjson; see ``dumps``."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return Response(dumps(self._prepare_response_obj(args, kwargs)), mimetype="application/json")


def _from_environment() -> Settings:
    try:
        return known(load())
    except SettingsError as error:
        sys.exit(plain(f"api: {error}"))
