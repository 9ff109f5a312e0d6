"""A tracker moves to another store by the steps of docs/data.md: no slot, alert or notice is lost or told twice."""

from pathlib import Path

import pytest

from tests.support.copying import Asked, differed
from tests.support.parts import Parts
from tests.support.redis_servers import Cluster, Standalone
from tests.support.replayed import Replayed, start
from tests.support.servers import wait_for

pytestmark = pytest.mark.slow

#: Slow enough that no alert gets old while the workers are stopped.
SPEED = 12


def test_a_tracker_moves_to_a_cluster_and_back_while_alerts_are_told(tmp_path: Path) -> None:
    with Standalone(tmp_path / "old") as old, Cluster(tmp_path / "new", replicas=0) as new:
        tracker = Replayed(tmp_path / "tracker", old.url, old.url, SPEED)

        def there_and_back(parts: Parts) -> None:
            wait_for(lambda: tracker.told, "the first alert is told", 60)
            move(parts, new.url)
            told = len(tracker.told)
            wait_for(lambda: len(tracker.told) > told, "an alert is told from the cluster", 60)
            move(parts, old.url, "--replace")
            assert len(tracker.told) < len(tracker.expected)

        tracker.run(there_and_back)


def move(parts: Parts, url: str, *flags: str) -> None:
    """Takes the steps of the document."""
    with Asked(parts.environment["REDIS_URL"], url, *flags) as command:
        for part in parts.started[-2:]:
            part.kill("SIGTERM")
        said = command.go_on()
    assert differed(said)[0] > 10
    parts.environment["REDIS_URL"] = url
    start(parts)
