"""Stores of every kind with everything that a tracker keeps, and the command that copies one to another."""

import re
import subprocess
import sys
from typing import Any

from click.testing import CliRunner, Result

from tests.support.redis_servers import Server
from tests.support.stack import CLEAN, ROOT
from tests.support.tracked import Tracked
from tracker.commands.cli import root
from tracker.store import model

#: Each key of docs/data.md, and its type.
DOCUMENTED = dict(re.findall(r"^\| `(\S*dt1\S*)` \| ([a-z ]+) \|", (ROOT / "docs/data.md").read_text(), re.MULTILINE))
MARKETS = [f"x:{number}usd" for number in range(30)]


class Place:
    """A store: its URL, and clients of the servers that have its keys."""

    def __init__(self, url: str, servers: list[Server]):
        self.url = url
        self.clients: list[Any] = [server.client for server in servers]

    def content(self) -> dict[bytes, Any]:
        """Key -> (value, end of its life), read by redis-py, but for what is not copied."""
        return {
            key: (read(client, key), client.pexpiretime(key))
            for client in self.clients
            for key in client.scan_iter("*")
            if not key.startswith((b"{dt1}:count:", b"{dt1}:part"))
        }

    def clear(self) -> None:
        for client in self.clients:
            client.flushall()


def read(client: Any, key: bytes) -> Any:
    return {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }[client.type(key)](key)


def copied(source: str, target: str, *flags: str, told: str = "\n", **environment: str) -> Result:
    words = ["store", "copy", source, target, *flags]
    return CliRunner().invoke(root, words, input=told, env=environment)


def differed(said: str) -> list[int]:
    """How many keys differed in each round."""
    return [int(count.replace(",", "") or 0) for count in re.findall(r" s: (?:([\d,]+) differed|all are equal)", said)]


def track(url: str) -> Tracked:
    """Stores what a tracker stores of MARKETS."""
    tracked = Tracked(url)
    model.check(tracked.store.redis)
    tracked.fill(MARKETS)
    return tracked


def fill(url: str) -> None:
    """Stores a tracker's data, and every key of docs/data.md, with awkward values."""
    tracked = track(url)
    for pattern, kind in DOCUMENTED.items():
        key = re.sub(r"\{(?!dt1\})\w+\}", "w:x/y 1", pattern)
        if key != "{dt1}:copying" and not tracked.store.redis.exists(key) and "ring" not in key:
            put(tracked.store.redis, key, kind)


def put(client: Any, key: str, kind: str) -> None:
    many = [b"\x00\xff\r\n%d" % number for number in range(2_500)]
    if kind == "string":
        client.set(key, many[0], px=3_600_123)
    elif kind == "integer":
        client.set(key, 12)
    elif kind == "hash":
        client.hset(key, mapping={each: each for each in many})
    elif kind == "list":
        client.rpush(key, *many, many[0])
    elif kind == "set":
        client.sadd(key, *many)
        client.expire(key, 86_400)
    elif kind == "sorted set":
        client.zadd(key, {each: 1.7e9 + number / 3 for number, each in enumerate(many)} | {"first": float("-inf")})
    elif kind == "stream":
        for number in range(50):
            client.xadd(key, {"id": many[number], "other": ""})
    else:
        raise AssertionError(f"docs/data.md: {key} is of an unknown type, {kind}")


class Asked:
    """The command in a process of its own, from the moment at which it asks to stop the workers."""

    def __init__(self, *words: str):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tracker", "store", "copy", *words], cwd=ROOT, env=CLEAN, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self.process.stdout
        self.said = ""
        while "press Enter" not in self.said:
            letter = self.process.stdout.read(1)
            assert letter, self.said
            self.said += letter

    def go_on(self) -> str:
        said, _ = self.process.communicate("\n", timeout=60)
        assert self.process.returncode == 0, self.said + said
        return self.said + said

    def __enter__(self) -> "Asked":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
