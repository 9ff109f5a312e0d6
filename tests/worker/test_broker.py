"""BROKER_URL becomes Celery's settings, and one clear line where Celery could not use it."""

import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import CLEAN, ROOT
from tracker.errors import SettingsError
from tracker.settings import load
from tracker.worker.broker import Broker, broker

PEM = str(Path(__file__))


def read(url: str, **variables: str) -> Broker:
    return broker(load({"BROKER_URL": url} | variables))


@pytest.mark.parametrize(
    ("url", "celerys", "tls"),
    [
        ("redis://me:pw@a:7/3", "redis://me:pw@a:7/3", False),
        ("rediss://a", "rediss://a:6379/0", {"ssl_cert_reqs": "required"}),
        ("rediss://a?ssl_check_hostname=false&ssl_ca_certs=" + PEM, "rediss://a:6379/0",
         {"ssl_cert_reqs": "required", "ssl_ca_certs": PEM, "ssl_check_hostname": False}),
        ("unix://me:pw@/run/a.sock?db=2", "redis+socket://me:pw@/run/a.sock?virtual_host=2", False),
        ("redis+sentinel://:pw@a:1,b:2/3?master=m&sentinel_password=x",
         "sentinel://:pw@a:1/3;sentinel://:pw@b:2/3", False),
        ("amqp://me:pw@a:7/v", "amqp://me:pw@a:7/v", False),
        ("amqps://me:pw@a/?ssl_ca_certs=" + PEM, "amqps://me:pw@a/",
         {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, "ca_certs": PEM}),
        ("filesystem://", "filesystem://", False),
    ],
)  # fmt: skip
def test_a_url_is_written_as_celery_writes_it(url: str, celerys: str, tls: Any) -> None:
    found = read(url)
    assert (found.url, found.tls) == (celerys, tls)
    assert "pw" not in repr(found)


def test_sentinels_are_asked_with_their_own_password() -> None:
    url = "rediss+sentinel://:pw@a/0?master=m"
    options = read(url, SENTINEL_PASSWORD="x").options
    assert options["master_name"] == "m"
    expected = {"password": "x", "ssl": True, "ssl_cert_reqs": "required"}
    assert {name: options["sentinel_kwargs"][name] for name in expected} == expected


def test_only_redis_has_a_visibility_timeout_and_only_rabbitmq_has_quorum_queues() -> None:
    redis, rabbitmq, other = map(read, ("redis://a", "amqp://a", "filesystem://"))
    assert ["visibility_timeout" in each.options for each in (redis, rabbitmq, other)] == [True, False, False]
    queues = [each.queue("fetch") for each in (redis, rabbitmq, other)]
    assert [queue.queue_arguments for queue in queues] == [None, {"x-queue-type": "quorum"}, None]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("foo://a:hunter2@b", "another broker"),
        ("sentinel://:hunter2@a", "another broker"),
        ("memory://hunter2", "another broker"),
        ("amqp://a:hunter2@b/?foo=1", "options that Celery knows"),
        ("rediss://:hunter2@b/?ssl_foo=1", "options that Celery knows"),
        ("rediss://:hunter2@b/?ssl_ca_certs=/no/file", "a file that exists as ssl_ca_certs"),
        ("amqps://:hunter2@b/?ssl_keyfile=/no/file", "a file that exists as ssl_keyfile"),
        ("amqps://:hunter2@b/?ssl_cert_reqs=none", "no options of TLS but"),
        ("sqs://a:hunter2@", "pip install 'celery.sqs.'"),
    ],
)
def test_a_url_that_celery_cannot_use_is_refused(url: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as refused:
        read(url)
    assert str(refused.value).startswith("BROKER_URL=(secret): expected ")
    assert "hunter2" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["worker", "beat", "flower"])
def test_a_cluster_alone_stops_the_start_with_one_line(part: str, tmp_path: Path) -> None:
    environment = CLEAN | {"REDIS_URL": "redis+cluster://:hunter2@a", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tracker", part]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line == (
        "BROKER_URL=: expected a broker of its own, e.g. redis:// or amqp://: a cluster of Redis cannot be one"
    )
