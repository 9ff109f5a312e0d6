"""Clients connect to the embedded store by its Unix socket if it has one."""

import socket
from pathlib import Path

import pytest

from api import create_app
from tests.support.servers import StoreServer
from tracker import tasks
from tracker.settings import load
from tracker.store.connection import connect
from tracker.store.raw import RawPipeline


def family(raw: RawPipeline) -> socket.AddressFamily:
    raw.ask([("PING",)])
    return raw._local.connection._sock.family


def test_the_embedded_store_is_reached_by_its_socket_where_there_is_one(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server:
        settings = load(server.variables)
        path = settings.redis_socket
        assert path and path.stat().st_mode & 0o777 == 0o700
        with connect(settings.redis_url, local=path) as redis:
            assert redis.ping() and family(RawPipeline(redis)) == socket.AF_UNIX

            server.kill()  # leaves the socket behind
            server.command = server.command[: server.command.index("--unixsocket")]
            server.start()
            assert path.exists() and redis.ping() and family(RawPipeline(redis)) == socket.AF_INET
            path.unlink()
            assert family(RawPipeline(redis)) == socket.AF_INET


def test_the_api_and_the_tasks_look_for_it_there(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load({"STORE_PORT": "6399", "DATA_DIR": "somewhere"})
    monkeypatch.setattr(tasks, "settings", lambda: settings)
    for store in (create_app(settings).extensions["store"], tasks.store.__wrapped__()):
        assert store.redis.connection_pool.connection_kwargs["local"] == settings.redis_socket


def test_a_folder_too_deep_for_a_socket_s_path_leaves_the_port(tmp_path: Path) -> None:
    (deep := tmp_path / ("d" * 100)).mkdir()
    with StoreServer(deep) as server:
        settings = load(server.variables)
        with connect(settings.redis_url, local=settings.redis_socket) as redis:
            assert redis.ping() and family(RawPipeline(redis)) == socket.AF_INET


def test_a_server_that_was_given_has_no_socket_of_the_embedded_one() -> None:
    assert load({"REDIS_URL": "redis://127.0.0.1:6390/0"}).redis_socket is None
