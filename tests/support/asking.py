"""Requests over HTTP that must fail, and a check that the client still works after them."""

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
    """The client gets the next answer, whatever happened before."""
    server.settle()
    server.says(b'{"result": 1}')
    with mock.patch.multiple(http, READ_TIMEOUT=10, DEADLINE=15):
        assert get_json(client, server.url) == {"result": 1}
