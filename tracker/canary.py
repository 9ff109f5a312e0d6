"""The canary: a market of our own that goes the way of all markets once a minute, so that HEARTBEAT_URL hears of it.

A beat sends the tick, a fetch worker stores a sample, an evaluate worker finds it in the store, and a notify worker
tells the receiver that the round has passed. The next tick tells it which stage a round did not reach. The market is on
no watch list and gets no rank and no alert, so nobody else sees it. Nothing of this runs without HEARTBEAT_URL.
"""

import logging
from collections.abc import Sequence
from functools import cache
from secrets import token_hex
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import requests
from celery import Task
from celery.signals import before_task_publish

from tracker import http, pipeline
from tracker.errors import StoreError
from tracker.models import FIELDS, PRICE, Candles, Market, Ticker
from tracker.series import stats
from tracker.settings import settings
from tracker.store.canary import BEGAN, EVALUATE, FETCH, NOTIFY, Canary
from tracker.tasks import app, store

log = logging.getLogger(__name__)

#: Seconds of our clock between two rounds.
EVERY = 60
#: Seconds that the receiver has to take a connection, and to answer.
PATIENCE = 3
SOURCE, MARKET = "canary", "canary:beat"


class Feed:
    """The canary's source: the price of its market is the round, and a unit is traded."""

    skew = None

    def __init__(self, round: int):
        self._round = round

    def markets(self) -> list[Market]:
        return []

    def candles(self, market: Market, since: int) -> Candles:
        slot = store().ring.slot(self._round)
        return Candles(np.array([slot]), np.array([[self._round, 1.0]]), covered=slot)

    def tickers(self, markets: Sequence[Market]) -> dict[str, Ticker]:
        return {}


def canary() -> Canary:
    return Canary(store().redis)


def this_round() -> int:
    """The round that runs now: when its interval began, in Unix seconds of our clock."""
    return int(settings().clock.now() // EVERY * EVERY)


@before_task_publish.connect(sender="tracker.canary.fetch_canary")
def begin(**_: Any) -> None:
    """A beat sends the tick. The receiver is told beside it: if the receiver hangs, no tick is late."""
    Thread(target=judge, name="canary", daemon=True).start()


def judge() -> None:
    """Tells the receiver that a round begins, and if the one before did not pass. One of several beats does it."""
    round = this_round()
    try:
        if not store().claim(f"{SOURCE}-judge", round, token_hex(8), life=2 * EVERY):
            return
        missing = canary().missing()
        canary().reached(BEGAN, round)
    except StoreError as error:
        ping("/fail", f"the store does not answer: {error}")
        return
    if missing:
        ping("/fail", f"the last round did not reach the stage {missing} in {EVERY} s")
    ping("/start")


@app.task(bind=True, send_events=False)
def fetch_canary(self: Task) -> None:
    """A tick: stores the sample of a round, unless the tick of another beat did."""
    round = this_round()
    if store().claim(SOURCE, round, self.request.id, life=2 * EVERY):
        pipeline.fetch(store(), SOURCE, Feed(round), MARKET, settings().clock)
        canary().reached(FETCH, round)
        evaluate_canary.apply_async((round,), expires=left(round))


@app.task(send_events=False)
def evaluate_canary(round: int) -> None:
    """Looks for the sample of ``round`` in the window of the market, as evaluations read it."""
    now, step = settings().clock.now(), store().ring.step
    [(_, (window, _))] = store().walk([MARKET], now, 1)
    found = stats.describe(window.reshape(len(FIELDS), store().ring.rows), step).last[PRICE]
    if found != round:
        log.error("canary: the store has %s instead of the sample %d", found, round)
        return
    canary().reached(EVALUATE, round)
    notify_canary.apply_async((round,), expires=left(round))


@app.task(send_events=False)
def notify_canary(round: int) -> None:
    """The end of the way: tells the receiver that ``round`` has passed."""
    canary().reached(NOTIFY, round)
    ping()


def left(round: int) -> float:
    """Seconds until the next tick, which finds ``round`` late."""
    return max((round + 1.1 * EVERY - settings().clock.now()) / settings().clock.speed, 1)


def ping(path: str = "", text: str = "") -> None:
    """Sends ``text`` to ``path`` at HEARTBEAT_URL, once. If that fails, logs it without the URL, which is a secret."""
    parts = urlsplit(settings().heartbeat_url)
    url = parts._replace(path=parts.path.rstrip("/") + path).geturl()
    try:
        with session().post(
            url, data=text.encode(), timeout=(PATIENCE, PATIENCE), stream=True, allow_redirects=False
        ) as answer:
            if not answer.ok or answer.is_redirect:
                log.warning("the receiver at HEARTBEAT_URL answered %d", answer.status_code)
    except Exception as error:  # its text may hold the URL
        log.warning("the receiver at HEARTBEAT_URL did not answer: %s", type(error).__name__)


@cache
def session() -> requests.Session:
    return http.prepared(http.Plain(), {})
