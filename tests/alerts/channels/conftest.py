"""Fixtures for tests of channels: a simulated internet and a real mail server."""

from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller

from tests.support.internet import Internet
from tests.support.servers import free_port
from tests.support.services import Mailbox


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    return Internet(monkeypatch)


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield box, f"mailto://127.0.0.1:{controller.port}?from=tracker@example.com&to=kim@example.com&mode=insecure"
    finally:
        controller.stop()
