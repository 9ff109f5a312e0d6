"""Measures what readers cost with 1 and 2 replicas: CPU of the API, of the replicas and of the master.

No request repeats, so each is one exchange with a store of full rings. There is one API (``python -m tracker api``) for
each replica. The baseline is as many APIs that read from the master; the rounds alternate. Then the master does the
work of a minute, which is one slot of all markets and their evaluation, and the replicas follow it. All processes and
the client, ``wrk`` (Debian's), share the cores of this machine. So trust the CPU of a request more than the rate.
"""

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench import api
from tests.support.redis_servers import Followed, Server
from tests.support.servers import free_port, wait_for

REPLICAS = 2
CONNECTIONS = 8


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.readers", description=__doc__)
    parser.add_argument("--metrics", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=4, help="of each figure")
    parser.add_argument("--rounds", type=int, default=5, help="the medians count")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(Followed(folder, REPLICAS))
        api.fill(servers.master.url, options.metrics)
        bench = Bench(stack, servers, options)
        bench.readers()
        bench.minutes()


class Bench:
    def __init__(self, stack: ExitStack, servers: Followed, options: argparse.Namespace):
        self.stack, self.servers, self.options = stack, servers, options
        self.ids = [f"bench:pair{at}:{field}" for at in range(options.metrics // 2) for field in api.FIELDS]
        self.fed = 0
        self.rounds = range(options.rounds)

    def readers(self) -> None:
        """Prints the cost of a request with each number of replicas."""
        settled(self.servers)
        alone = [self.serve() for _ in self.servers.replicas]
        reading = [self.serve(REDIS_READ_URL=replica.url) for replica in self.servers.replicas]
        for count in range(1, REPLICAS + 1):
            rounds = np.array([[self.round(apis[:count]) for apis in (alone, reading)] for _ in self.rounds])
            base, ours = rounds[:, :, 1:].sum(axis=2).T
            for name, figures in zip(("no replica", f"{count} read"), np.median(rounds, axis=0), strict=True):
                print(f"{count} API, {name}: {told(figures)}", flush=True)
            print(f"{count} API: CPU with replicas {np.median(ours / base):.2f} x that without")

    def minutes(self) -> None:
        """Prints the cost of a minute's work with each number of replicas, the largest first."""
        for count in range(REPLICAS, -1, -1):
            spent = [self.minute(count) for _ in self.rounds]
            master, *replicas = np.median(spent, axis=0) * 1e3
            each = f", each replica {np.mean(replicas):.1f} ms" if replicas else ""
            print(f"{count} replicas: a minute of {self.options.metrics} metrics: CPU of master {master:.1f} ms{each}")
            if count:
                self.servers.replicas[count - 1].client.execute_command("REPLICAOF NO ONE")

    def serve(self, **variables: str) -> api.Server:
        master = self.servers.master
        variables |= {"REDIS_URL": master.url, "API_PORT": str(free_port()), "LOG_LEVEL": "error"}
        return api.Server(self.stack, master, "-m", "tracker", "api", **variables)

    def round(self, apis: Sequence[api.Server]) -> list[float]:
        """Returns requests per second, and microseconds of CPU a request: of APIs, of replicas, of the master."""
        before = self.spent(apis)
        with ThreadPoolExecutor(len(apis)) as threads:
            done = list(threads.map(self.ask, apis))
        web, master, *replicas = self.spent(apis) - before
        requested, errors = (sum(each[at] for each in done) for at in (0, 1))
        assert not errors, f"{errors} errors"
        rate = sum(each[0] / each[2] for each in done)
        return [rate, *(part / requested * 1e6 for part in (web, sum(replicas), master))]

    def ask(self, server: api.Server) -> list[float]:
        self.fed += 1
        paths = [f"/v1/metrics/{id}?since={5 * self.fed + again}" for again in range(5) for id in self.ids]
        with tempfile.TemporaryDirectory() as folder:
            return api.wrk(Path(folder), server.url, paths, CONNECTIONS, self.options.seconds)

    def spent(self, apis: Sequence[api.Server]) -> np.ndarray:
        return np.array([sum(each.spent()[0] for each in apis), *map(cpu, self.servers.servers)])

    def minute(self, replicas: int) -> np.ndarray:
        """Seconds of CPU of the master and of its first ``replicas``."""
        servers = self.servers.servers[: replicas + 1]
        before = np.array([*map(cpu, servers)])
        api.live(self.servers.master.url, self.options.metrics)
        settled(self.servers, replicas)
        return np.array([*map(cpu, servers)]) - before


def told(figures: Sequence[float]) -> str:
    rate, web, replicas, master = figures
    return f"{rate:.0f} requests/s; us of CPU a request: API {web:.0f}, replicas {replicas:.1f}, master {master:.1f}"


def cpu(server: Server) -> float:
    """Seconds of CPU that ``server`` has used."""
    spent: dict = server.client.info("cpu")  # type: ignore[assignment]
    return float(spent["used_cpu_user"]) + float(spent["used_cpu_sys"])


def settled(servers: Followed, replicas: int = REPLICAS) -> None:
    """Waits until the first ``replicas`` have all that the master has."""

    def offset(server: Server) -> int:
        told: dict = server.client.info("replication")  # type: ignore[assignment]
        return int(told["master_repl_offset"])

    followed = servers.servers[: replicas + 1]
    wait_for(lambda: len(set(map(offset, followed))) == 1, "the replicas have it all")


if __name__ == "__main__":
    main()
