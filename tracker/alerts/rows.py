"""A row of the outbox as it lies in Redis: its keys, and its hash. deliveries.py writes them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tracker.models import Attempt, Delivery
from tracker.store.connection import PREFIX

#: The newest attempts of a row that are kept.
ATTEMPTS = 20
Stored = dict[bytes, bytes]


def key(id: str) -> str:
    return f"{PREFIX}:delivery:{id}"


def members_key(id: str) -> str:
    return f"{PREFIX}:digest:{id}"


def text(stored: Stored, name: str) -> str:
    return stored.get(name.encode(), b"").decode()


def moment(stored: Stored, name: str) -> float:
    return float(text(stored, name) or 0)


def read(id: str, stored: Stored, due: float | None = None) -> Delivery:
    attempts = tuple(Attempt(**each) for each in json.loads(text(stored, "attempts")))
    alert, channel, event = id.split("/")
    return Delivery(
        alert, channel, event, text(stored, "state"), int(text(stored, "tries")), attempts, due,
        int(text(stored, "wait") or 0), int(text(stored, "number") or 0),
    )  # fmt: skip


def newest(attempts: Sequence[Attempt], attempt: Attempt) -> tuple[Attempt, ...]:
    return (*attempts, attempt)[-ATTEMPTS:]


def known(row: Delivery) -> dict[str, Any]:
    """The tries of a row, as they are stored."""
    return {"tries": row.tries, "attempts": json.dumps([asdict(attempt) for attempt in row.attempts])}
