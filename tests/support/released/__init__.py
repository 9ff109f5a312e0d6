"""Messages as earlier versions wrote them: ``messages.jsonl``, one a line, by hand and in kombu's format for Redis."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

MESSAGES = Path(__file__).with_name("messages.jsonl")
WRITTEN = datetime(2026, 11, 28, 6, 31, 16, tzinfo=UTC)


def messages() -> list[dict[str, Any]]:
    """The messages as if they were written just now."""
    passed = datetime.now(UTC) - WRITTEN
    return [_later(json.loads(line), passed) for line in MESSAGES.read_text().splitlines()]


def _later(message: dict[str, Any], by: timedelta) -> dict[str, Any]:
    headers = message["headers"]
    moved = {
        name: (datetime.fromisoformat(headers[name]) + by).isoformat() for name in ("eta", "expires") if headers[name]
    }
    return message | {"headers": headers | moved}
