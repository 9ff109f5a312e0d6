"""What ``python -m tracker config`` shows: every setting, its value, its origin, and no secret."""

from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracker.commands.cli import root
from tracker.settings import Settings


def shown(monkeypatch: pytest.MonkeyPatch, **variables: str) -> tuple[int, dict[str, list[str]], str]:
    """The exit status, the words after each name, and all that was printed."""
    for field in fields(Settings):
        monkeypatch.delenv(field.metadata["name"], raising=False)
        monkeypatch.delenv(f"{field.metadata['name']}_FILE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(root, ["config"])
    lines = [line.split() for line in ended.stdout.splitlines()]
    return ended.exit_code, {words[0]: words[1:] for words in lines}, ended.output


def test_every_setting_is_shown_with_its_origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "top").write_text("7\n")
    status, found, _ = shown(monkeypatch, API_PORT="8123", TOP_FILE=str(tmp_path / "top"), QUOTES="")
    assert status == 0
    assert found.keys() == {field.metadata["name"] for field in fields(Settings)}
    assert found["API_PORT"] == ["8123", "environment"]
    assert found["TOP"] == ["7", "file", str(tmp_path / "top")]
    assert found["INTERVAL"] == ["60", "default"]
    assert found["QUOTES"] == ["(empty)", "default"]


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "login").write_text("me:hunter2\n")
    _, found, text = shown(
        monkeypatch, REDIS_URL="redis://:hunter2@host", FLOWER_BASIC_AUTH_FILE=str(tmp_path / "login"),
        CRYPTOWATCH_URL="https://me:hunter2@proxy.example", STORE_PASSWORD="hunter2",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://me:a/hunter2 @b@traces.example",
    )  # fmt: skip
    assert "hunter2" not in text
    assert found["REDIS_URL"] == found["STORE_PASSWORD"] == ["(secret)", "environment"]
    assert found["FLOWER_BASIC_AUTH"][:2] == ["(secret)", "file"]
    assert found["CRYPTOWATCH_URL"] == ["https://(secret)@proxy.example", "environment"]
    assert found["REDIS_PASSWORD"] == ["(empty)", "default"]


def test_a_bad_value_is_shown_and_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    status, found, text = shown(monkeypatch, API_PORT="eighty")
    assert status == 1 and found["API_PORT"] == ["eighty", "environment"]
    assert "API_PORT='eighty': expected a whole number" in text
