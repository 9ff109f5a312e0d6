"""docker-compose.yml: what it says, and that its services work together when they run as processes."""

import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from compose_spec import PyCompose

from tests.support.command_line import parsed
from tests.support.compose import Composed, interpolated, make_secrets, services, variables
from tests.support.image import ROOT, Image, texts
from tests.support.servers import wait_for
from tracker.commands.parts import QUEUES
from tracker.settings import Settings, load

#: The profiles with a file of variables.
PROFILES = ("cluster", "rabbitmq")
ALL = services({}, *PROFILES, "monitoring")
OURS = {name: service for name, service in ALL.items() if service["image"] == "data-tracker"}
VARIABLES = {field.metadata["name"] for field in fields(Settings)}


def test_compose_can_read_it() -> None:
    text = yaml.safe_dump(yaml.safe_load(interpolated({})))  # without the merges, which this parser does not know
    PyCompose.from_yaml(text)
    with pytest.raises(ValueError, match="retsart"):
        PyCompose.from_yaml(text.replace("restart:", "retsart:"))


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_a_service_is_a_command_of_the_tracker(service: dict[str, Any]) -> None:
    name, *words = shlex.split(service["command"])
    assert set(parsed(name, *words).get("queues", [])) <= set(QUEUES)
    assert {each.removesuffix("_FILE") for each in variables(service)} <= VARIABLES


def test_it_runs_every_part_and_two_beats() -> None:
    commands = {service["command"] for service in OURS.values()}
    assert commands == {"simulate", "beat", "api", "flower", *(f"worker {queue}" for queue in QUEUES)}
    assert OURS["beat"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", ALL)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = ALL[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["init"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name != "rabbitmq":
        assert "cap_add" not in service
        assert int((service.get("user") or texts("USER")[0]).partition(":")[0]) > 0


@pytest.mark.parametrize("name", ALL)
def test_a_service_has_a_health_check_and_comes_back(name: str) -> None:
    service = ALL[name]
    if name == "cluster":  # it ends when its work is done
        assert service["restart"] == "no"
        return
    assert service["restart"] == "always"
    assert name in OURS or service["healthcheck"]["test"]  # the image of ours has one


def test_only_nginx_and_what_monitors_have_a_port_and_on_this_machine_only() -> None:
    ports = {name: service["ports"] for name, service in ALL.items() if "ports" in service}
    assert ports.pop("nginx") == ["127.0.0.1:8000:8080"]
    assert ports == {name: [f"127.0.0.1:{port}:{port}"] for name, port in
                     (("prometheus", 9090), ("alertmanager", 9093), ("grafana", 3000))}  # fmt: skip
    assert not set(ports) & set(services({}))


def test_no_password_is_in_a_command_or_a_variable() -> None:
    secret = {field.metadata["name"] for field in fields(Settings) if field.metadata["secret"]}
    given = {name: text for service in ALL.values() for name, text in variables(service).items() if name in secret}
    assert given == {"REDIS_URL": "redis://redis:6379/0"}


def test_every_secret_and_every_volume_that_is_used_is_declared_and_used(tmp_path: Path) -> None:
    whole = yaml.safe_load(interpolated({}))
    used = {
        each if isinstance(each, str) else each["source"]
        for service in ALL.values()
        for each in service.get("secrets", [])
    }
    assert used == set(whole["secrets"])
    made = {path.name for path in make_secrets(tmp_path).iterdir()}
    assert {Path(each["file"]).name for each in whole["secrets"].values()} - made == {"metrics_key"}  # an API key
    named = {each.partition(":")[0] for service in ALL.values() for each in service.get("volumes", [])}
    assert {name for name in named if not name.startswith(".")} == set(whole["volumes"])


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_variables_that_the_tracker_takes(profile: str, tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "compose" / f"{profile}.env").read_text()
    shell = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    environment = variables(services(shell, profile)["fetch"])
    assert shell and shell.items() <= environment.items()
    secrets = str(make_secrets(tmp_path))
    local = {name: text.replace("/run/secrets", secrets) for name, text in environment.items() if "URL" in name}
    loaded = load(local)
    assert loaded.redis_url and loaded.broker_url != loaded.redis_url


@pytest.mark.slow
@pytest.mark.program("nginx")
@pytest.mark.program("wget")
def test_the_services_work_together_and_stop_in_time(image: Image, tmp_path: Path) -> None:
    with Composed(tmp_path, image, SIMULATOR_MARKETS="6", FETCH_CONCURRENCY="1", NOTIFY_CONCURRENCY="1") as composed:
        for name in composed.services:
            composed.start(name)
        for name in composed.services:
            wait_for(lambda name=name: composed.is_healthy(name), f"{name} is healthy", 60)
        wait_for(
            lambda: requests.get(f"{composed.site}/v1/metrics", timeout=10).json().get("total") == 12,
            f"all markets are ranked: {composed.log('fetch')}", 60,
        )  # fmt: skip
        assert requests.get(composed.site, timeout=10).headers["Content-Type"].startswith("text/html")
        assert requests.post(f"{composed.site}/v1/alerts/x/acknowledge", timeout=10).status_code == 403

        flower = f"{composed.site}/flower/"
        login = (tmp_path / "secrets" / "flower_login").read_text().strip()
        assert requests.get(flower, timeout=10).status_code == 401
        user, password = login.split(":")

        def page() -> requests.Response:
            return requests.get(flower.rstrip("/"), auth=(user, password), timeout=10)

        assert page().status_code == 200
        wait_for(lambda: "fetch-" in page().text, "Flower shows the worker")
        assert requests.get(f"{flower}metrics", timeout=10).status_code == 404
