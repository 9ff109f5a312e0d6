"""No socket of Apprise's plugins reaches a private address."""

import socket
import threading

import pytest
import requests

from tests.support.internet import PUBLIC
from tests.support.services import NOTICE, PUSHOVER, channel
from tracker.alerts.channels import apprise
from tracker.errors import ChannelError

REFUSED = "allow_private = true"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
@pytest.mark.parametrize("kind", ["json", "xml", "form", "ntfy", "gotify"])
def test_a_service_on_a_private_address_is_refused_unless_allowed(server, kind, host):
    server.says(b'{"id": 1}')
    url = f"{kind}://{host}:{server.url.rpartition(':')[2]}/topictoken"

    with pytest.raises(ChannelError) as refusal:
        channel(url, allow_private=False).send(NOTICE)

    assert refusal.value.permanent and REFUSED in str(refusal.value)
    assert not server.asked
    channel(url).send(NOTICE)
    assert server.posts


def test_a_mail_server_on_a_private_address_is_refused_unless_allowed(mailbox):
    box, url = mailbox
    for each in (url, url.replace("127.0.0.1", "localhost")):
        with pytest.raises(ChannelError) as refusal:
            channel(each, allow_private=False).send(NOTICE)
        assert refusal.value.permanent and REFUSED in str(refusal.value)
    assert not box.mails


def test_a_datagram_to_a_private_address_is_refused_unless_allowed():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        url = f"rsyslog://127.0.0.1:{receiver.getsockname()[1]}"
        with pytest.raises(ChannelError) as refusal:
            channel(url, allow_private=False).send(NOTICE)
        assert refusal.value.permanent
        channel(url).send(NOTICE)
        assert NOTICE.text in receiver.recv(2_000).decode()


def test_a_redirect_to_a_private_address_is_refused(server, internet):
    """A receiver at a public address redirects to this machine."""
    internet.resolves("public.example", PUBLIC)
    internet.leads(PUBLIC, server.url)
    server.says(b"", 307, Location=server.url + "/inside")

    with pytest.raises(ChannelError) as refusal:
        channel("json://public.example/hook", allow_private=False).send(NOTICE)

    assert refusal.value.permanent and REFUSED in str(refusal.value)
    assert server.asked == ["/hook"]


def test_a_public_service_is_reached_where_its_name_leads_first(server, mailbox, internet):
    """At the second lookup, the name leads to this machine."""
    box, url = mailbox
    internet.resolves("public.example", PUBLIC, "127.0.0.1")
    internet.leads(PUBLIC, server.url)
    server.says(b"")
    assert "success" in channel("json://public.example/hook", allow_private=False).send(NOTICE)
    assert internet.connected == [(PUBLIC, 80)]

    internet.resolves("mail.example", "2606:4700::6810:85e5", "127.0.0.1")
    with pytest.raises(ChannelError) as refusal:
        channel(url.replace("127.0.0.1", "mail.example"), allow_private=False).send(NOTICE)
    assert not refusal.value.permanent  # nothing listens there in this test
    assert internet.connected[1][0] == "2606:4700::6810:85e5" and len(internet.connected) == 2
    assert not box.mails


def test_what_else_the_process_does_is_not_guarded(server, monkeypatch):
    """While a send is under way, another thread may connect to a private address, e.g. the store's."""
    server.says(b"")
    seen = []

    def meanwhile(*_, **__):
        thread = threading.Thread(target=lambda: seen.append(requests.get(server.url, timeout=10).status_code))
        thread.start()
        thread.join()
        return False

    monkeypatch.setattr(apprise.Apprise, "notify", lambda *_, **__: [])
    monkeypatch.setattr(apprise, "masked", meanwhile)
    with pytest.raises(ChannelError):
        channel(PUSHOVER, allow_private=False).send(NOTICE)
    assert seen == [200]
