"""Shows the backfill of a start until every market has a rank."""

import socket
import subprocess
import sys
import time

from tracker.errors import StoreError
from tracker.settings import Settings
from tracker.store.connection import connect
from tracker.store.series import Store

#: Seconds without progress before giving up. QUIET: if the sources have answered for every market.
PATIENCE = 30
QUIET = 8


def show(settings: Settings, supervisor: subprocess.Popen[bytes]) -> None:
    """Prints the progress until every market is ranked: one line on a terminal, elsewhere a line for each change.

    Gives up when nothing changes any more. Then it prints why, or how to find out.
    """
    store = Store(connect(settings.redis_url, tries=1), settings.ring)
    began, since = time.monotonic(), settings.clock.now()
    terminal, shown, changed, up = sys.stdout.isatty(), "", began, False
    while supervisor.poll() is None:
        now = time.monotonic()
        fetched, answered, of = progress(store, settings, since)
        text = f"24 h of {fetched} of {of} markets fetched" if of else f"starting{_waits(store, settings)}"
        if text != shown or terminal:
            sys.stdout.write(f"\r\033[K{text} ({now - began:.0f} s)" if terminal else f"{text} ({now - began:.1f} s)\n")
            sys.stdout.flush()
        was_up, up = up, up or _answers(settings.bind, settings.api_port)
        if (text, up) != (shown, was_up):
            shown, changed = text, now
        complete = of and fetched >= of and up
        silent = now - changed > (QUIET if up and of and answered >= of else PATIENCE)
        if complete or silent:
            print("\n" if terminal else "", end="")
            if not complete:
                print(_why(fetched, answered, of))
            return
        time.sleep(max(0.2, 3 * (time.monotonic() - now)))  # these looks must not slow down the backfill


def _why(fetched: int, answered: int, of: int) -> str:
    if of and answered >= of:
        return f"{of - fetched} of {of} markets have no past: no trade in 24 h, or a source asked for tickers"
    return f"no progress for {PATIENCE} s: {sys.executable} -m tracker status, and the logs, say why"


def progress(store: Store, settings: Settings, since: float) -> tuple[int, int, int]:
    """(markets ranked since ``since``, markets with an answer from their source, watched markets), as counts."""
    try:
        watched = {market for source in settings.sources for market in store.watched(source)}
        ids, summaries = store.summaries("price")
        current = summaries["slot"] >= settings.ring.slot(since)
        fetched = sum(id.rpartition(":")[0] in watched for id, is_new in zip(ids, current, strict=True) if is_new)
        heard = any(float(store.status(source).get("last_success", 0)) >= since for source in settings.sources)
        return fetched, store.answered(list(watched)) if heard else 0, len(watched)
    except StoreError:
        return 0, 0, 0  # not up yet


def _waits(store: Store, settings: Settings) -> str:
    """Why sources have not read their catalogue yet, as the end of a sentence."""
    try:
        said = {name: store.status(name).get("waiting") for name in settings.sources}
    except StoreError:
        return ""
    return "".join(f"; {name}: {why}" for name, why in said.items() if why)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
