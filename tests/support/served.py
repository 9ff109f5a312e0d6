"""The API as users run it: the processes of `python -m tracker api`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.servers import answers, free_port, wait_for


@contextmanager
def served(store_url: str, **variables: str) -> Iterator[str]:
    """The URL of an API that answers. ``store_url``: its store; ``variables``: its settings."""
    port = free_port()
    environment = {**os.environ, "REDIS_URL": store_url, "API_PORT": str(port), "LOG_LEVEL": "warning", **variables}
    server = subprocess.Popen([sys.executable, "-m", "tracker", "api"], env=environment)
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the API answers")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)
