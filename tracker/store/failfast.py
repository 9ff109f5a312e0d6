"""While the server is away, most calls fail at once. Now and then a call waits, to see whether the server is back."""

import threading
import time
from collections.abc import Callable
from typing import Any

from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry


class FailFast(Retry):
    """Retries after a broken connection, not after a timeout. After a failure, calls fail at once for ``pause`` s."""

    def __init__(self, tries: int, pause: float):
        super().__init__(ExponentialBackoff(cap=2, base=0.1), tries - 1, (ConnectionError,))
        self._pause = pause
        self._until = 0.0
        self._local = threading.local()

    def __deepcopy__(self, memo: dict[int, Any]) -> "FailFast":
        return self  # all connections share what they know of failures

    def call_with_retry(self, do: Callable[..., Any], fail: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if getattr(self._local, "trying", False):  # redis-py connects inside the call of a command
            return super().call_with_retry(do, fail, *arguments, **options)
        if time.monotonic() < self._until:
            raise ConnectionError("it did not answer a moment ago")
        self._local.trying = True
        try:
            return super().call_with_retry(do, fail, *arguments, **options)
        except (ConnectionError, TimeoutError):
            self._until = time.monotonic() + self._pause
            raise
        finally:
            self._local.trying = False
