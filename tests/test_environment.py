"""A variable may be read from a file."""

import os

import pytest

from tracker.errors import SettingsError
from tracker.settings import load


def test_a_variable_may_be_given_by_file(tmp_path):
    (tmp_path / "key").write_text("  secret key\n")
    assert load({"CRYPTOWATCH_KEY_FILE": str(tmp_path / "key")}).cryptowatch_key == "secret key"


def test_a_value_given_twice_is_taken_from_the_environment(tmp_path):
    (tmp_path / "port").write_text("1")
    assert load({"API_PORT": "2", "API_PORT_FILE": str(tmp_path / "port")}).api_port == 2


def test_an_empty_file_is_the_default(tmp_path):
    (tmp_path / "port").write_text("\n")
    assert load({"API_PORT_FILE": str(tmp_path / "port")}).api_port == 8_000


def test_a_bad_value_in_a_file_is_refused_like_any(tmp_path):
    (tmp_path / "port").write_text("many\n")
    with pytest.raises(SettingsError, match="API_PORT='many': expected a whole number"):
        load({"API_PORT_FILE": str(tmp_path / "port")})


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"1" * 1_000_001, "a pipe", "a folder"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "port"
    if content == "a pipe":
        os.mkfifo(path)
    elif content == "a folder":
        path.mkdir()
    elif content:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"API_PORT_FILE='.*port': expected a readable text file"):
        load({"API_PORT_FILE": str(path)})
