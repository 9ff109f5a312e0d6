"""Pictures in notices: attached where a service takes files, and never in the way of the text."""

import email
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.http_server import HttpServer
from tests.support.sending import ALERT, World
from tests.support.servers import StoreServer
from tests.support.services import NOTICE, Mailbox, channel
from tests.support.tracked import NOW, SLOTS, Tracked
from tracker.alerts import picture
from tracker.alerts.channels import ConfiguredChannel
from tracker.alerts.extras import Extras
from tracker.alerts.sender import deliver
from tracker.settings import load

DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
HANGS = "import signal; signal.pause()"
LIES = "print('no picture')"
PNG = b"\x89PNG\r\n" + bytes(20)


class Sent:
    """An alert that a real mail server is told of."""

    def __init__(self, world: World, store: StoreServer, mailbox: tuple[Mailbox, str]):
        tracked = Tracked(store.url)
        tracked.watch("kraken:btcusd")
        tracked.put("kraken:btcusd", np.full(len(SLOTS), 100.0))
        self.world, (self.box, url) = world, mailbox
        world.outlet = ConfiguredChannel(name="phone", kind="apprise", channel=channel(url))
        self.complete = Extras(replace(load({"REDIS_URL": store.url}), clock_start=NOW, clock_speed=0)).added

    def deliver(self, row: str) -> list[Any]:
        """Tries the row; returns the parts of the last mail that arrived."""
        deliver(self.world.outbox, self.world.outlets, row, self.complete)
        return list(email.message_from_bytes(self.box.mails[-1].content).walk())


@pytest.fixture
def mailed(world: World, store_server: StoreServer, mailbox: tuple[Mailbox, str]) -> Sent:
    return Sent(world, store_server, mailbox)


def test_a_mail_has_the_picture_attached(mailed: Sent) -> None:
    parts = mailed.deliver(mailed.world.record())
    [image] = [part.get_payload(decode=True) for part in parts if part.get_content_type() == "image/png"]
    assert image.startswith(b"\x89PNG")
    assert any(ALERT.text in str(part.get_payload()) for part in parts if part.get_content_type() == "text/plain")


@pytest.mark.parametrize("program", [DIES, HANGS, LIES])
def test_a_picture_that_cannot_be_drawn_is_left_out(
    mailed: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    child = tmp_path / "child.py"
    child.write_text(program)
    monkeypatch.setattr(picture, "CHILD", child)
    parts = mailed.deliver(mailed.world.record())
    assert "image/png" not in [part.get_content_type() for part in parts]
    assert any(ALERT.text in str(part.get_payload()) for part in parts)


def test_a_second_try_goes_without_the_picture(mailed: Sent) -> None:
    mailed.box.code = "451 too large just now"
    row = mailed.world.record()
    assert "image/png" in [part.get_content_type() for part in mailed.deliver(row)]
    mailed.box.code = "250 OK"
    mailed.world.time += 60
    assert "image/png" not in [part.get_content_type() for part in mailed.deliver(row)]


def test_a_service_that_refuses_files_gets_the_text(server: HttpServer) -> None:
    def without_files(request: Any) -> None:
        taken = request.headers.get("Content-Type") == "application/json"
        request.send_response(200 if taken else 400)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    server.answer = without_files
    port = server.url.rpartition(":")[2]
    assert "success" in channel(f"ntfy://127.0.0.1:{port}/alerts").send(replace(NOTICE, picture=PNG))
    with_file, without = server.posts
    assert with_file.body == PNG
    assert json.loads(without.body)["message"] == NOTICE.text
