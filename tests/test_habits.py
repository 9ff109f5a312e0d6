"""The tools around the code agree: pre-commit, the CI workflow, the pinned versions and the supported Pythons."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
JOB = WORKFLOW["jobs"]["tests"]
PINS = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE))


def test_pre_commit_runs_the_pinned_ruff_and_the_projects_own_mypy() -> None:
    ruff, mypy = HOOKS
    assert ruff["rev"] == f"v{PINS['ruff']}"
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    assert mypy["repo"] == "local"
    assert "-m mypy tracker api celeryconfig.py" in mypy["hooks"][0]["entry"]
    assert "-m mypy tracker api celeryconfig.py" in (ROOT / "scripts" / "run-tests.sh").read_text()


def test_ci_runs_what_everybody_runs_on_every_supported_python() -> None:
    assert [step["run"] for step in JOB["steps"] if "run" in step][-1] == "data-tracker/.ci/run"
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert JOB["strategy"]["matrix"]["python"][0] == oldest


def test_ci_may_only_read_and_its_actions_are_pinned_to_commits() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"} and "permissions" not in JOB
    uses = [step["uses"] for step in JOB["steps"] if "uses" in step]
    assert uses and all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", each) for each in uses)
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True
