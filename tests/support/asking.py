"""How tests ask over HTTP, and what they expect when that fails."""

from unittest import mock

import pytest

from tracker import http
from tracker.errors import SourceError
from tracker.sources.http import get_json

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def refused(client, url):
    """The SourceError that asking for ``url`` must raise."""
    with pytest.raises(SourceError) as refusal:
        get_json(client, url)
    assert len(str(refusal.value)) < 1_000
    return refusal.value


def assert_still_usable(client, server):
    """Whatever happened, the next answer is a good one's."""
    server.settle()
    server.says(b'{"result": 1}')
    with mock.patch.multiple(http, READ_TIMEOUT=10, DEADLINE=15):
        assert get_json(client, server.url) == {"result": 1}
