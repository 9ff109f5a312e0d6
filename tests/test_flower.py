"""The variables of Flower: where it listens, and who may log in."""

from importlib import import_module

import pytest

from tracker.errors import SettingsError
from tracker.settings import load
from tracker.variables import LOGIN_PROVIDERS

LOGIN = {"FLOWER_BASIC_AUTH": "me:secret"}
OAUTH = {
    "FLOWER_AUTH": "me@example.com",
    "FLOWER_AUTH_PROVIDER": "github",
    "FLOWER_OAUTH2_KEY": "tracker",
    "FLOWER_OAUTH2_SECRET": "hunter2",
    "FLOWER_OAUTH2_REDIRECT_URI": "https://flower.example/login",
}

BAD = [
    ("FLOWER_BIND", "localhost", "an IPv4 address"),
    ("FLOWER_AUTH", "everybody", "addresses such as me@example.com"),
    ("FLOWER_AUTH", "*@example.com", "or .*@example.com"),
    ("FLOWER_AUTH", ".*@a.example|me@b.example", "addresses such as"),
    ("FLOWER_AUTH", "me@*.example", "addresses such as"),
    ("FLOWER_AUTH_PROVIDER", "myspace", "one of google, github, gitlab, okta"),
    ("FLOWER_OAUTH2_REDIRECT_URI", "/login", "http:// or https://"),
]


@pytest.mark.parametrize(("name", "value", "expected"), BAD)
def test_a_bad_value_is_named_with_what_was_expected(name, value, expected):
    with pytest.raises(SettingsError) as refusal:
        load({name: value})
    assert str(refusal.value).startswith(f"{name}={value!r}: expected ") and expected in str(refusal.value)


@pytest.mark.parametrize(
    ("variables", "bind", "refused"),
    [
        ({"BIND_ADDRESS": "0.0.0.0"}, "0.0.0.0", "BIND_ADDRESS=0.0.0.0: expected a login"),
        ({"BIND_ADDRESS": "10.1.2.3", "API_OPEN": "yes"}, "10.1.2.3", "BIND_ADDRESS=10.1.2.3: expected a login"),
        ({"FLOWER_BIND": "10.1.2.3"}, "10.1.2.3", "FLOWER_BIND=10.1.2.3: expected a login"),
        ({"BIND_ADDRESS": "0.0.0.0", "FLOWER_BIND": "127.0.0.1"}, "127.0.0.1", ""),
        ({"BIND_ADDRESS": "10.1.2.3"} | LOGIN, "10.1.2.3", ""),
        ({"BIND_ADDRESS": "10.1.2.3"} | OAUTH, "10.1.2.3", ""),
        ({"BIND_ADDRESS": "0.0.0.0", "FLOWER_OPEN": "yes"}, "0.0.0.0", ""),
        ({"BIND_ADDRESS": "127.0.0.2"}, "127.0.0.2", ""),
    ],
)
def test_flower_is_on_the_network_only_with_a_login_or_when_told_so(variables, bind, refused):
    settings = load(variables)
    assert settings.flower_bind == bind
    assert settings.flower_refused.startswith(refused) and bool(settings.flower_refused) == bool(refused)


@pytest.mark.parametrize("name", OAUTH)
def test_oauth_needs_all_its_variables(name):
    given = OAUTH | {name: ""}
    with pytest.raises(SettingsError, match=rf"^{name}='': expected a value, because FLOWER_\w+ is set"):
        load(given)


def test_okta_needs_the_url_of_its_server():
    with pytest.raises(SettingsError, match=r"^FLOWER_OAUTH2_OKTA_BASE_URL='': expected a value"):
        load(OAUTH | {"FLOWER_AUTH_PROVIDER": "okta"})
    load(OAUTH | {"FLOWER_AUTH_PROVIDER": "okta", "FLOWER_OAUTH2_OKTA_BASE_URL": "https://okta.example/oauth2"})


@pytest.mark.parametrize("name", LOGIN_PROVIDERS)
def test_flower_has_the_login_provider(name):
    path = load(OAUTH | {"FLOWER_AUTH_PROVIDER": name, "FLOWER_OAUTH2_OKTA_BASE_URL": "https://a"}).flower_provider
    module, _, handler = path.rpartition(".")
    assert hasattr(import_module(module), handler)
    assert load(OAUTH | {"FLOWER_AUTH_PROVIDER": path, "FLOWER_OAUTH2_OKTA_BASE_URL": "https://a"})


def test_the_secret_of_oauth_is_not_in_what_settings_show_of_themselves():
    assert "hunter2" not in repr(load(OAUTH))
