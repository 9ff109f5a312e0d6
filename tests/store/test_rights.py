"""A user of Redis who lacks a right is told so at the start, in one line."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from tests.support import acl
from tests.support.redis_servers import Cluster, Server
from tests.support.servers import free_port
from tests.support.stack import CLEAN, ROOT
from tracker.errors import SettingsError
from tracker.series.ring import Ring
from tracker.settings import load
from tracker.store import rights
from tracker.store.connection import connect
from tracker.store.series import Store

#: The users by the variables that have their URL.
USERS = {
    "both": (acl.SHARED, ["REDIS_URL"]),
    "store": (acl.OF_STORE, ["REDIS_URL"]),
    "broker": (acl.OF_BROKER, ["BROKER_URL"]),
}
#: A pattern of what is said of a user without that right.
SAID = {
    "+@read": "GET dt1:ring:x|TYPE unacked",
    "+@write": "SET dt1:ring:x|LPUSH fetch",
    "+@transaction": "MULTI",
    "+@connection": "PING",
    "+@pubsub": "PUBLISH /0.celery.pidbox",
    "+info": "INFO server",
    "+time": "TIME",
    "+evalsha": "EVALSHA x",
    "+script|exists": "SCRIPT EXISTS",
    "+script|load": "SCRIPT LOAD",
    "~dt1:*": "GET dt1:ring:x",
    "~{dt1}:*": r"GET \{dt1\}:version",
    "~fetch*": "LPUSH fetch",
    "~evaluate*": "LPUSH evaluate",
    "~notify*": "LPUSH notify",
    "~*.celery.pidbox*": "LPUSH x.reply.celery.pidbox",
    "~celeryev.*": "LPUSH celeryev.x",
    "~unacked*": "DEL unacked",
    "~_kombu.*": "DEL _kombu.binding.fetch",
    "&/0.celery.pidbox": "PSUBSCRIBE /0.celery.pidbox",
    "&/0.celeryev/*": r"PSUBSCRIBE /0.celeryev/\*",
}
DENIED = ["FLUSHALL", "KEYS *", "CONFIG GET *", "ACL LIST", "SHUTDOWN", "GET other", "PUBLISH other x", "EVAL x 0"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("rights"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def admin(server: Server) -> Iterator[Redis]:
    with server.client as client:
        yield client


def without(words: Sequence[str], *left_out: str) -> list[str]:
    return [word for word in words if word not in left_out]


@pytest.mark.parametrize(("words", "names"), USERS.values(), ids=USERS)
def test_the_users_of_the_page_have_all_rights(
    server: Server, admin: Redis, words: list[str], names: list[str]
) -> None:
    acl.make(admin, words)
    apart = {"BROKER_URL": "amqp://localhost"} if words == acl.OF_STORE else {}
    rights.check(load(apart | {name: acl.url(server) for name in names}))
    assert admin.dbsize() == 0


@pytest.mark.parametrize("word", acl.granted(acl.SHARED))
def test_a_right_that_is_missing_is_one_line(server: Server, admin: Redis, word: str) -> None:
    for words, [name] in USERS.values():
        if word in words:
            acl.make(admin, without(words, word))
            with pytest.raises(SettingsError) as told:
                rights.check(load({name: acl.url(server)}))
            [line] = str(told.value).splitlines()
            assert line.startswith(f"{name}=redis://127.0.0.1:{server.port}/0: expected a user that may run ")
            assert re.search(SAID[word], line) and "ermission" in line and "SECURITY.md" in line
            assert acl.SECRET not in line and len(line) < 400
    assert admin.dbsize() == 0


def test_a_database_with_another_number_needs_its_own_channels(server: Server, admin: Redis) -> None:
    acl.make(admin, acl.SHARED)
    with pytest.raises(SettingsError, match=r"PSUBSCRIBE /3\.celeryev/\*"):
        rights.check(load({"REDIS_URL": acl.url(server).replace("/0", "/3")}))
    acl.make(admin, [word.replace("/0", "/3") for word in acl.SHARED])
    rights.check(load({"REDIS_URL": acl.url(server).replace("/0", "/3")}))


def test_the_user_of_the_api_needs_no_rights_on_the_broker(server: Server, admin: Redis) -> None:
    acl.make(admin, acl.OF_STORE)
    rights.check(load({"REDIS_URL": acl.url(server)}), broker=False)


@pytest.mark.slow
def test_a_cluster_takes_one_right_more(tmp_path: Path) -> None:
    assert "`+cluster|slots`" in acl.PAGE
    with Cluster(tmp_path, shards=2, replicas=0) as cluster:
        given = cluster.url.replace("//", f"//tracker:{acl.SECRET}@")
        for node in cluster.servers:
            acl.make(node.client, acl.OF_STORE)
        with pytest.raises(SettingsError, match=r"may run what it takes to connect .*'cluster\|slots'"):
            rights.check(load({"REDIS_URL": given}), broker=False)
        for node in cluster.servers:
            acl.make(node.client, [*acl.OF_STORE, "+cluster|slots"])
        rights.check(load({"REDIS_URL": given}), broker=False)
        for node in cluster.servers:  # each has users of its own
            acl.make(node.client, without([*acl.OF_STORE, "+cluster|slots"], "~dt1:*"))
            with pytest.raises(SettingsError, match=r"may run GET dt1:ring:x"):
                rights.check(load({"REDIS_URL": given}), broker=False)
            acl.make(node.client, [*acl.OF_STORE, "+cluster|slots"])
        store = Store(connect(given), Ring())
        markets = [f"kraken:m{number}usd" for number in range(8)]
        for market in markets:
            store.write("kraken", market, np.array([6_000]), np.array([[1.0, 2.0]]), 6_030, new=True)
        assert store.windows(markets, 6_030).values[0, :, -1].tolist() == [1.0] * len(markets)


def test_a_server_that_is_away_lacks_nothing() -> None:
    rights.check(load({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}))


def test_the_user_may_do_nothing_else(server: Server, admin: Redis) -> None:
    for words, _ in USERS.values():
        acl.make(admin, words)
        assert len(acl.refused(admin, [each.encode().split() for each in DENIED])) == len(DENIED)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["worker", "beat", "flower", "api", "start"])
def test_a_part_without_a_right_ends_with_one_line(server: Server, admin: Redis, tmp_path: Path, part: str) -> None:
    acl.make(admin, without(acl.SHARED, "~dt1:*" if part == "api" else "&/0.celery.pidbox", "&/0.celeryev/*"))
    ports = {name: str(free_port()) for name in ("API_PORT", "FLOWER_PORT", "SIMULATOR_PORT")}
    ended = subprocess.run(
        [sys.executable, "-m", "tracker", part], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env=CLEAN | ports | {"REDIS_URL": acl.url(server), "DATA_DIR": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 1 and ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"{part}: REDIS_URL=redis://127.0.0.1:{server.port}/0: expected a user that may run ")
