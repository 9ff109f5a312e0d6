"""The examples of the OpenAPI document: real answers of the API over a store with the same contents each time.

``python -m tests.api.examples`` writes them. Run it when answers change.
"""

import tempfile
from pathlib import Path

import numpy as np
import orjson

from api.pages.openapi import EXAMPLES
from tests.support.servers import StoreServer
from tests.support.tracked import SLOTS, Tracked

#: Paths in the document -> paths to ask for.
ASKED = {
    "/v1": "/v1",
    "/healthz": "/healthz",
    "/v1/metrics": "/v1/metrics?field=volume&limit=2",
    "/v1/metrics/{id}": "/v1/metrics/kraken:btcusd:volume?step=3600",
    "/v1/markets/{id}": "/v1/markets/kraken:btcusd?step=7200",
    "/v1/movers": "/v1/movers?by=cv&field=volume&limit=1",
    "/v1/rules": "/v1/rules",
}


def answers(tracked: Tracked) -> dict:
    """Fills the empty store of ``tracked``, and returns the answers by path in the document."""
    random = np.random.default_rng(1)
    ids = ["kraken:btcusd", "kraken:ethusd", "bitfinex:ltcbtc"]
    tracked.watch(*ids)
    for id, price in zip(ids, (29_140.7, 1_847.2, 0.0032339), strict=True):
        prices = price * np.exp(np.cumsum(random.standard_normal(len(SLOTS)) * 5e-4))
        volumes = np.round(random.pareto(1.5, len(SLOTS)) * 3_000 / price, 4)
        tracked.store.write(
            "simulator", id, SLOTS, np.column_stack([np.round(prices, 7), volumes]), float(SLOTS[-1]), new=True
        )
    tracked.evaluate(*ids)
    return {path: tracked.get(asked) for path, asked in ASKED.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, StoreServer(Path(folder)) as server:
        EXAMPLES.write_bytes(orjson.dumps(answers(Tracked(server.url)), option=orjson.OPT_INDENT_2) + b"\n")
