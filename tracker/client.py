"""A client of the API: ``Client("http://127.0.0.1:8000").metric("kraken:btcusd:volume").values`` is a numpy array."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests

from tracker.errors import TrackerError

#: Shortest and longest time between two requests of ``watch``, in seconds, whatever the API says.
SHORTEST, LONGEST = 1.0, 300.0


class ClientError(TrackerError):
    """The API refused the request: the text is its detail. ``status``: the HTTP status, 0 without an answer."""

    def __init__(self, status: int, detail: str, retry_after: float = 0):
        super().__init__(detail)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True)
class Series:
    """A metric's values: ``slots`` int64 (n,), opening times in Unix seconds; ``values`` float64 (n,), NaN for missing.

    The first ``closed`` values belong to steps that have ended. The first ``final`` values stay as they are; the rest
    may still change. ``row``: everything else the API says about the metric, see /docs.
    """

    row: dict[str, Any]
    slots: np.ndarray
    values: np.ndarray
    step: int
    closed: int
    final: int


class Client:
    """Reads the API at ``url``. Every method may raise ClientError."""

    def __init__(self, url: str, key: str = "", timeout: float = 10):
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._session = requests.Session()
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def metrics(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Yields the rows of all metrics that match ``query`` (field="volume", q="btc", order="-cv"), page by page."""
        return self._pages("/v1/metrics", "metrics", query)

    def alerts(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Yields the alerts that match ``query``, page by page."""
        return self._pages("/v1/alerts", "alerts", query)

    def metric(self, id: str, **query: Any) -> Series:
        """The last 24 hours of a metric, or the part that ``query`` asks for (since=, step=, aggregate=)."""
        return _series(self._get(f"/v1/metrics/{id}", query).json())

    def watch(self, id: str, wait: Callable[[float], object] = time.sleep) -> Iterator[Series]:
        """Yields the last 24 hours of a metric, then new and changed values. It never ends.

        Each answer begins with the first slot that was not final before, so a final value is yielded once.

        Asks again when the API says that a change is due, with an ETag and only for the slots that may have changed.
        Waits longer while the API is away or answers 429. ``wait`` is called with the seconds to wait.
        """
        query: dict[str, Any] = {}
        etag, failures = "", 0
        while True:
            try:
                answer = self._get(f"/v1/metrics/{id}", query, {"If-None-Match": etag} if etag else {})
            except ClientError as error:
                if error.status not in (0, 429, 503):
                    raise
                failures += 1
                wait(min(max(error.retry_after, SHORTEST * 2**failures), LONGEST))
                continue
            failures = 0
            if answer.status_code != 304:
                series = _series(answer.json())
                yield series
                since = int(series.slots[0]) + series.final * series.step if len(series.slots) else query["since"]
                etag = answer.headers.get("ETag", "") if query.get("since") == since else ""
                query = {"since": since}
            wait(min(max(_max_age(answer), SHORTEST), LONGEST))

    def _pages(self, path: str, name: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = {"next": None}
        while True:
            page = self._get(path, query | ({"cursor": page["next"]} if page["next"] else {})).json()
            yield from page[name]
            if page["next"] is None:
                return

    def _get(self, path: str, query: dict[str, Any], headers: dict[str, str] | None = None) -> requests.Response:
        try:
            answer = self._session.get(self.url + path, params=query, headers=headers, timeout=self.timeout)
        except requests.RequestException as error:
            raise ClientError(0, f"{self.url} does not answer: {error}") from error
        if not answer.ok:
            raise ClientError(answer.status_code, _detail(answer), float(answer.headers.get("Retry-After", 0)))
        return answer


def _series(body: dict[str, Any]) -> Series:
    values = np.array(body.pop("values"), float)
    start, step, closed, final = (body.pop(name) for name in ("start", "step", "closed", "final"))
    return Series(body, start + step * np.arange(len(values)), values, step, closed, final)


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answered {answer.status_code}"


def _max_age(answer: requests.Response) -> float:
    """Seconds until something new may be due; 0 if the answer does not say."""
    for part in answer.headers.get("Cache-Control", "").split(","):
        name, _, value = part.strip().partition("=")
        if name == "max-age" and value.isdecimal():
            return float(value)
    return 0.0
