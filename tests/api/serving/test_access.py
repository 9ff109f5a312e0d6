"""The guard: keys, scopes, limits, header fields and bounds."""

import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from flask import request
from flask.testing import FlaskClient
from redis import Redis

from api import create_app
from api.serving import access, limits
from tests.support.served import served
from tests.support.servers import StoreServer, free_port, wait_for_room
from tests.support.tracked import Tracked
from tracker.errors import SettingsError, StoreError, TrackerError
from tracker.settings import load
from tracker.store import api_keys
from tracker.store.api_keys import Keys, check_start

ROOT = Path(__file__).parents[3]
URL = "/v1/metrics"


@pytest.fixture
def stored(redis: Redis) -> Keys:
    return Keys(redis)


@pytest.fixture(autouse=True)
def known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "UNASKED", 0.0)


def client(tracked: Tracked, **settings: Any) -> FlaskClient:
    return create_app(replace(tracked.settings, **settings)).test_client()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_stored_as_a_digest_and_shown_once(stored: Keys, redis: Redis) -> None:
    text = stored.create("charts", "read", 1_700_000_000.0)

    dump = b"".join(redis.hgetall("{dt1}:keys").values())
    [key] = stored.all().values()

    assert text[12:].encode() not in dump and text not in repr(key) and key.digest not in repr(key)
    assert (key.id, key.name, key.scope, key.created) == (text[3:11], "charts", "read", 1_700_000_000.0)
    assert api_keys.match(stored.all(), text) == key


def test_only_the_whole_key_is_the_key(stored: Keys) -> None:
    text, other = stored.create("a", "read", 0), stored.create("b", "read", 0)
    known = stored.all()
    for wrong in (
        text[:-1],
        text + "x",
        text.upper(),
        text[:12] + other[12:],
        "",
        "\0",
        "dt-",
        text + "\n",
        " " + text,
    ):
        assert api_keys.match(known, wrong) is None


def test_a_revoked_key_is_none(stored: Keys) -> None:
    text = stored.create("a", "admin", 0)
    assert stored.revoke(text[3:11])
    assert not stored.revoke(text[3:11])
    assert api_keys.match(stored.all(), text) is None


def test_there_are_no_more_keys_than_can_be_read_often(stored: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MOST", 1)
    stored.create("a", "read", 0)
    with pytest.raises(TrackerError, match="revoke some"):
        stored.create("b", "read", 0)


@pytest.mark.slow
def test_keys_are_made_listed_and_revoked_by_command(store_server: StoreServer, redis: Redis) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess:
        environment = {"REDIS_URL": store_server.url, "PATH": "/usr/bin"}
        command = [sys.executable, "-m", "tracker", "keys", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)

    text = run("create", "my dashboard", "--scope", "admin").stdout.strip()
    listed = run("list").stdout

    assert api_keys.match(Keys(redis).all(), text)
    assert listed.split()[:2] == [text[3:11], "admin"] and listed.endswith("my dashboard\n") and text not in listed
    assert run("revoke", text[3:11]).returncode == 0 and run("list").stdout == ""
    gone = run("revoke", text[3:11])
    assert gone.returncode == 1 and "there is no key" in gone.stderr and "Traceback" not in gone.stderr


def test_without_keys_this_machine_may_write_and_nobody_else(tracked: Tracked) -> None:
    here = client(tracked)
    assert here.post(URL).status_code == 405  # admitted: this path has nothing to write
    assert here.post(URL, headers={"Origin": "http://localhost:8000"}).status_code == 405
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example:8000"},  # as after DNS rebinding
        {"X-Forwarded-For": "203.0.113.7"},
    ):
        answer = here.post(URL, headers=headers)
        assert answer.status_code == 403 and "keys create" in answer.json["detail"], headers
    for public in ({"bind": "0.0.0.0"}, {"bind": "10.1.2.3", "api_open": True}, {"trusted_proxies": 1}):
        assert client(tracked, **public).post(URL).status_code == 403, public


def test_with_keys_every_write_takes_one_of_scope_admin(tracked: Tracked, stored: Keys) -> None:
    reader, admin = stored.create("r", "read", 0), stored.create("a", "admin", 0)
    for settings in ({}, {"bind": "0.0.0.0"}, {"trusted_proxies": 1}):
        web = client(tracked, **settings)
        for method in (web.post, web.put, web.patch, web.delete):
            assert method(URL).status_code == 401
            assert method(URL, headers=bearer(reader)).status_code == 403
            assert method(URL, headers=bearer(admin)).status_code == 405
            assert method(URL, headers={"X-API-Key": admin}).status_code == 405
            assert method(URL, headers=bearer(admin[:-1])).status_code == 401
        assert web.get(URL).status_code == 200
        assert web.get(URL, headers=bearer("nonsense")).status_code == 401


def test_reading_takes_a_key_if_so_set(tracked: Tracked, stored: Keys) -> None:
    tracked.fill(["kraken:ethbtc"])
    key = stored.create("r", "read", 0)
    web = client(tracked, api_reads="key")
    for path in (URL, "/v1/metrics/kraken:ethbtc:volume", "/v1", "/v1/nothing"):
        for _ in range(2):  # before and after the answer is kept
            refused = web.get(path)
            assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == "Bearer"
            assert web.get(path, headers=bearer(key)).status_code in (200, 404)
    assert web.get(URL, headers=bearer(key)).headers["Cache-Control"].startswith("private")
    for path in ("/", "/static/main.js", "/healthz", "/docs", "/static/docs.js", "/v1/openapi.json"):
        assert web.get(path).status_code == 200
    stored.revoke(key[3:11])
    assert web.get(URL, headers=bearer(key)).status_code == 401


def test_keys_are_known_for_a_while_when_the_store_is_away(tracked: Tracked, stored: Keys, monkeypatch) -> None:
    text = stored.create("r", "admin", 0)
    web = client(tracked)
    assert web.post(URL, headers=bearer(text)).status_code == 405
    monkeypatch.setattr(Keys, "all", away)
    assert web.post(URL, headers=bearer(text)).status_code == 405
    monkeypatch.setattr(access, "STALE", 0.0)
    answer = web.post(URL, headers=bearer(text))
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert web.get("/metrics", headers=bearer(text)).status_code == 200  # it tells that the store is away
    assert web.get("/metrics", headers=bearer("wrong")).status_code == 401
    assert client(tracked).get("/metrics", headers=bearer(text)).status_code == 503  # it never read the keys
    assert client(tracked).post(URL).status_code == 503  # keys may exist


def away(*_: object) -> None:
    raise StoreError("away")


def test_a_public_start_needs_a_key_or_to_be_told_so(store_server: StoreServer, stored: Keys) -> None:
    public = {"REDIS_URL": store_server.url, "BIND_ADDRESS": "0.0.0.0"}
    check_start(load({"REDIS_URL": store_server.url, "BIND_ADDRESS": "127.0.0.2"}))
    check_start(load(public | {"API_OPEN": "yes"}))
    with pytest.raises(SettingsError, match=r"BIND_ADDRESS=0.0.0.0: expected an API key .*keys create.*API_OPEN=yes"):
        check_start(load(public))
    stored.create("a", "admin", 0)
    check_start(load(public))


@pytest.mark.slow
def test_a_public_start_without_a_store_is_refused() -> None:
    with pytest.raises(StoreError, match="does not say if there is one"):
        check_start(load({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "BIND_ADDRESS": "0.0.0.0"}))


@pytest.mark.slow
def test_the_command_refuses_a_public_start_with_one_line(store_server: StoreServer, redis: Redis) -> None:
    environment = {"REDIS_URL": store_server.url, "BIND_ADDRESS": "0.0.0.0", "API_PORT": str(free_port())}
    command = [sys.executable, "-m", "tracker", "api"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("api: BIND_ADDRESS=0.0.0.0: expected an API key") and done.stderr.count("\n") == 1


def test_an_address_may_ask_so_often_and_is_told_when_again(tracked: Tracked, monkeypatch) -> None:
    monkeypatch.setattr(limits.time, "time", lambda: 1_700_000_012.0)  # 48 s before a minute ends
    web = client(tracked, api_rate=3)
    answers = [web.get(URL) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"3"}
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {"3;w=60"}
    assert {answer.headers["RateLimit-Reset"] for answer in answers} == {"28"}
    assert answers[-1].headers["Retry-After"] == "28"
    assert answers[-1].content_type == "application/problem+json" and "28 seconds" in answers[-1].json["detail"]
    monkeypatch.setattr(limits.time, "time", lambda: 1_700_000_040.0)
    assert web.get(URL).status_code == 200


def test_each_key_and_each_address_has_an_allowance_of_its_own(tracked: Tracked, stored: Keys) -> None:
    one, two = stored.create("1", "read", 0), stored.create("2", "read", 0)
    web = client(tracked, api_rate=2, api_key_rate=4)

    def ask(count: int, headers: dict[str, str], address: str = "192.0.2.1") -> Counter:
        return Counter(
            web.get(URL, headers=headers, environ_base={"REMOTE_ADDR": address}).status_code for _ in range(count)
        )

    with in_one_minute():
        assert ask(6, bearer(one)) == {200: 4, 429: 2}
        assert ask(6, bearer(two)) == {200: 4, 429: 2}
        assert ask(3, {}) == {200: 2, 429: 1}
        assert ask(3, {}, "192.0.2.2") == {200: 2, 429: 1}
        assert ask(3, {}, "2001:db8::1") == {200: 2, 429: 1}
        assert ask(1, {}, "2001:db8::ffff:2") == {429: 1}  # the same /64
        assert ask(1, {}, "2001:db8:0:1::1") == {200: 1}
        assert ask(3, bearer("dt-00000000-" + "x" * 43), "192.0.2.3") == {401: 2, 429: 1}  # guesses of keys count too


class in_one_minute:
    """Stops the wall clock of the limits, so that no new minute begins."""

    def __enter__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        now = time.time()
        self.patch.setattr(limits.time, "time", lambda: now)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


def test_what_is_counted_leaves_the_store(tracked: Tracked, redis: Redis) -> None:
    client(tracked, api_rate=3).get(URL)
    [key] = redis.keys("{dt1}:count:*")
    assert 0 < redis.ttl(key) <= 120


@pytest.mark.parametrize(("fail", "status"), [("open", 200), ("closed", 503)])
def test_requests_that_cannot_be_counted_are_answered_or_refused_as_set(
    tracked: Tracked, monkeypatch, fail: str, status: int
) -> None:
    monkeypatch.setattr("tracker.store.series.Store.count", away)
    answer = client(tracked, api_rate=1, api_rate_fail=fail).get(URL)
    assert answer.status_code == status
    assert status == 200 or answer.headers["Retry-After"]


@pytest.mark.parametrize(("proxies", "same"), [(0, True), (1, False), (2, True)])
def test_only_as_many_proxies_as_are_trusted_are_believed(tracked: Tracked, proxies: int, same: bool) -> None:
    web = client(tracked, api_rate=1, trusted_proxies=proxies)
    with in_one_minute():
        for number in range(2):
            chain = f"spoofed-{number}, 203.0.113.9, 198.51.100.{number}"
            status = web.get(URL, headers={"X-Forwarded-For": chain}).status_code
            assert status == (429 if same and number else 200)


@pytest.mark.slow
def test_fifty_clients_at_once_get_what_they_may_and_no_more(tracked: Tracked, stored: Keys) -> None:
    # given a real server with two processes, and five keys, each shared by ten clients
    tracked.fill(["kraken:ethbtc"])
    names = [stored.create(str(number), "read", 0) for number in range(5)]
    limit, each = 40, 8

    def ask(url: str, client: int) -> Counter:
        with requests.Session() as session:
            paths = (URL, "/v1/metrics/kraken:ethbtc:volume")
            return Counter(
                session.get(url + paths[turn % 2], headers=bearer(names[client % 5]), timeout=30).status_code
                for turn in range(each)
            )

    with served(tracked.url, API_READS="key", API_KEY_RATE=str(limit)) as url, ThreadPoolExecutor(50) as threads:
        wait_for_room(5)
        began = time.time() // 60
        found = sum(threads.map(ask, [url] * 50, range(50)), Counter())
        minutes = time.time() // 60 - began + 1
        unknown = requests.get(url + URL, headers=bearer("wrong"), timeout=30)
    # then
    assert set(found) == {200, 429} and found.total() == 50 * each
    assert found[200] == 5 * limit if minutes == 1 else 5 * limit <= found[200] <= 5 * limit * minutes
    assert unknown.status_code == 401


def test_every_answer_has_the_headers_that_keep_browsers_from_harm(tracked: Tracked) -> None:
    web = client(tracked)
    for answer in (web.get(URL), web.get(URL), web.get("/nothing"), web.post(URL), web.get(f"{URL}?x={'x' * 9_000}")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert not {name for name in answer.headers if name[0].startswith("Access-Control")}


def test_other_sites_may_read_if_they_are_named(tracked: Tracked) -> None:
    web = client(tracked, api_cors=("https://a.example",))
    for path in (URL, URL, "/nothing"):
        answer = web.get(path, headers={"Origin": "https://a.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers.getlist("Vary")
        other = web.get(path, headers={"Origin": "https://b.example"})
        assert "Access-Control-Allow-Origin" not in other.headers and "Origin" in other.headers.getlist("Vary")
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    preflight = web.options(URL, headers=asked)
    assert preflight.status_code == 204 and "POST" in preflight.headers["Access-Control-Allow-Methods"]
    everybody = client(tracked, api_cors=("*",)).get(URL, headers={"Origin": "https://b.example"})
    assert everybody.headers["Access-Control-Allow-Origin"] == "*"


def test_a_query_and_a_body_that_make_no_sense_are_refused(tracked: Tracked) -> None:
    web = client(tracked)
    assert web.get(f"{URL}?q={'x' * 9_000}").status_code == 414

    app = create_app(tracked.settings)
    app.post("/echo")(lambda: {"bytes": len(request.get_data())})
    large = app.test_client().post("/echo", data=b"x" * 64_001)
    assert large.status_code == 413 and "64,000" in orjson.loads(large.data)["detail"]
    assert app.test_client().post("/echo", data=b"x" * 64_000).json == {"bytes": 64_000}
