"""The simulated exchange as a process."""

import signal
import socket

import pytest
import requests

from tests.support.asked import BTCUSD, KEY
from tests.support.candle_files import FOLDER
from tests.support.clients import simulator, start_simulator
from tests.support.servers import answers, free_port, wait_for

pytestmark = pytest.mark.slow  # starts processes of its own


class TestTheProcess:
    def test_serves_over_one_connection_and_spends_one_budget(self):
        with simulator(markets=6, budget=0.3, keys=[KEY]) as url, requests.Session() as session:
            answers = [session.get(f"{url}{BTCUSD}/ohlc", params={"periods": 60}, timeout=10) for _ in range(21)]
            assert [answer.status_code for answer in answers] == [200] * 20 + [429]
            assert answers[0].headers["Content-Encoding"] == "gzip"
            (adapter,) = {id(a): a for a in session.adapters.values() if a.poolmanager.pools.keys()}.values()
            (pool,) = (adapter.poolmanager.pools[key] for key in adapter.poolmanager.pools.keys())  # noqa: SIM118
            assert (pool.num_connections, pool.num_requests) == (1, 21)
            assert session.get(f"{url}/", headers={"X-CW-API-Key": KEY}, timeout=10).json()["allowance"]["account"]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stops_when_told_and_says_what_it_replays(self, number):
        port = free_port()
        with start_simulator(port=port, candles=str(FOLDER), at=1_517_000_000) as process:
            line = process.stdout.readline()
            wait_for(lambda: answers(f"http://127.0.0.1:{port}"), "it answers")
            process.send_signal(number)
            rest, errors = process.communicate(timeout=30)
        assert f" simulator: http://127.0.0.1:{port}, 10 markets, replaying " in line
        assert "it is 2018-01-26 20:5" in line and "the candles end at 2018-01-30 04:52 UTC" in line
        assert (process.returncode, rest, errors) == (0, "", "")

    def test_leaves_the_port_when_it_is_killed(self):
        port = free_port()
        with start_simulator(port=port) as process:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}"), "the first one answers")
            process.kill()
        wait_for(lambda: not answers(f"http://127.0.0.1:{port}"), "its worker is gone")
        with simulator(port=port) as url:
            assert answers(url)

    def test_says_in_one_line_that_its_port_is_taken(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with start_simulator(port=port) as process:
                output, errors = process.communicate(timeout=30)
        assert (process.returncode, output) == (1, "")
        assert errors == f"simulator: cannot listen on 127.0.0.1:{port}: Address already in use\n"

    def test_says_in_one_line_that_there_is_nothing_to_replay(self, tmp_path):
        with start_simulator(candles=str(tmp_path)) as process:
            output, errors = process.communicate(timeout=30)
        assert (process.returncode, output) == (1, "")
        assert errors == f"simulator: {tmp_path}: no candle files (EXCHANGE-PAIR.csv.gz or PAIR.csv.gz)\n"
