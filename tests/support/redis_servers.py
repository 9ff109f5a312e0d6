"""Servers of Redis as an operator may run them: with replicas and sentinels, and as a cluster. Each on a free port."""

import contextlib
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import AuthenticationError, Redis, RedisError
from redis.crc import key_slot

from tests.support.servers import free_port, wait_for
from tracker.store.embedded import binary

#: Milliseconds after which servers and sentinels take a silent one for dead.
SILENT = 1_500


class Server:
    """A server with ``options``. It can be killed and started again on its data."""

    program = str(binary())

    def __init__(self, folder: Path, *options: str, configuration: str = ""):
        self.port = free_port()
        self.folder = folder / str(self.port)
        self.folder.mkdir(parents=True)
        self.file = self.folder / "server.conf"
        self.file.write_text(configuration)
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Redis:
        return Redis(port=self.port, socket_timeout=5)

    def start(self) -> Self:
        self.process = subprocess.Popen(
            [self.program, str(self.file), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
             *self.options], stdout=(self.folder / "log").open("ab"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        wait_for(self.answers, f"the server on port {self.port} answers")
        return self

    def answers(self) -> bool:
        try:
            with self.client as client:
                return bool(client.ping())
        except AuthenticationError:
            return True
        except RedisError:
            return False

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """From now on it receives, and does nothing."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def follow(self, port: int) -> None:
        """Makes it a replica of the server on ``port``. A port on which nobody listens cuts it off."""
        with self.client as client:
            client.replicaof("127.0.0.1", port)  # type: ignore[no-untyped-call]


class Servers:
    """Several servers that are started and ended together."""

    servers: list[Server]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def start(self) -> None:
        for server in self.servers:
            server.start()

    def kill(self) -> None:
        for server in self.servers:
            server.kill()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()


APPEND = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--repl-diskless-sync-delay", "0")


class Standalone(Servers):
    """One server."""

    def __init__(self, folder: Path):
        self.servers = [Server(folder, *APPEND)]
        self.url = f"redis://127.0.0.1:{self.servers[0].port}/0"


class Followed(Servers):
    """A master, ``servers[0]``, and replicas of it, without sentinels."""

    def __init__(self, folder: Path, replicas: int = 1):
        self.servers = followed(folder, replicas)
        self.master, *self.replicas = self.servers

    def start(self) -> None:
        super().start()
        wait_for(lambda: all(self._follows(replica) for replica in self.replicas), "the replicas follow")

    def _follows(self, replica: Server) -> bool:
        with replica.client as client:
            told: dict = client.info("replication")  # type: ignore[assignment]
        return bool(told["master_link_status"] == "up")


def followed(folder: Path, replicas: int) -> list[Server]:
    """A master, and then replicas of it."""
    master = Server(folder, *APPEND)
    follow = ("--replicaof", f"127.0.0.1 {master.port}")
    return [master, *(Server(folder, *APPEND, *follow) for _ in range(replicas))]


def online(master: Server) -> list[object]:
    """The replicas that follow ``master``."""
    with master.client as client:
        told: dict = client.info("replication")  # type: ignore[assignment]
    return [each for name, each in told.items() if name.startswith("slave") and each["state"] == "online"]


class Replicated(Servers):
    """A master with replicas, and sentinels that make a replica the master when the master is gone."""

    NAME = "tracker"

    def __init__(self, folder: Path, replicas: int = 1, sentinels: int = 3):
        self.data = followed(folder, replicas)
        watch = (
            f"sentinel monitor {self.NAME} 127.0.0.1 {self.data[0].port} {sentinels // 2 + 1}\n"
            f"sentinel down-after-milliseconds {self.NAME} {SILENT}\n"
            f"sentinel failover-timeout {self.NAME} 5000\n"
        )
        self.sentinels = [Server(folder, "--sentinel", configuration=watch) for _ in range(sentinels)]
        self.servers = [*self.data, *self.sentinels]
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/0?master={self.NAME}"

    def start(self) -> None:
        super().start()
        wait_for(self._in_sync, "the replicas follow, and the sentinels know each other")

    def _in_sync(self) -> bool:
        known = [sentinel.client.sentinel_master(self.NAME) for sentinel in self.sentinels]
        replicas = len(self.data) - 1
        return len(online(self.data[0])) == replicas and all(
            each["num-other-sentinels"] == len(known) - 1 and each["num-slaves"] == replicas for each in known
        )

    @property
    def master(self) -> Server:
        """The server that the sentinels name at the moment."""
        _, port = self.sentinels[0].client.sentinel_get_master_addr_by_name(self.NAME)
        return next(server for server in self.data if server.port == port)


class Cluster(Servers):
    """A cluster: ``shards`` masters, each with one replica. ``servers``: the masters first."""

    def __init__(self, folder: Path, shards: int = 3, replicas: int = 1, silent: int = SILENT):
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(silent),
                   "--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0",
                   *APPEND)  # fmt: skip
        count = shards * (1 + replicas)
        self.buses = [free_port() for _ in range(count)]  # where the servers talk to each other
        self.servers = [Server(folder, *options, "--cluster-port", str(bus)) for bus in self.buses]
        self.shards = shards
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:3])

    def start(self) -> None:
        super().start()
        self.form()

    def form(self) -> None:
        """Makes the running servers a cluster."""
        first, *others = self.servers
        for other in others:
            other.client.execute_command("CLUSTER MEET", "127.0.0.1", first.port, self.buses[0])
        wait_for(lambda: all(self._knows_all(server) for server in self.servers), "the nodes know each other")
        edges = [16_384 * shard // self.shards for shard in range(self.shards + 1)]
        for shard, server in enumerate(self.servers[: self.shards]):
            server.client.execute_command("CLUSTER ADDSLOTSRANGE", edges[shard], edges[shard + 1] - 1)
        for place, server in enumerate(self.servers[self.shards :]):
            master = self.servers[place % self.shards].client.execute_command("CLUSTER MYID").decode()
            wait_for(lambda: self._follows(server, master), "a replica follows its master")  # noqa: B023
        wait_for(self.ready, "the cluster is ready")

    def owner(self, key: str) -> Server:
        """The master of ``key``, as the first server that answers tells."""
        told = next(server for server in self.servers if server.answers()).client.execute_command("CLUSTER SLOTS")
        slot = key_slot(key.encode())
        [port] = [master[1] for first, last, master, *_ in told if first <= slot <= last]
        return next(server for server in self.servers if server.port == port)

    def ready(self) -> bool:
        """Whether all slots have a server, and all replicas follow."""
        return all(self._ready(server) for server in self.servers)

    def _knows_all(self, server: Server) -> bool:
        return int(server.client.execute_command("CLUSTER INFO")["cluster_known_nodes"]) == len(self.servers)

    def _follows(self, server: Server, master: str) -> bool:
        with contextlib.suppress(RedisError):
            server.client.execute_command("CLUSTER REPLICATE", master)
            return True
        return False

    def _ready(self, server: Server) -> bool:
        replication = server.client.info("replication")
        linked = replication["role"] == "master" or replication["master_link_status"] == "up"
        return linked and server.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
