"""Requests to the simulated exchange, and the parts of its answers that tests read."""

from werkzeug.test import Client

from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app

MINUTE = 1_700_000_040
NOW = MINUTE + 30.5
DAY = 86_400
KEY = "k" * 20
BTCUSD = "/markets/kraken/btcusd"
feed = Generated(seed=7, markets=60, exchanges=3)


class Stopwatch:
    """A clock that shows what it is set to."""

    def __init__(self, time):
        self.time = time

    def now(self):
        return self.time


def at(now, source=feed, **options):
    """A client of the exchange as it stands at ``now``."""
    return Client(create_app(source, Stopwatch(now), **options))


def ask(client, path, **query):
    """The whole answer. The request must succeed."""
    response = client.get(path, query_string=query or None)
    assert response.status_code == 200, response.text
    return response.get_json()


def result(client, path, **query):
    return ask(client, path, **query)["result"]


def candles(client, path=BTCUSD, period="60", **bounds):
    return result(client, f"{path}/ohlc", periods=period, **bounds)[period]


def error(client, path, **query):
    response = client.get(path, query_string=query)
    return response.status_code, response.get_json()["error"]
