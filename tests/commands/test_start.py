"""What a start says of its backfill: only what was fetched since it began counts."""

from tests.support.exchange import Exchange
from tests.support.servers import StoreServer, wait_for_room
from tracker import pipeline
from tracker.alerts.outbox import Outbox
from tracker.alerts.rules import DEFAULT_RULES
from tracker.commands.progress import progress
from tracker.settings import load
from tracker.simulator.feeds import Generated
from tracker.simulator.server import create_app
from tracker.sources.cryptowatch import Cryptowatch
from tracker.store.series import Store


def test_what_an_earlier_start_fetched_is_not_counted(store: Store, store_server: StoreServer) -> None:
    settings = load({"REDIS_URL": store_server.url})
    clock = settings.clock
    with Exchange(create_app(Generated(seed=1, markets=3, exchanges=1), clock)) as exchange:
        source = Cryptowatch(exchange.url, "", 60, clock)
        wait_for_room()
        began = clock.now()
        markets = pipeline.refresh(store, "simulator", source, began)
        assert progress(store, settings, began) == (0, 0, 3)

        for market in markets:
            pipeline.fetch(store, "simulator", source, market, clock)
        pipeline.evaluate(store, Outbox(store.redis), DEFAULT_RULES, markets, clock.now())
        assert progress(store, settings, began) == (3, 3, 3)

        assert progress(store, settings, clock.now() + 120) == (0, 0, 3)
