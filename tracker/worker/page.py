"""The page of workers and beats for Prometheus: http://METRICS_BIND:METRICS_PORT/metrics.

One part shows the counts of all workers and beats of its DATA_DIR. When it ends, another takes over.
"""

import fcntl
import logging
import os
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from celery.signals import beat_init, worker_init

from tracker import counts
from tracker.settings import Settings, settings

log = logging.getLogger(__name__)

#: Seconds between two tries to become the part that shows the page.
EVERY = 2
#: Seconds in which a client must have sent its request and taken the answer: clients are served one by one.
PATIENCE = 3


class Handler(BaseHTTPRequestHandler):
    """Answers GET /metrics, and ends the connection."""

    server: "Server"

    def setup(self) -> None:
        super().setup()
        self._deadline = threading.Timer(PATIENCE, self.connection.shutdown, (socket.SHUT_RDWR,))
        self._deadline.daemon = True
        self._deadline.start()

    def finish(self) -> None:
        self._deadline.cancel()
        super().finish()

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        page = self.server.page.read()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", counts.TYPE)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def version_string(self) -> str:
        return "data-tracker"

    def log_message(self, *_: Any) -> None:
        """Nothing: a line for each scrape would fill the log."""


class Server(TCPServer):
    """Listens at the address of ``settings``. Raises OSError."""

    allow_reuse_address = True  # also while connections of the part before it close

    def __init__(self, settings: Settings):
        self.page = counts.Page(counts.Build(), counts.Counts(settings.data_dir, *counts.PARTS))
        super().__init__((settings.metrics_bind, settings.metrics_port), Handler)
        os.register_at_fork(after_in_child=self.socket.close)  # a child would keep the port after its worker's death

    def handle_error(self, *_: Any) -> None:
        """Nothing: the client went away, or was too slow."""


@worker_init.connect
@beat_init.connect
def show(**_: Any) -> None:
    """Shows the page in a thread, as soon as no other part with this DATA_DIR does."""
    if settings().metrics_port:
        threading.Thread(target=_show, args=(settings(),), name="metrics", daemon=True).start()


def _show(settings: Settings) -> None:
    path = counts.folder(settings.data_dir, "page.lock")
    said = False
    while True:
        try:
            with _locked(path), Server(settings) as server:
                server.serve_forever()
        except BlockingIOError:  # another part shows it
            pass
        except OSError as error:
            if not said:
                address = f"METRICS_BIND={settings.metrics_bind}, METRICS_PORT={settings.metrics_port}"
                log.warning("cannot show metrics: %s: %s. It is tried again", address, error)
            said = True
        time.sleep(EVERY)


def _locked(path: Path) -> Any:
    """The open file, locked by this process until it is closed. Raises OSError."""
    file = path.open("a")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file
