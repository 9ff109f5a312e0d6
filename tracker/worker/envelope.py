"""Checks how kombu's Redis transport has wrapped a message, before kombu reads it.

kombu takes a message off its queue and parses it in the worker's main process. An error there kills the worker. No
other transport needs this check: AMQP has its own frames. Format: ``kombu.transport.virtual``.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis import Redis

#: Bytes of a message at most. Our largest message has all markets of a source and a tenth of this size.
LARGEST = 1_000_000


class Strict(BaseModel):
    """Converts nothing: a value of another type is an error."""

    model_config = ConfigDict(strict=True)


class DeliveryInfo(Strict):
    exchange: str
    routing_key: str


class Properties(Strict):
    delivery_tag: Annotated[str, Field(min_length=1, max_length=255)]
    delivery_info: DeliveryInfo
    body_encoding: Literal["base64"]


class Envelope(Strict):
    body: str
    headers: dict[str, Any]
    properties: Properties


def guard(channel: Any, refuse: Callable[[str, str, bytes], None]) -> None:
    """From now on ``channel`` passes on only messages that it can read.

    For all others it calls ``refuse(queue, reason, message)``. Does nothing to a channel of another transport.
    """
    client = getattr(channel, "client", None)
    if not isinstance(client, Redis):
        return

    def popped(reply: Any, **_: Any) -> Any:
        if not reply:
            return None
        key, item = reply
        queue = bytes_to_str(key).partition(channel.sep)[0]  # a priority may follow
        reason = unreadable(channel, queue, item)
        if reason:
            refuse(queue, reason, item)
        return None if reason else reply

    client.set_response_callback("BRPOP", popped)


def unreadable(channel: Any, queue: str, item: bytes) -> str:
    """Why ``channel`` cannot read ``item`` from ``queue``; empty if it can."""
    if len(item) > LARGEST:
        return f"{len(item)} bytes, more than {LARGEST}"
    try:
        envelope = Envelope.model_validate(loads(bytes_to_str(item)))
        if "compression" in envelope.headers:
            return "headers.compression: a small message may become a huge one"
        if envelope.properties.delivery_info.routing_key != queue:
            return "properties.delivery_info.routing_key: names another queue"
        channel.decode_body(envelope.body, envelope.properties.body_encoding)
    except ValidationError as error:
        return first(error)
    except Exception as error:  # the parsers raise many: RecursionError, binascii.Error, ...
        return f"not readable: {type(error).__name__}"
    return ""


def first(error: ValidationError) -> str:
    """The place of the first error, and what was expected. Leaves out the value, which may be secret."""
    [found, *_] = error.errors(include_url=False, include_context=False, include_input=False)
    return ": ".join(part for part in (".".join(map(str, found["loc"])), found["msg"]) if part)
