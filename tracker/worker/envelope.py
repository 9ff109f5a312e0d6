"""Messages as kombu's transport of Redis wraps them, checked before kombu reads them.

kombu takes a message off its queue and then parses it in the worker's main process, which dies of an error there. No
other transport needs this: AMQP has its own frames. Format: ``kombu.transport.virtual``.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis import Redis

#: Bytes of a message. The largest of ours has all markets of a source, a tenth of it.
LARGEST = 1_000_000


class Strict(BaseModel):
    """Nothing is converted: what has another type is an error."""

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
    """From now on ``channel`` passes on only what it can read; ``refuse`` gets the rest: queue, reason, message.

    A channel of another transport is left alone.
    """
    client = getattr(channel, "client", None)
    if not isinstance(client, Redis):
        return

    def popped(reply: Any, **_: Any) -> Any:
        if not reply:
            return None
        key, item = reply
        queue = bytes_to_str(key).partition(channel.sep)[0]  # behind it stands a priority
        reason = unreadable(channel, queue, item)
        if reason:
            refuse(queue, reason, item)
        return None if reason else reply

    client.set_response_callback("BRPOP", popped)


def unreadable(channel: Any, queue: str, item: bytes) -> str:
    """Why ``channel`` cannot read ``item`` of ``queue``; empty if it can."""
    if len(item) > LARGEST:
        return f"{len(item)} bytes, more than {LARGEST}"
    try:
        envelope = Envelope.model_validate(loads(bytes_to_str(item)))
        if "compression" in envelope.headers:
            return "headers.compression: a small message may become a huge one"
        if envelope.properties.delivery_info.routing_key != queue:
            return "properties.delivery_info.routing_key: another queue's"
        channel.decode_body(envelope.body, envelope.properties.body_encoding)
    except ValidationError as error:
        return first(error)
    except Exception as error:  # whatever the parsers raise: RecursionError, binascii.Error, ...
        return f"not readable: {type(error).__name__}"
    return ""


def first(error: ValidationError) -> str:
    """Where the first error is and what was expected. What was there may be secret, and is left out."""
    [found, *_] = error.errors(include_url=False, include_context=False, include_input=False)
    return ": ".join(part for part in (".".join(map(str, found["loc"])), found["msg"]) if part)
