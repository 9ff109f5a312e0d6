"""A simulated exchange inside the test's process. It records requests and can be made slow."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Exchange:
    """Serves ``app`` on a free port; ``delay`` seconds pass before each answer to a request for candles.

    ``wrong``: markets whose answer is a page of HTML. ``asked``: market -> number of requests for its candles.
    ``waiting``: market -> number of requests that have no answer yet.
    """

    def __init__(self, app: Callable, delay: float = 0):
        self.app = app
        self.delay = delay
        self.wrong: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.times: list[tuple[float, str]] = []
        self.waiting: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, _Threaded, _Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        path = environ["PATH_INFO"].split("/")
        if path[-1] != "ohlc":
            return self.app(environ, start_response)
        market = f"{path[2]}:{path[3]}"
        with self._lock:
            self.asked[market] += 1
            self.times.append((time.time(), market))
            self.waiting[market] += 1
        try:
            time.sleep(self.delay)
            if market in self.wrong:
                start_response("200 OK", [("Content-Type", "text/html")])
                return [b"<html>We will be back soon</html>"]
            return self.app(environ, start_response)
        finally:
            with self._lock:
                self.waiting[market] -= 1

    def busy(self) -> bool:
        """Whether a request for candles has no answer yet."""
        return any(self.waiting.values())

    def __enter__(self) -> "Exchange":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
