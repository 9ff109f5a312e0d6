"""A store that is killed loses its last second of writes. Edges in slots that are still fresh alert all the same."""

from pathlib import Path

import pytest

from tests.support.days import MARKETS, Days, trades
from tests.support.hand_driven import START, HandClock
from tests.support.redis_servers import Standalone
from tracker.alerts.outbox import Outbox
from tracker.series.ring import Ring
from tracker.store.connection import connect
from tracker.store.series import Store

CUTS = 8


@pytest.mark.slow
def test_wherever_the_lost_second_began_the_edge_alerts_once(tmp_path: Path) -> None:
    """The file of writes is cut at several places, also in the midst of a command, as a power cut leaves it."""
    with Standalone(tmp_path) as servers:
        [server] = servers.servers
        file = server.folder / "appendonlydir" / "appendonly.aof.1.incr.aof"

        def minute(time: float) -> Days:
            """A tracker that starts anew on what the server has, and fetches and evaluates once."""
            days = Days(Store(connect(servers.url), Ring()), {MARKETS[0]: trades([20])}, HandClock(time))
            days.tick(0)
            return days

        minute(START + 19 * 60 + 50.0)
        kept = file.stat().st_size
        late = minute(START + 21 * 60 + 2.0)
        [alert] = late.outbox.newest()
        server.kill()
        whole = file.read_bytes()
        assert len(whole) > kept
        for cut in range(CUTS + 1):
            file.write_bytes(whole[: kept + (len(whole) - kept) * cut // CUTS])
            server.start()
            lost = not Outbox(server.client).newest()
            assert lost or cut > 0
            assert not lost or cut < CUTS
            days = minute(START + 21 * 60 + 50.0)
            assert [(each.id, each.late) for each in days.outbox.newest()] == [(alert.id, False)]
            days.send(60)
            assert [(each.event, each.key) for each in days.phone.sent if each.event == "firing"] == [
                ("firing", alert.id)
            ]
            server.kill()
