"""While the store refuses writes, logs have a few lines; when it takes them again, work goes on."""

import signal
from pathlib import Path

from redis import Redis

from tests.support.parts import Parts
from tests.support.servers import StoreServer, free_port, wait_for


def test_a_store_that_refuses_writes_is_a_few_lines_in_a_log_and_ticks_go_on(tmp_path: Path) -> None:
    variables = {"INTERVAL": "2", "SIMULATOR_URL": f"http://127.0.0.1:{free_port()}"}
    with (
        StoreServer(tmp_path) as server,
        Redis.from_url(server.url) as redis,
        Parts(tmp_path, REDIS_URL=server.url, **variables) as parts,
    ):
        worker = parts.start("worker", "fetch", "evaluate", "--concurrency", "1", prompt="ready.")
        beat = parts.start("beat", prompt="beat: Starting")
        wait_for(lambda: "task=schedule_fetches" in worker.logs(), "ticks come")
        # A worker that takes a message just as the store is full ends, and is started again. Here no message waits.
        beat.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: not redis.exists("fetch", "evaluate"), "no message waits")
        redis.config_set("maxmemory", 1)
        beat.process.send_signal(signal.SIGCONT)
        wait_for(lambda: "'maxmemory'" in worker.logs(), "the worker says so", 90)
        wait_for(lambda: "ticks not sent" in beat.logs(), "the beat says so", 90)
        redis.config_set("maxmemory", 0)
        before = worker.logs().count("task=schedule_fetches")
        wait_for(lambda: worker.logs().count("task=schedule_fetches") > before + 3, "ticks come again", 90)
        for part in (worker, beat):
            assert "Traceback" not in part.logs() and "  File" not in part.logs()
        assert beat.logs().count("ticks not sent") == 1
