"""Faults of this machine: a broker that is away, a port that another program has, a rules file that cannot be read."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.examined import examined, problems, states
from tests.support.http_server import HttpServer
from tests.support.parts import Parts
from tests.support.redis_servers import Server
from tests.support.servers import StoreServer, free_port, wait_for
from tracker.doctor import machine

#: What is found of this machine.
PORTS = ("API_PORT", "FLOWER_PORT", "METRICS_PORT")
CHECKS = ("broker", "disk", "rules", *PORTS)


def faults(store: StoreServer, **variables: str) -> dict[str, list[str]]:
    found = problems(examined(REDIS_URL=store.url, **variables))
    return {check: texts for check, texts in found.items() if check in CHECKS}


def test_all_is_well(store_server: StoreServer) -> None:
    assert faults(store_server) == {}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is silent is soon given up."""
    monkeypatch.setattr(machine, "PATIENCE", 0.5)


@pytest.fixture
def foreign(impatient: None) -> Iterator[str]:
    """A port on which another program listens, and says nothing."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        yield str(server.getsockname()[1])


@pytest.mark.parametrize("name", PORTS)
def test_a_port_that_another_program_has(store_server: StoreServer, foreign: str, name: str) -> None:
    assert faults(store_server, **{name: foreign}) == {name: [f"{foreign}: another program listens there"]}


def test_a_port_on_which_another_web_server_answers(store_server: StoreServer, server: HttpServer) -> None:
    server.says(b"It works")
    port = server.url.rpartition(":")[2]
    assert [*faults(store_server, API_PORT=port)] == ["API_PORT"]


@pytest.mark.slow
def test_ports_on_which_our_servers_answer(store_server: StoreServer, tmp_path: Path) -> None:
    variables = {"REDIS_URL": store_server.url, "DATA_DIR": str(tmp_path)}
    variables |= {name: str(free_port()) for name in PORTS}
    with Parts(tmp_path, **variables) as parts:
        parts.start("api", prompt="Started worker-2")
        parts.start("flower", prompt="Visit me at")
        parts.start("beat", prompt="beat: Starting")

        def said() -> set[str]:
            found = examined(**variables)
            return {found[name][0].text.partition(": ")[2] for name in PORTS}

        wait_for(lambda: said() == {"our server answers"}, "all three are recognised")


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_away(store_server: StoreServer, scheme: str) -> None:
    [text] = faults(store_server, BROKER_URL=f"{scheme}://me:s3cret@127.0.0.1:{free_port()}/0")["broker"]
    assert "refused" in text and "s3cret" not in text


@pytest.mark.slow  # the doctor gives a broker three seconds
def test_a_broker_that_hangs_and_one_that_answers(store_server: StoreServer, tmp_path: Path) -> None:
    broker = Server(tmp_path).start()
    try:
        assert faults(store_server, BROKER_URL=broker.url) == {}
        broker.stop()
        assert faults(store_server, BROKER_URL=broker.url) == {"broker": ["it does not answer: it is silent"]}
    finally:
        broker.kill()


@pytest.mark.parametrize("text", ["[rules.x", "[rules.x]\nkind = 'nothing'", None])
def test_a_rules_file_that_cannot_be_read(store_server: StoreServer, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "rules.toml").write_text(text)
    [said] = faults(store_server, RULES=str(tmp_path / "rules.toml"))["rules"]
    assert "rules.toml" in said


def test_the_faults_of_this_machine_are_found_without_a_store(foreign: str) -> None:
    found = states(examined(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", API_PORT=foreign))
    assert found["store"] == found["API_PORT"] == "problem"
    assert found["rules"] == "ok"
