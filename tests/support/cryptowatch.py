"""A server's answers in Cryptowatch's format."""

import json
from types import SimpleNamespace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tracker.models import Market

SLOT = 1_700_000_040
NOW = SLOT + 30.5
BTCUSD = Market("kraken:btcusd", "btc", "usd")
CLOCK = SimpleNamespace(now=lambda: NOW)
#: Hypothesis shares one server among examples, each of which sets the whole answer.
shared_server = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)


def says(server, document):
    server.says(json.dumps(document).encode(), Content_Type="application/json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["60", "result", "x"]), inner),
    max_leaves=10,
)


def pair(symbol="btcusd", base="btc", quote="usd"):
    return {"id": 9, "symbol": symbol, "base": {"id": 60, "symbol": base}, "quote": {"id": 98, "symbol": quote}}
