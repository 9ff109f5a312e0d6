"""Mail through Apprise, with a real mail server."""

import email
import socket
from dataclasses import replace

import pytest

from tests.support.servers import free_port
from tests.support.services import NOTICE, channel
from tracker.alerts.channels import apprise
from tracker.errors import ChannelError


def test_a_mail_has_subject_and_text(mailbox):
    box, url = mailbox
    channel(url).send(NOTICE)
    [mail] = box.mails
    text = mail.content.decode()
    assert mail.rcpt_tos == ["kim@example.com"]
    assert f"Subject: {NOTICE.title}" in text and NOTICE.text in text


def test_a_mail_keeps_its_lines_and_is_no_html(mailbox):
    box, url = mailbox
    channel(url).send(replace(NOTICE, text="3 < 5", context=("price 1 usd",)))
    mail = email.message_from_bytes(box.mails[0].content)
    assert mail.get_content_type() == "text/plain"
    assert mail.get_payload(decode=True).decode().split() == ["3", "<", "5", "price", "1", "usd"]
    assert len(mail.get_payload(decode=True).decode().strip().splitlines()) == 2


def test_a_mail_that_is_refused_is_tried_again(mailbox):
    box, url = mailbox
    box.code = "451 try again later"
    with pytest.raises(ChannelError) as refusal:
        channel(url).send(NOTICE)
    assert not refusal.value.permanent
    assert len(box.mails) == 1


def test_a_mail_server_that_is_away_or_hangs_is_left(monkeypatch):
    monkeypatch.setattr(apprise, "READ_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and sends no greeting
        for port in (free_port(), silent.getsockname()[1]):
            with pytest.raises(ChannelError) as refusal:
                channel(f"mailto://127.0.0.1:{port}?from=a@example.com&to=b@example.com&mode=insecure").send(NOTICE)
            assert not refusal.value.permanent
