"""``store copy`` between real servers of every kind: nothing is lost, the source stays as it is, and it is checked."""

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support import acl
from tests.support.copying import DOCUMENTED, Asked, Place, copied, differed, fill, track
from tests.support.hand_driven import START, Exchange, HandClock, assert_final, every_minute, fetched
from tests.support.redis_servers import APPEND, Cluster, Replicated, Server
from tests.support.sending import ALERT, World
from tests.support.servers import StoreServer, wait_for
from tests.support.tracked import Tracked
from tracker.errors import TrackerError
from tracker.series.ring import Ring
from tracker.store import model
from tracker.store.connection import connect
from tracker.store.copy import Side, equalize, prepare
from tracker.store.series import Store

pytestmark = pytest.mark.slow  # starts processes


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    """One store of each kind."""
    folder = tmp_path_factory.mktemp("servers")
    socket = folder / "redis.sock"
    alone, local = Server(folder, *APPEND), Server(folder, *APPEND, "--unixsocket", str(socket))
    with Cluster(folder, replicas=0) as cluster, Replicated(folder) as replicated:
        try:
            yield {
                "server": Place(f"redis://127.0.0.1:{alone.start().port}/0", [alone]),
                "socket": Place(f"unix://{socket}", [local.start()]),
                "sentinel": Place(replicated.url, replicated.data[:1]),
                "cluster": Place(cluster.url, cluster.servers),
            }
        finally:
            alone.kill()
            local.kill()


@pytest.fixture
def places(servers: dict[str, Place]) -> dict[str, Place]:
    for place in servers.values():
        place.clear()
    return servers


@pytest.fixture
def alone(places: dict[str, Place]) -> Place:
    return places["server"]


@pytest.fixture
def cluster(places: dict[str, Place]) -> Place:
    return places["cluster"]


@pytest.mark.parametrize(
    ("source", "target"),
    [("server", "cluster"), ("cluster", "server"), ("socket", "sentinel"), ("sentinel", "cluster")],
)
def test_every_key_is_copied_from_one_kind_of_store_to_another(
    places: dict[str, Place], source: str, target: str
) -> None:
    old, new = places[source], places[target]
    fill(old.url)
    before = old.content()
    assert {"string", "integer", "hash", "list", "set", "sorted set", "stream"} == set(DOCUMENTED.values())
    # when
    done = copied(old.url, new.url)
    # then
    assert done.exit_code == 0, done.output
    assert new.content() == before == old.content()
    assert all(client.dbsize() for client in new.clients)  # rings are spread
    assert Tracked(new.url).get("/v1/metrics") == Tracked(old.url).get("/v1/metrics")
    assert f"{len(before):,} keys" in done.output
    assert done.output.splitlines()[-1].startswith("TO is equal to FROM")


def test_what_is_written_during_the_copy_is_copied_and_each_notice_is_sent_once(alone: Place, cluster: Place) -> None:
    # given a tracker that works on
    track(alone.url)
    clock = HandClock(START)
    exchange = Exchange(clock, {market: every_minute(START - 3_600, 5_000) for market in ("x:ab", "x:cd")})
    old = World(connect(alone.url))
    sent, pending, stop = [], [], threading.Event()

    def work() -> None:
        store = Store(connect(alone.url), Ring())
        while not stop.is_set():
            clock.time += 20
            for market in exchange.trades:
                fetched(store, exchange, market)
            pending.append(old.record(replace(ALERT, metric=f"x:{int(clock.time)}:volume")))
            if len(pending) > 3:  # some are sent before the move, some after it
                old.deliver(pending.pop(0))
                sent.append(1)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        wait_for(lambda: len(sent) > 3 or not worker.is_alive(), "the tracker works")
        # when
        with Asked(alone.url, cluster.url) as command:
            rounds = len(sent)
            wait_for(lambda: len(sent) > rounds or not worker.is_alive(), "more is written after the first copy")
            stop.set()
            worker.join()
            said = command.go_on()
    finally:
        stop.set()
        worker.join()
    # then
    assert differed(said)[1] > 0  # something was written after the first copy
    assert cluster.content() == alone.content()
    for market in exchange.trades:
        assert_final(Store(connect(cluster.url), Ring()), exchange, market)
    new = World(connect(cluster.url))
    new.run(120, step=5)
    rows = [notice.key for notice in old.channel.taken + new.channel.taken]
    assert len(rows) == len(set(rows)) == len(sent) + len(pending)


def test_a_copy_that_was_stopped_is_finished_by_the_next_one(alone: Place, cluster: Place) -> None:
    fill(alone.url)
    assert copied(alone.url, cluster.url, told="").exit_code == 1  # nobody answered
    # when keys change, come and go
    client = connect(alone.url)
    client.setrange("dt1:ring:x:3usd", 0, b"new")
    client.delete("{dt1}:due", "dt1:ring:x:4usd")
    client.persist("dt1:ring:x:5usd")
    client.set("{dt1}:tick:simulator:1", "a", ex=600)
    # then
    done = copied(alone.url, cluster.url)
    assert done.exit_code == 0, done.output
    assert differed(done.output) == [5, 0]
    assert cluster.content() == alone.content()
    # and from then on it is data that must not be lost
    assert "TO has data of a tracker" in copied(alone.url, cluster.url).output


def test_data_in_the_target_is_lost_only_when_that_is_asked_for(alone: Place, cluster: Place) -> None:
    fill(alone.url)
    model.check(connect(cluster.url))  # as every part that starts does
    Tracked(cluster.url).fill(["x:othereur"])
    there = cluster.content()
    refused = copied(alone.url, cluster.url)
    assert refused.exit_code == 1 and cluster.content() == there
    assert refused.output == f"store: TO has data of a tracker, {len(there) - 1} keys: --replace deletes them\n"
    done = copied(alone.url, cluster.url, "--replace")
    assert done.exit_code == 0 and cluster.content() == alone.content()


def test_requests_that_were_counted_and_keys_of_the_broker_stay(alone: Place, cluster: Place) -> None:
    fill(alone.url)
    alone.clients[0].incr("{dt1}:count:127.0.0.1:28000000")
    alone.clients[0].set("_kombu.binding.fetch", "")
    assert copied(alone.url, cluster.url).exit_code == 0
    names = {key for client in cluster.clients for key in client.scan_iter("*")}
    assert not [name for name in names if b"count" in name or b"kombu" in name]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--maxmemory", "3mb"], ": the store does not answer as it should: command not allowed when used memory"),
        (["--replicaof", "127.0.0.1 1"], "=redis://127.0.0.1:PORT/0: expected a server that takes writes"),
    ],
)
def test_a_target_that_takes_no_writes_is_said_in_one_line(
    alone: Place, tmp_path: Path, options: list[str], reason: str
) -> None:
    fill(alone.url)
    for number in range(200):
        alone.clients[0].set(f"dt1:ring:y:{number}", os.urandom(25_938))
    before = alone.content()
    server = Server(tmp_path, *options).start()
    try:
        done = copied(alone.url, f"redis://127.0.0.1:{server.port}/0")
    finally:
        server.kill()
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith(f"store: TO{reason.replace('PORT', str(server.port))}")
    assert alone.content() == before


@pytest.mark.parametrize("name", ["FROM", "TO"])
def test_a_server_that_dies_in_the_middle_is_named_and_the_next_run_goes_on(
    alone: Place, tmp_path: Path, name: str
) -> None:
    # given
    dies = Server(tmp_path, *APPEND, "--appendfsync", "always").start()
    url = f"redis://127.0.0.1:{dies.port}/0"
    urls = {"FROM": alone.url, "TO": alone.url, name: url}
    for number in range(400):
        connect(urls["FROM"]).set(f"dt1:ring:y:{number}", os.urandom(25_938))
    source, target = (Side(side, connect(urls[side], tries=2)) for side in ("FROM", "TO"))
    prepare(source, target, False)
    # when
    with pytest.raises(TrackerError, match=f"^{name}: the store does not answer as it should: .*refused"):
        equalize(source, target, source.keys(), lambda size: dies.kill())
    # then
    dies.start()
    done = copied(urls["FROM"], urls["TO"])
    found = {side: connect(each).get("dt1:ring:y:399") for side, each in urls.items()}
    dies.kill()
    assert done.exit_code == 0, done.output
    assert found["FROM"] == found["TO"] and len(found["TO"]) == 25_938
    assert 0 < differed(done.output)[0] < 400


def test_a_writer_that_does_not_stop_is_noticed(alone: Place, cluster: Place) -> None:
    fill(alone.url)
    stop = threading.Event()

    def work() -> None:
        client = connect(alone.url)
        while not stop.is_set():
            client.incr("{dt1}:version")

    writer = threading.Thread(target=work)
    writer.start()
    try:
        done = copied(alone.url, cluster.url)
    finally:
        stop.set()
        writer.join()
    assert done.exit_code == 1
    assert done.output.splitlines()[-1] == (
        "store: something still writes to FROM, e.g. {dt1}:version: stop it and give this command again"
    )
    assert copied(alone.url, cluster.url).exit_code == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"{dt1}:model": 2}, "FROM has no data of a tracker"),
        ({"dt1:ring:x:a": b"", "{dt1}:model": 3}, "FROM has data of version 3, expected 2"),
        ({"dt1:ring:x:a": b"", "dt1:version": 7}, "FROM has data of version 1, expected 2"),
        ({"dt1:ring:x:a": b"", "{dt1}:copying": b""}, "FROM is a copy that was not finished: it lacks data"),
    ],
)
def test_a_source_that_is_not_whole_is_refused(
    alone: Place, cluster: Place, given: dict[str, Any], reason: str
) -> None:
    fill(cluster.url)
    there = cluster.content()
    for key, value in given.items():
        alone.clients[0].set(key, value)
    done = copied(alone.url, cluster.url, "--replace")
    assert (done.exit_code, done.output) == (1, f"store: {reason}\n")
    assert cluster.content() == there


def test_a_store_is_not_copied_to_itself(places: dict[str, Place]) -> None:
    for place in places.values():
        fill(place.url)
    local, alone, cluster = (places[name] for name in ("socket", "server", "cluster"))
    port = local.clients[0].connection_pool.connection_kwargs["port"]
    first = cluster.url.partition(",")[0]
    for source, target in ((local.url, f"redis://localhost:{port}/0"), (cluster.url, first)):
        done = copied(source, target, "--replace")
        assert (done.exit_code, done.output) == (1, "store: FROM and TO are the same store\n")
    assert copied(alone.url, alone.url[:-1] + "1").exit_code == 0  # another database is another store


def test_the_user_that_the_page_on_security_makes_may_copy(alone: Place, cluster: Place) -> None:
    fill(alone.url)
    for client in alone.clients + cluster.clients:
        acl.make(client, [*acl.OF_STORE, "+cluster|slots"])
    login = f"://tracker:{acl.SECRET}@"
    try:
        done = copied(alone.url.replace("://", login), cluster.url.replace("://", login))
    finally:
        for client in alone.clients + cluster.clients:
            client.acl_deluser("tracker")
    assert done.exit_code == 0, done.output
    assert cluster.content() == alone.content() and acl.SECRET not in done.output


def test_passwords_come_from_variables_and_files_and_are_not_shown(
    store_server: StoreServer, store: Store, tmp_path: Path
) -> None:
    # given: the embedded store, and a server with a password
    track(store_server.url)
    server = Server(tmp_path).start()
    server.client.config_set("requirepass", "hunter2")
    (tmp_path / "url").write_text(f"redis://:hunter2@127.0.0.1:{server.port}/0\n")
    environment = store_server.variables | {"NEW_FILE": str(tmp_path / "url")}
    # when
    try:
        done = copied("REDIS_URL", "NEW", **environment)
        with Redis(port=server.port, password="hunter2") as client:
            assert client.get("dt1:ring:x:1usd") == store.redis.get("dt1:ring:x:1usd") is not None
        wrong = copied("REDIS_URL", f"redis://:hunter3@127.0.0.1:{server.port}/0", **environment)
    finally:
        server.kill()
    # then
    assert done.exit_code == 0, done.output
    assert wrong.exit_code == 1 and wrong.output.count("\n") == 1
    password = connect(store_server.url).connection_pool.connection_kwargs["password"]
    assert not any(secret in done.output + wrong.output for secret in ("hunter", password))


@pytest.mark.parametrize("told", ["http://:hunter2@host", "NO_SUCH_VARIABLE", "redis+sentinel://:hunter2@host:1/0"])
def test_a_place_that_is_none_is_said_without_its_password(told: str) -> None:
    done = copied("REDIS_URL", told)
    assert done.exit_code == 1 and re.fullmatch(r"store: TO: expected a URL [^\n]*\n", done.output)
    assert "hunter2" not in done.output
