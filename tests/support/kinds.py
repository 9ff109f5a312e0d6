"""Messages that cannot be tasks of ours, one of each kind, and the reason for which each must be refused."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.support.published import message

#: A task of each queue, with arguments for which there is nothing to do.
TASKS = {
    "fetch": ("tracker.tasks.fetch", ["simulator", []]),
    "evaluate": ("tracker.tasks.evaluate", [[]]),
    "notify": ("tracker.tasks.notify", ["jump:kraken:btcusd:price:60", "log", "firing"]),
}
DEEP = "[" * 100_000 + "]" * 100_000
#: Not too deep for JSON, but too deep for pickle, which passes it to a child.
DEEPISH = json.loads("[" * 400 + "]" * 400)


class Good(NamedTuple):
    """A good message of a queue, in parts that can be changed."""

    queue: str
    wrapped: dict[str, Any]
    body: list[Any]


def good(queue: str) -> Good:
    name, arguments = TASKS[queue]
    return Good(queue, message(name, queue, arguments), [arguments, {}, {}])


def raw(message: Good, body: bytes | None = None) -> bytes:
    """The bytes in the queue, with ``body`` in place of its own if given."""
    body = json.dumps(message.body).encode() if body is None else body
    return json.dumps(message.wrapped | {"body": b64encode(body).decode()}).encode()


Make = Callable[[Good], bytes]


def whole(item: bytes | str) -> Make:
    return lambda message: item if isinstance(item, bytes) else item.encode()


def wrapped(**changes: Any) -> Make:
    """Changes parts of the envelope; ``...`` removes one."""

    def make(message: Good) -> bytes:
        parts = json.loads(raw(message)) | {name.replace("_", "-"): each for name, each in changes.items()}
        return json.dumps({name: each for name, each in parts.items() if each is not ...}).encode()

    return make


def within(part: str, **changes: Any) -> Make:
    """Changes some of the headers or properties; ``...`` removes one."""

    def make(message: Good) -> bytes:
        parts = message.wrapped[part] | changes
        message.wrapped[part] = {name: each for name, each in parts.items() if each is not ...}
        return raw(message)

    return make


def body(content: bytes | str) -> Make:
    return lambda message: raw(message, content if isinstance(content, bytes) else content.encode())


def embedded(**parts: Any) -> Make:
    """The task's own arguments with other ``parts`` after them, such as a chain."""
    return lambda message: raw(message._replace(body=[*message.body[:2], parts]))


def first_repeated(message: Good) -> bytes:
    """One argument too many."""
    message.body[0] = [*message.body[0], message.body[0][0]]
    return raw(message)


def mistyped(message: Good) -> bytes:
    """A string in place of a list of strings, and a list in place of a string."""
    message.body[0] = ["kraken:btcusd" if isinstance(each, list) else [each] for each in message.body[0]]
    return raw(message)


def unnamed(message: Good) -> bytes:
    message.body[1] = {"nomen": "x"}
    return raw(message)


SIGNATURE = {"task": "tracker.tasks.sweep", "args": [], "kwargs": {}, "options": {}}

#: name of the kind -> (function that makes it from a good message, pattern of the reason)
KINDS: dict[str, tuple[Make, str]] = {
    # the message
    "empty": (whole(""), "not readable"),
    "not UTF-8": (whole(b"\xff\xfe{}"), "not readable"),
    "not JSON": (whole("hello\n\x1b[31m there"), "not readable"),
    "NUL bytes": (whole(b"\0" * 64), "not readable"),
    "a number": (whole("7"), "valid dictionary"),
    "a string": (whole('"text"'), "valid dictionary"),
    "a list": (whole("[]"), "valid dictionary"),
    "null": (whole("null"), "valid dictionary"),
    "an empty object": (whole("{}"), "body: Field required"),
    "nested deeply": (whole(DEEP), "not readable: RecursionError"),
    "a type of kombu's": (whole('{"__type__": "x", "__value__": 1}'), "not readable: ValueError"),
    "huge": (within("headers", argsrepr="x" * 5_000_000), "bytes, more than"),
    # its parts
    "no body": (wrapped(body=...), "body: Field required"),
    "body null": (wrapped(body=None), "body: "),
    "body not base64": (wrapped(body="!"), "not readable|body: .*valid tuple"),
    "body half of base64": (wrapped(body="abcde"), "not readable"),
    "no headers": (wrapped(headers=...), "headers: Field required"),
    "headers list": (wrapped(headers=[]), "headers: "),
    "no properties": (wrapped(properties=...), "properties: Field required"),
    "properties list": (wrapped(properties=[]), "properties: "),
    "pickle": (wrapped(content_type="application/x-python-serialize"), "content_type: "),
    "yaml": (wrapped(content_type="application/x-yaml"), "content_type: "),
    "content type unknown": (wrapped(content_type="application/x-nothing"), "content_type: "),
    "content type number": (wrapped(content_type=7), "content_type: "),
    "content encoding number": (wrapped(content_encoding=7), "content_encoding: "),
    "compressed": (within("headers", compression="application/x-gzip"), "headers.compression"),
    # properties
    "body encoding wrong": (within("properties", body_encoding="rot13"), "properties.body_encoding"),
    "no delivery tag": (within("properties", delivery_tag=...), "properties.delivery_tag"),
    "delivery tag list": (within("properties", delivery_tag=[]), "properties.delivery_tag"),
    "no delivery info": (within("properties", delivery_info=...), "properties.delivery_info"),
    "delivery info string": (within("properties", delivery_info="fetch"), "properties.delivery_info"),
    "of another queue": (within("properties", delivery_info={"exchange": "", "routing_key": "x"}), "another queue"),
    "priority string": (within("properties", priority="high"), "properties.priority"),
    "correlation id object": (within("properties", correlation_id={}), "properties.correlation_id"),
    # headers
    "no task": (within("headers", task=...), "headers.task"),
    "task unknown": (within("headers", task="os.system"), "headers.task: .*not one of our tasks"),
    "task of Celery's own": (within("headers", task="celery.map"), "headers.task: .*not one of our tasks"),
    "task list": (within("headers", task=["tracker.tasks.fetch"]), "headers.task"),
    "no id": (within("headers", id=...), "headers.id"),
    "id number": (within("headers", id=7), "headers.id"),
    "id list": (within("headers", id=["x"]), "headers.id"),
    "id huge": (within("headers", id="x" * 10_000), "headers.id"),
    "id of two lines": (within("headers", id="a\nb"), "headers.id"),
    "root id object": (within("headers", root_id={}), "headers.root_id"),
    "group list": (within("headers", group=[1]), "headers.group"),
    "timelimit strings": (within("headers", timelimit=["soon", "later"]), "headers.timelimit"),
    "timelimit negative": (within("headers", timelimit=[-1, -1]), "headers.timelimit"),
    "timelimit of three": (within("headers", timelimit=[1, 2, 3]), "headers.timelimit"),
    "timelimit number": (within("headers", timelimit=7), "headers.timelimit"),
    "eta garbage": (within("headers", eta="soon"), "headers.eta"),
    "eta number": (within("headers", eta=7), "headers.eta"),
    "eta in 7,000 years": (within("headers", eta="9000-01-01T00:00:00+00:00"), "headers.eta"),
    "eta before time": (within("headers", eta="0001-01-01T00:00:00+14:00"), "headers.eta|OverflowError"),
    "expires garbage": (within("headers", expires="never"), "headers.expires"),
    "expires list": (within("headers", expires=[]), "headers.expires"),
    "retries string": (within("headers", retries="7"), "headers.retries"),
    "retries huge": (within("headers", retries=10**9), "headers.retries"),
    "a header nested deeply": (within("headers", tracing=DEEPISH), "headers.tracing"),
    "published string": (within("headers", published="now"), "headers.published"),
    "published in 7,000 years": (within("headers", published=2.2e11), "headers.published"),
    "stamps list": (within("headers", stamps=[]), "headers.stamps"),
    # body
    "body not JSON": (body("hello"), "body not readable"),
    "body not UTF-8": (body(b"\xff\xfe"), "body not readable"),
    "body NUL": (body(b"\0\0\0"), "body not readable"),
    "body empty": (body(""), "body: .*valid tuple"),
    "body number": (body("7"), "body: .*valid tuple"),
    "body string": (body('"text"'), "body: .*valid tuple"),
    "body object": (body("{}"), "body: .*valid tuple"),
    "body null in base64": (body("null"), "body: .*valid tuple"),
    "body of two": (body("[[], {}]"), "body.2: Field required"),
    "body of four": (body("[[], {}, {}, {}]"), "body: .*at most 3 items"),
    "body nested deeply": (body(DEEP), "body not readable"),
    "args string": (body('["kraken:btcusd", {}, {}]'), "body.0: .*valid list"),
    "kwargs list": (body("[[], [], {}]"), "body.1: .*valid dictionary"),
    "embedded list": (body("[[], {}, []]"), "body.2: "),
    "chain garbage": (embedded(chain=[7]), "body.2.chain.0"),
    "chain of unknown tasks": (embedded(chain=[SIGNATURE | {"task": "os.system"}]), "body.2.chain.0.task"),
    "callbacks garbage": (embedded(callbacks="x"), "body.2.callbacks"),
    "chord garbage": (embedded(chord={"task": 7}), "body.2.chord"),
    "too few arguments": (body("[[], {}, {}]"), "arguments: missing a required argument"),
    "too many arguments": (first_repeated, "arguments: too many"),
    "arguments of wrong types": (mistyped, "valid string|valid list"),
    "an argument of no such name": (unnamed, "arguments: "),
}
