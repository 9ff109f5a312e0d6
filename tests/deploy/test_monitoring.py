"""deploy/monitoring: Prometheus and Alertmanager take their files, and Grafana's board is well formed."""

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.compose import make_secrets, services
from tests.support.image import ROOT
from tests.support.programs import find
from tracker.settings import load

FOLDER = ROOT / "deploy" / "monitoring"
COMPOSED = services({}, "monitoring")
PROMETHEUS = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
BOARD = json.loads((FOLDER / "grafana" / "board.json").read_text())
PANELS = BOARD["panels"]
PAGE = (ROOT / "docs" / "monitoring.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the files, with the secrets beside them."""
    secrets = make_secrets(tmp_path)
    (secrets / "metrics_key").touch()
    for path in FOLDER.glob("*.yml"):
        (tmp_path / path.name).write_text(path.read_text().replace("/run/secrets", str(secrets)))
    return tmp_path


def checked(program: str, *words: str | Path) -> str:
    done = subprocess.run([str(find(program)), *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.program("promtool")
def test_prometheus_takes_its_configuration_and_the_rules(folder: Path) -> None:
    assert "rules found" in checked("promtool", "check", "config", folder / "prometheus.yml")


@pytest.mark.program("amtool")
def test_alertmanager_takes_its_configuration(folder: Path) -> None:
    checked("amtool", "check-config", folder / "alertmanager.yml")


@pytest.mark.program("amtool")
def test_the_receivers_of_the_page_are_understood(folder: Path) -> None:
    text = (folder / "alertmanager.yml").read_text()
    [examples] = re.findall(r"```yaml\n(slack_configs.*?)```", PAGE, re.DOTALL)
    (folder / "examples.yml").write_text(
        text[: text.index("    webhook_configs")] + re.sub("^", "    ", examples, flags=re.M)
    )
    assert "1 receivers" in checked("amtool", "check-config", folder / "examples.yml")


@pytest.mark.program("promtool")
def test_the_addresses_of_the_page_are_understood(folder: Path) -> None:
    text = (folder / "prometheus.yml").read_text()
    [examples] = re.findall(r"```yaml\n(scrape_configs.*?)```", PAGE, re.DOTALL)
    (folder / "examples.yml").write_text(text[: text.index("scrape_configs")] + examples)
    checked("promtool", "check", "config", folder / "examples.yml")
    jobs = {each["job_name"] for each in PROMETHEUS["scrape_configs"]}
    assert {each["job_name"] for each in yaml.safe_load(examples)["scrape_configs"]} == jobs


def test_prometheus_scrapes_the_services_that_have_metrics() -> None:
    found = {name: each["port"] for job in PROMETHEUS["scrape_configs"]
             for each in job["dns_sd_configs"] for name in each["names"]}  # fmt: skip
    ours = {name for name, service in COMPOSED.items() if service["image"] == "data-tracker"}
    assert set(found) == ours - {"simulator", "flower"}
    assert found.pop("api") == load({}).api_port
    assert set(found.values()) == {load({}).metrics_port}


@pytest.mark.parametrize("name", ["prometheus", "alertmanager", "grafana"])
def test_what_is_mounted_exists_and_the_image_is_pinned(name: str) -> None:
    sources = [each.partition(":")[0] for each in COMPOSED[name]["volumes"]]
    assert all((ROOT / source).is_file() for source in sources if source.startswith("."))
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", COMPOSED[name]["image"])


def test_every_alert_of_the_page_has_a_rule() -> None:
    rules = set(re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text()))
    assert set(re.findall(r"\bTracker[A-Z]\w+", PAGE)) == rules
    inhibited = set(re.findall(r"\bTracker[A-Z]\w+", (FOLDER / "alertmanager.yml").read_text()))
    assert inhibited <= rules


def test_no_panel_of_the_board_covers_another_and_all_fit_on_one_screen() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [cells(panel["gridPos"]) for panel in PANELS]
    assert not any(one & other for one, other in itertools.combinations(places, 2))
    assert set().union(*places) == {(x, y) for x in range(24) for y in range(25)}


def cells(place: dict[str, int]) -> set[tuple[int, int]]:
    return {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_takes_the_chosen_data_source(panel: dict[str, Any]) -> None:
    assert panel["title"] and panel["description"].endswith(".")
    assert {each["datasource"]["uid"] for each in (panel, *panel["targets"])} == {"${datasource}"}
    assert len({each["refId"] for each in panel["targets"]}) == len(panel["targets"])
    assert [each["type"] for each in BOARD["templating"]["list"] if each["name"] == "datasource"] == ["datasource"]
