"""An HTTP server whose answers a test sets."""

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.support.servers import wait_for


class Post(NamedTuple):
    """A request with a body."""

    path: str
    headers: dict[str, str]
    body: bytes


def drip(request: BaseHTTPRequestHandler, drop: bytes, pause: float, seconds: float) -> None:
    """Sends ``drop`` every ``pause`` seconds until the client hangs up, or for ``seconds``."""
    for _ in range(int(seconds / pause)):
        request.wfile.write(drop)
        time.sleep(pause)


class HttpServer:
    """An HTTP/1.1 server on a free port. ``answer`` gets the handler of each request and writes the answer.

    ``asked``: the requested paths. ``headers``: the header fields of the last request. ``posts``: all POSTs.
    """

    def __init__(self) -> None:
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda request: None
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.posts: list[Post] = []
        self._closing = 0
        self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.headers = dict(self.headers)
                try:
                    outer.answer(self)
                except OSError:
                    self.close_connection = True  # the client hung up

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.posts.append(Post(self.path, dict(self.headers), body))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def says(self, body: bytes, status: int = 200, delay: float = 0, **headers: str) -> None:
        """From now on every answer is this one, after ``delay`` seconds. ``Content_Type="text/html"`` sets a field."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            time.sleep(delay)
            request.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            request.wfile.write(body)

        self.answer = answer

    def sends(self, *pieces: bytes) -> None:
        """From now on every answer is these bytes, head included; then the connection closes (see ``settle``)."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.close_connection = True
            self._closing += 1
            try:
                for piece in pieces:
                    request.wfile.write(piece)
                request.connection.shutdown(socket.SHUT_RDWR)
            finally:
                self._closing -= 1

        self.answer = answer

    def hang(self, request: BaseHTTPRequestHandler) -> None:
        """An ``answer`` that does not come as long as the server runs."""
        request.close_connection = True
        self._over.wait(60)

    def settle(self) -> None:
        """Waits until ``sends`` has closed its connections: a client may use one again as long as it is open."""
        wait_for(lambda: not self._closing, "the server has closed the connection")

    def __enter__(self) -> "HttpServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
