"""The Kubernetes manifests: they follow Kubernetes' schemas, run the parts with few rights, and name what exists."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.command_line import parsed
from tests.support.image import ROOT, listed, texts
from tests.support.programs import find
from tracker.commands.parts import QUEUES
from tracker.settings import Settings, load

FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
FILES = {path.name: [*yaml.safe_load_all(path.read_text())] for path in FOLDER.glob("*.yaml")}
MANIFESTS = [each for name in KUSTOMIZATION["resources"] for each in FILES[name]]
DEPLOYMENTS = {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "Deployment"}
PODS = {name: each["spec"]["template"]["spec"] for name, each in DEPLOYMENTS.items()}
#: The oldest and the newest version whose schemas the manifests follow.
VERSIONS = ("1.27", "1.37")
#: The keys of the secret `tracker`, as docs/deploy.md makes it. The last is for a broker of its own.
SECRETS = {"redis_password", "flower_login", "broker_url"}


def of(kind: str) -> list[dict[str, Any]]:
    return [each for each in MANIFESTS if each["kind"] == kind]


def container(name: str) -> dict[str, Any]:
    [only] = PODS[name]["containers"]
    return dict(only)


def variables() -> dict[str, str]:
    [generated] = KUSTOMIZATION["configMapGenerator"]
    return dict(each.split("=", 1) for each in generated["literals"])


def test_every_file_is_a_resource() -> None:
    assert set(KUSTOMIZATION["resources"]) == set(FILES) - {"kustomization.yaml"}


@pytest.mark.program("kubectl")
@pytest.mark.parametrize("version", VERSIONS)
def test_what_kustomize_makes_follows_the_schemas(version: str) -> None:
    command = [str(find("kubectl")), "kustomize", str(FOLDER)]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    manifests = [*yaml.safe_load_all(made)]
    assert len(manifests) == len(MANIFESTS) + 1  # the variables
    for each in manifests:
        kubernetes_validate.validate(each, version, strict=True)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "data-tracker"


def test_a_wrong_field_would_be_found() -> None:
    wrong = DEPLOYMENTS["api"] | {"spec": DEPLOYMENTS["api"]["spec"] | {"replicaz": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replicaz"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_each_part_runs_and_two_beats() -> None:
    assert {" ".join(container(name)["args"]) for name in PODS} == {
        "beat", "api", "flower", *(f"worker {queue}" for queue in QUEUES)
    }  # fmt: skip
    for name in PODS:
        parsed(*container(name)["args"])
    assert DEPLOYMENTS["beat"]["spec"]["replicas"] == 2


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_restricted_and_writes_to_its_folders_only(name: str) -> None:
    security, pod = container(name)["securityContext"], PODS[name]["securityContext"]
    assert security["allowPrivilegeEscalation"] is False and security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True and pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert texts("USER") == [f"{pod['runAsUser']}:{pod['runAsGroup']}"]
    assert PODS[name]["automountServiceAccountToken"] is False
    mounted = {each["name"]: each["mountPath"] for each in container(name)["volumeMounts"]}
    assert mounted == {"data": "/data", "tmp": "/tmp", "secrets": "/run/secrets/tracker"}
    assert {"requests", "limits"} == set(container(name)["resources"])


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_found_by_its_labels_and_one_at_a_time_may_go(name: str) -> None:
    spec = DEPLOYMENTS[name]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    assert [each["labelSelector"]["matchLabels"] for each in PODS[name]["topologySpreadConstraints"]] == [labels]
    budgets = [each["spec"] for each in of("PodDisruptionBudget") if each["spec"]["selector"]["matchLabels"] == labels]
    assert budgets == ([] if name == "flower" else [{"maxUnavailable": 1, "selector": spec["selector"]}])
    services = [each for each in of("Service") if each["spec"]["selector"] == labels]
    assert len(services) == (name in ("api", "flower"))


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_probed_with_the_command_health(name: str) -> None:
    probes = {each: container(name)[f"{each}Probe"] for each in ("startup", "readiness", "liveness")}
    assert probes["startup"]["exec"]["command"] == listed("HEALTHCHECK")
    for probe in probes.values():
        command = probe.get("exec", {}).get("command", listed("HEALTHCHECK"))
        assert command[:2] == listed("HEALTHCHECK")
        parsed(*command[1:])
    if name in ("beat", *QUEUES):  # a short outage of the broker must not restart it
        assert parsed(*probes["liveness"]["exec"]["command"][1:])["within"] >= 600


def test_ports_are_those_of_the_servers() -> None:
    settings = load({})
    for name, port in (("api", settings.api_port), ("flower", settings.flower_port)):
        assert [each["containerPort"] for each in container(name)["ports"]] == [port]


def test_the_variables_are_those_of_the_tracker_and_the_secrets_are_files() -> None:
    known = {field.metadata["name"]: field.metadata["secret"] for field in fields(Settings)}
    assert {name.removesuffix("_FILE") for name in variables()} <= set(known)
    assert [name for name in variables() if known.get(name)] == ["REDIS_URL"]
    assert "@" not in variables()["REDIS_URL"]
    assert {Path(text).name for name, text in variables().items() if name.endswith("_FILE")} <= SECRETS
    load({name: text for name, text in variables().items() if not name.endswith("_FILE")})
    documented = (ROOT / "docs" / "deploy.md").read_text()
    assert all(f"--from-file={name}" in documented for name in SECRETS - {"broker_url"})


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_keda_scales_the_workers_by_the_length_of_their_queue(broker: str) -> None:
    login, scaler = yaml.safe_load_all((FOLDER / "keda" / f"{broker}.yaml").read_text())
    assert scaler["kind"] == "ScaledObject" and login["kind"] == "TriggerAuthentication"
    assert {each["metadata"]["namespace"] for each in (login, scaler)} == {KUSTOMIZATION["namespace"]}
    assert "replicas" not in DEPLOYMENTS[scaler["spec"]["scaleTargetRef"]["name"]]["spec"]
    [trigger] = scaler["spec"]["triggers"]
    assert trigger["type"] == broker
    assert trigger["metadata"]["listName" if broker == "redis" else "queueName"] in QUEUES
    assert all(isinstance(text, str) for text in trigger["metadata"].values())
    assert trigger["authenticationRef"]["name"] == login["metadata"]["name"]
    assert {each["key"] for each in login["spec"]["secretTargetRef"]} <= SECRETS


def test_the_operator_of_prometheus_finds_the_ports_and_the_rules_find_the_jobs() -> None:
    rules = (ROOT / "deploy" / "monitoring" / "alerts.yml").read_text()
    for monitor in yaml.safe_load_all((FOLDER / "monitoring" / "podmonitors.yaml").read_text()):
        assert monitor["metadata"]["namespace"] == KUSTOMIZATION["namespace"]
        labels = monitor["spec"]["selector"]["matchLabels"]
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        ports = {
            name: port["containerPort"]
            for name, each in DEPLOYMENTS.items()
            for port in container(name).get("ports", [])
            if labels.items() <= each["spec"]["template"]["metadata"]["labels"].items()
            and port["name"] == endpoint["port"]
        }
        job = monitor["metadata"]["name"]
        assert [each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "job"] == [job]
        assert re.search(rf'job="{job}"|job=~"tracker-', rules)
        assert (
            ports
            == {
                "tracker-api": {"api": load({}).api_port},
                "tracker-parts": dict.fromkeys(("beat", *QUEUES), load({}).metrics_port),
            }[job]
        )
