"""How Flower shows a task: what its message says of its arguments, and what the page makes of it."""

from types import SimpleNamespace

import pytest
from celery import Celery
from flower.utils.search import parse_query

from tracker.commands.flowerconfig import format_task
from tracker.worker.readable import LONGEST, readable

SHOWN = [
    ("fetch", ["kraken", ["kraken:btcusd"]], "fetch kraken:btcusd", "kraken:btcusd"),
    ("fetch", ["kraken", ["kraken:a", "kraken:b"]], "fetch kraken", "2 markets: kraken:a, kraken:b"),
    ("evaluate", [["kraken:a", "kraken:b"]], "evaluate", "2 markets: kraken:a, kraken:b"),
    ("schedule_fetches", ["kraken"], "schedule_fetches kraken", "kraken"),
    ("notify", ["rule:kraken:a:price:60", "log"], "notify rule:kraken:a:price:60, log", "rule:kraken:a:price:60, log"),
    ("sweep", [], "sweep", ""),
]


@pytest.mark.parametrize(("kind", "arguments", "name", "shown"), SHOWN)
def test_a_task_is_shown_as_a_person_would_say_it(kind, arguments, name, shown):
    task = format_task(SimpleNamespace(name=f"tracker.tasks.{kind}", args=readable(arguments)))
    assert (task.name, task.args) == (name, shown)
    parse_query(f"name:{task.name}")  # the search of a click on the name


def test_a_task_of_which_little_is_known_is_shown():
    task = format_task(SimpleNamespace(name=None, args=None))
    assert (task.name, task.args) == ("", "")


def test_the_text_of_many_markets_has_a_limit():
    assert len(readable(("kraken", [f"kraken:{number}" for number in range(1_000)]))) == LONGEST


def test_the_message_of_a_task_says_it():
    app = Celery(broker="memory://", task_cls="tracker.worker.timing:OurTask")

    @app.task
    def fetch(name, markets): ...

    with app.connection() as connection:
        fetch.apply_async(("kraken", ["kraken:btcusd"]))
        message = connection.SimpleQueue("celery").get(timeout=5)
    assert message.headers["argsrepr"] == "kraken:btcusd"
