"""Errors as JSON problems (RFC 9457): what went wrong and what to do. No answer is ever a traceback.

Only the pages of links (api/pages/links.py) say in HTML what is wrong, because people read them.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

import orjson
from apiflask import APIFlask, HTTPError, abort
from flask import Response, current_app, request, url_for
from werkzeug.http import HTTP_STATUS_CODES

from tracker import logs
from tracker.errors import StoreError, TooMany

MIMETYPE = "application/problem+json"
#: Seconds after which a client may try again while the store is away. A restart takes about as long.
RETRY_AFTER = 2
#: Pydantic puts this before the words of our own validators.
OURS = "Value error, "

#: What each status means to a client, for the OpenAPI document.
MEANINGS = {
    HTTPStatus.BAD_REQUEST: "The body is not JSON.",
    HTTPStatus.UNAUTHORIZED: "An API key is needed, or the key that was sent is unknown.",
    HTTPStatus.FORBIDDEN: "The API key that was sent does not allow this, or no key exists yet.",
    HTTPStatus.NOT_FOUND: "Nothing has this id.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not arrive in time.",
    HTTPStatus.LENGTH_REQUIRED: "A body came without `Content-Length`.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too long.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The query is too long.",
    HTTPStatus.CONFLICT: "The maximum number exists already, only the rules file can change this, or it has changed.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A parameter is unknown or its value is not valid. `errors` says which and why.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests in this minute. `Retry-After` says when the next begins.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The store does not answer. `Retry-After` says when to try again.",
}


def install(app: APIFlask) -> None:
    """Makes ``app`` answer every error with a problem."""
    app.error_processor(_of_http_error)
    app.register_error_handler(StoreError, _of_store_error)
    app.register_error_handler(TooMany, lambda error: _problem(HTTPStatus.CONFLICT, str(error)))


def documented(*statuses: HTTPStatus) -> dict[int | str, Any]:
    """The problems of an operation, for ``@bp.doc(responses=...)``."""
    content = {MIMETYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {int(status): {"description": MEANINGS[status], "content": content} for status in statuses}


def refuse(location: str, name: str, detail: str) -> NoReturn:
    """Ends the request with a problem about a parameter that the schema cannot check."""
    abort(HTTPStatus.UNPROCESSABLE_ENTITY, detail={location: {name: [detail]}})


def body(status: int, detail: str, **more: Any) -> bytes:
    """A problem as it is sent. ``request_id`` finds the lines of the request in the log."""
    title = HTTP_STATUS_CODES[status]
    if id := logs.known().get("request_id"):
        more["request_id"] = id
    return orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail, **more})


def _of_http_error(error: HTTPError) -> Response:
    """The problem of what Flask, APIFlask or a view raised. A view's detail is text, APIFlask's is a dict."""
    if isinstance(error.detail, dict) and error.detail:
        return _invalid(error.detail)
    return _problem(error.status_code, error.detail or _detail(error), headers=error.headers)


def _of_store_error(error: StoreError) -> Response:
    current_app.logger.error("503: %s", error)  # it may name hosts: for the log only
    detail = f"The store does not answer properly. Try again in {RETRY_AFTER} seconds. The API's log says more."
    return _problem(503, detail, headers={"Retry-After": str(RETRY_AFTER)})


def _invalid(found: Mapping[str, Mapping[str, list[str]]]) -> Response:
    errors = [
        {"location": location, "name": name, "detail": detail.removeprefix(OURS)}
        for location, names in found.items()
        for name, details in names.items()
        for detail in details
    ]
    told = "; ".join(f"{error['name'][:80]}: {error['detail']}" for error in errors[:5])
    return _problem(422, f"{told}. {url_for('openapi.spec')} describes every parameter.", errors=errors)


def _detail(error: HTTPError) -> str:
    match error.status_code:
        case 400 if request.method in ("POST", "PUT", "PATCH"):
            return f"The body is not JSON. {url_for('openapi.spec')} describes what is expected."
        case 404:
            return f"This path does not exist. {url_for('v1.index.index')} lists the paths."
        case 405:
            return f"This path does not support the method. It supports {dict(error.headers).get('Allow', 'others')}."
        case 413:
            return f"A body has at most {current_app.config['MAX_CONTENT_LENGTH']:,} bytes."
        case 500:
            return "The API failed on this request. Please report its `request_id`. The API's log has the reason."
    return f"{error.message}. {url_for('openapi.spec')} describes all requests."


def _problem(status: int, detail: str, headers: Any = None, **more: Any) -> Response:
    return Response(body(status, detail, **more), status, headers, MIMETYPE)
