"""Decides which messages a worker takes: only messages that can be our tasks. It refuses others once, see refused.py.

The check runs in the worker's main process, before Celery reads the message. An error in Celery may end the worker or a
child, and then the message comes back.
"""

import inspect
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from celery import current_app
from kombu import Message, compression
from pydantic import AfterValidator, ConfigDict, Field, ValidationError, create_model

from tracker.clock import wall
from tracker.errors import StoreError
from tracker.settings import settings
from tracker.store.connection import connect
from tracker.worker.envelope import LARGEST, Strict, first, guard
from tracker.worker.queues import queue_of, took
from tracker.worker.refused import REASON, SHOWN, Refused, printable

log = logging.getLogger(__name__)

#: A task that was delivered again more often than this is refused: it may be what kills its workers.
REDELIVERIES = 5
#: Beginnings of the headers that RabbitMQ adds to a message that waited or was delivered again. Its own are not flat.
OF_RABBITMQ = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
#: Seconds at most until a task begins, and for its run: the visibility timeout. After it, the task is delivered again.
LONGEST = 180


@lru_cache
def _known(name: str) -> str:
    if name.startswith("celery.") or name not in current_app.tasks:
        raise ValueError("not one of our tasks")
    return name


def _time(text: str) -> str:
    if not 0 <= _timestamp(text) < 2**32:
        raise ValueError("out of range")
    return text


def _soon(text: str) -> str:
    if _timestamp(text) > wall() + LONGEST:
        raise ValueError(f"more than {LONGEST} s ahead")
    return _time(text)


def _timestamp(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


Name = Annotated[str, AfterValidator(_known)]
Id = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
Text = Annotated[str, Field(max_length=4_096)]
Count = Annotated[int, Field(ge=0, le=10_000)]
Seconds = Annotated[float, Field(ge=0, le=LONGEST)]
Timestamp = Annotated[float, Field(ge=0, lt=2**32)]
Scalar = bool | int | float | Text | None
#: Flat, because deeply nested values cannot be passed to a child.
Plain = Scalar | list[Scalar] | dict[str, Scalar]


class Headers(Strict):
    """The headers of Celery's message protocol 2. A tracing library may add others if they are Plain."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Plain]

    task: Name
    id: Id
    root_id: Id | None = None
    parent_id: Id | None = None
    group: Id | None = None
    group_index: Count | None = None
    shadow: Text | None = None
    lang: Text | None = None
    origin: Text | None = None
    argsrepr: Text = ""
    kwargsrepr: Text = ""
    eta: Annotated[str, AfterValidator(_soon)] | None = None
    expires: Annotated[str, AfterValidator(_time)] | None = None
    retries: Count = 0
    timelimit: Annotated[list[Seconds | None], Field(min_length=2, max_length=2)] | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: Count = 0
    stamped_headers: list[Text] | None = None
    stamps: dict[str, Plain] | None = None
    redelivered: bool = False
    published: Timestamp | None = None


class Properties(Strict):
    correlation_id: Id | None = None
    reply_to: Text | None = None
    priority: Annotated[int, Field(ge=0, le=255)] | None = None


class Signature(Strict):
    """A task that follows. Its arguments are checked when its own message arrives."""

    task: Name
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Plain]


class Embedded(Strict):
    callbacks: list[Signature] | None = None
    errbacks: list[Signature] | None = None
    chain: list[Signature] | None = None
    chord: None = None


class Received(Strict):
    """The parts of a message that can be checked without its task."""

    content_type: Literal["application/json"]
    content_encoding: Literal["utf-8"]
    headers: Headers
    properties: Properties


class Body(Strict):
    """The tuple is not strict, because JSON has no tuples."""

    body: Annotated[tuple[list[Any], dict[str, Any], Embedded], Field(strict=False)]


def drop_headers_of_rabbitmq(message: Message) -> None:
    for name in [name for name in message.headers if name.startswith(OF_RABBITMQ)]:
        del message.headers[name]


def fault(message: Message) -> str:
    """Why ``message`` cannot be one of our tasks; empty if it can."""
    if len(message.body) > LARGEST:
        return f"{len(message.body)} bytes, more than {LARGEST}"
    parts = {name: getattr(message, name) for name in Received.model_fields}
    try:
        task = Received.model_validate(parts).headers.task
        args, kwargs, _ = Body.model_validate({"body": message.decode()}).body
        _check_arguments(task, args, kwargs)
    except ValidationError as error:
        return first(error)
    except TypeError as error:
        return f"arguments: {error}"
    except Exception as error:  # the parsers raise many kinds
        return f"body not readable: {type(error).__name__}"
    return ""


def _check_arguments(task: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Checks the arguments of ``task``. Raises ValidationError for a wrong type, TypeError for a wrong number."""
    signature, model = _arguments(task)
    model.model_validate(signature.bind(*args, **kwargs).arguments)


@lru_cache
def _arguments(task: str) -> tuple[inspect.Signature, type[Strict]]:
    signature = inspect.signature(current_app.tasks[task].run)
    fields: Any = {
        name: (each.annotation, ... if each.default is each.empty else each.default)
        for name, each in signature.parameters.items()
    }
    return signature, create_model("arguments", __base__=Strict, **fields)


def refuse_compressed() -> None:
    """Makes kombu fail to read any compressed message: a small one may become a huge one before we see it."""

    def refused(_: bytes) -> bytes:
        raise ValueError("compressed")

    for name in compression.encoders():
        compression.register(compression.get_encoder(name)[0], refused, name)


class Admission:
    """Passes on the good messages of a Celery ``consumer`` to ``take``, and refuses the others."""

    def __init__(self, consumer: Any, take: Callable[[Message], None]):
        self._take = take
        self._errors = consumer.connection_errors
        # A store that is away delays the worker's loop by this at most.
        self._refused = Refused(connect(settings().redis_url, tries=1, patience=3, local=settings().redis_socket))
        guard(consumer.task_consumer.channel, self._refuse)
        refuse_compressed()

    def __call__(self, message: Message) -> None:
        drop_headers_of_rabbitmq(message)
        reason = fault(message) or self._comes_back(message)
        if reason:
            self.refuse(message, reason)
        else:
            took(message.delivery_info.get("routing_key", ""), message.headers)
            self._take(message)

    def refuse(self, message: Message, reason: str) -> None:
        """Keeps the message for a person to look at, and takes it off its queue."""
        queue = queue_of(message.delivery_info.get("routing_key", ""))
        self._refuse(queue, reason, _text(message))
        message.reject_log_error(log, self._errors)

    def _comes_back(self, message: Message) -> str:
        """Why a message that was delivered again is refused; empty if it is not."""
        if not (message.headers.get("redelivered") or message.delivery_info.get("redelivered")):
            return ""
        try:
            times = self._refused.redelivered(message.headers["id"])
        except StoreError as error:
            log.warning("cannot count how often a task was delivered: %s", error)
            return ""
        return f"delivered again {times} times: it may be what kills its workers" if times > REDELIVERIES else ""

    def _refuse(self, queue: str, reason: str, text: str | bytes) -> None:
        told = printable(queue, REASON), printable(reason, REASON)
        log.error("refused a message in %s: %s (python -m tracker refused list)", *told)
        try:
            self._refused.add(queue, reason, text)
        except StoreError as error:
            log.error("cannot keep the refused message: %s", error)


def _text(message: Message) -> str:
    """The text to show: the body first, because the headers repeat parts of it."""
    body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
    return f"{printable(body, SHOWN // 2)} {message.headers}"
