"""The variables of Flower, the page of workers and tasks. A part of the Settings."""

from dataclasses import dataclass

from tracker.environment import refuse, variable
from tracker.servers import PORT
from tracker.variables import address, emails, key, login_provider, logins, or_empty, prefix, url, yes_or_no

HTTP = url("http", "https")


@dataclass(frozen=True)
class Flower:
    """Where Flower listens, and who may log in."""

    flower_port: int = variable("FLOWER_PORT", "5555", PORT, "port of Flower")
    flower_given: str = variable(
        "FLOWER_BIND", "", or_empty(address, ""), "IPv4 address that Flower listens on; empty: BIND_ADDRESS"
    )
    flower_open: bool = variable(
        "FLOWER_OPEN", "no", yes_or_no, "yes: other machines may reach Flower although nobody needs to log in"
    )
    flower_prefix: str = variable(
        "FLOWER_URL_PREFIX", "", or_empty(prefix, ""), "path at which a proxy serves Flower, e.g. /flower"
    )
    flower_logins: str = variable(
        "FLOWER_BASIC_AUTH", "", or_empty(logins, ""), "user:password that Flower asks for", secret=True
    )
    flower_emails: str = variable(
        "FLOWER_AUTH",
        "",
        or_empty(emails, ""),
        "who may log in to Flower: addresses with a vertical line between them, or .*@example.com for a whole domain",
    )
    flower_provider: str = variable(
        "FLOWER_AUTH_PROVIDER",
        "",
        or_empty(login_provider, ""),
        "who logs them in, by OAuth: google, github, gitlab or okta",
    )
    flower_oauth_key: str = variable("FLOWER_OAUTH2_KEY", "", key, "client id that the provider gave for Flower")
    flower_oauth_secret: str = variable(
        "FLOWER_OAUTH2_SECRET", "", key, "client secret that the provider gave for Flower", secret=True
    )
    flower_oauth_redirect: str = variable(
        "FLOWER_OAUTH2_REDIRECT_URI",
        "",
        or_empty(HTTP, ""),
        "URL of Flower's page /login, as the provider knows it, e.g. https://flower.example/login",
    )
    flower_okta_url: str = variable(
        "FLOWER_OAUTH2_OKTA_BASE_URL", "", or_empty(HTTP, ""), "URL of the OAuth server of okta, up to /v1"
    )

    @property
    def flower_asks(self) -> bool:
        """Whether one must log in to see Flower."""
        return bool(self.flower_logins or self.flower_emails)


def check_flower(flower: Flower) -> None:
    """Raises SettingsError if some of the variables for OAuth are set and others, which it needs, are not."""
    needed = {
        "FLOWER_AUTH": flower.flower_emails,
        "FLOWER_AUTH_PROVIDER": flower.flower_provider,
        "FLOWER_OAUTH2_KEY": flower.flower_oauth_key,
        "FLOWER_OAUTH2_SECRET": flower.flower_oauth_secret,
        "FLOWER_OAUTH2_REDIRECT_URI": flower.flower_oauth_redirect,
    }
    if "Okta" in flower.flower_provider:
        needed["FLOWER_OAUTH2_OKTA_BASE_URL"] = flower.flower_okta_url
    given = [name for name, value in needed.items() if value]
    for name, value in needed.items():
        if given and not value:
            refuse(name, "''", f"a value, because {given[0]} is set: Flower needs both to log people in")
