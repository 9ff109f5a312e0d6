"""GET a JSON document, bounded in time and size; whatever goes wrong is a SourceError with a counted reason."""

import time
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter

from tracker.errors import SourceError

CONNECT_TIMEOUT = 4
READ_TIMEOUT = 10
#: Seconds for a whole answer, however busily it drips; a task's soft time limit bounds what happens before the body.
DEADLINE = 15
#: Bytes of an answer, unpacked. The largest real one, the catalogue of 20,000 markets, has about 4 MB.
LARGEST = 32_000_000
CHUNK = 65_536


def session(headers: dict[str, str]) -> requests.Session:
    """A session to keep for a process: it reuses connections and never retries, which is the task's to decide."""
    made = requests.Session()
    made.headers.update({"User-Agent": "data-tracker", "Accept": "application/json", **headers})
    made.trust_env = False  # no .netrc look-up a request, and no proxy by surprise
    for scheme in ("http://", "https://"):
        made.mount(scheme, HTTPAdapter(pool_connections=8, pool_maxsize=8, max_retries=0))
    return made


def get_json(session: requests.Session, url: str, params: dict[str, Any] | None = None) -> Any:
    """The JSON document at ``url``.

    Raises SourceError: ``unreachable``, ``too_slow``, ``too_long``, ``http_NNN`` for a status other than 200,
    ``not_json``.
    """
    try:
        with session.get(
            url, params=params, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), stream=True, allow_redirects=False
        ) as response:
            body = _read(response, time.monotonic() + DEADLINE)
    except requests.Timeout as error:
        raise SourceError("too_slow", f"{url} did not answer in time: {error}") from error
    except (requests.RequestException, ValueError) as error:  # ValueError: headers that urllib3 cannot make sense of
        raise SourceError("unreachable", f"{url}: {error}") from error
    if response.status_code != 200:
        raise SourceError(f"http_{response.status_code}", f"{url} answered {response.status_code}: {_excerpt(body)}")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SourceError("not_json", f"{url} answered what is no JSON ({error}): {_excerpt(body)}") from error


def _read(response: requests.Response, deadline: float) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_content(CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            raise SourceError("too_long", f"{response.url} sent more than {LARGEST:,} bytes")
        if time.monotonic() > deadline:
            raise SourceError("too_slow", f"{response.url} was not through after {DEADLINE} s")
    return b"".join(chunks)


def _excerpt(body: bytes) -> str:
    return repr(body[:120].decode("utf-8", "replace"))
