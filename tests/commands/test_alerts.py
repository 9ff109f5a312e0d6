"""The command ``alerts``."""

from click.testing import CliRunner

from tests.support.notices import ALERT
from tests.support.servers import StoreServer
from tracker.alerts.outbox import Outbox
from tracker.commands.cli import root
from tracker.store.connection import connect


def test_alerts_are_listed_acknowledged_and_taken_back(store_server: StoreServer) -> None:
    def run(*words: str) -> tuple[int, str]:
        ended = CliRunner().invoke(root, ["alerts", *words], env={"REDIS_URL": store_server.url})
        return ended.exit_code, ended.output

    with connect(store_server.url) as redis:
        redis.flushall()
        Outbox(redis).record(ALERT, 60)
    assert run("acknowledge", ALERT.id, "--by", "kim", "--comment", "x" * 9_999) == (0, f"acknowledged: {ALERT.id}\n")
    code, said = run("list", "--firing")
    assert code == 0 and "firing, acknowledged by kim  " in said and ALERT.id in said and said.endswith("1 alerts\n")
    assert run("take-back", ALERT.id)[0] == 0
    assert "acknowledged" not in run("list")[1]
    assert run("acknowledge", "no:such:1")[0] == run("take-back", "no:such:1")[0] == 1
