"""Receivers on this machine in the place of the services that Apprise calls."""

from tracker.alerts.channels.apprise import Channel
from tracker.models import FIRING, Notice

KEY = "jump:kraken:btcusd:volume:1700000040"
NOTICE = Notice(KEY, KEY, FIRING, "critical", "jump: kraken:btcusd:volume", "302 is 3.02 x its mean", 1_700_000_071.0)
PUSHOVER = f"pover://{'u' * 30}@{'t' * 30}"


def channel(url, **options):
    """A channel that may reach this machine."""
    return Channel(url=url, **{"allow_private": True} | options)


class Mailbox:
    """The handler of a real SMTP server. ``code``: its answer to a message."""

    def __init__(self):
        self.code = "250 OK"
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(envelope)
        return self.code
