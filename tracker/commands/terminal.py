"""What all commands share: settings, flags that overrule variables, numbers, and safe output."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import click

from tracker.errors import SettingsError
from tracker.plain import plain_lines
from tracker.variables import Unusable, number

#: The parameters of a command. Its Settings are Any: `--help` must not load numpy, and tracker.settings does.
P = ParamSpec("P")


def show(text: str) -> None:
    """Prints text that may contain what others wrote."""
    print(plain_lines(text), flush=True)


class Number(click.ParamType[Any]):
    """The number of a flag, judged by the same rules as the number of a variable."""

    name = "number"

    def __init__(self, low: float, high: float, kind: type = int):
        self.parse = number(low, high, kind)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.parse(str(value))
        except Unusable as expected:
            self.fail(f"{value!r:.80}: expected {expected}", param, ctx)


def configured(run: Callable[Concatenate[Any, P], None]) -> Callable[P, None]:
    """Passes the Settings to a command as its first argument. Raises SettingsError for a bad variable."""
    return _with_settings(run, beside_others=True)


def configured_alone(run: Callable[Concatenate[Any, P], None]) -> Callable[P, None]:
    """As ``configured``, for a command that sets the clock: CLOCK_SPEED needs no CLOCK_START."""
    return _with_settings(run, beside_others=False)


def _with_settings(run: Callable[Concatenate[Any, P], None], beside_others: bool) -> Callable[P, None]:
    @wraps(run)
    def loaded(*arguments: P.args, **flags: P.kwargs) -> None:
        from tracker.settings import load
        from tracker.sources import known

        settings = known(load())
        if beside_others and settings.clock_speed != 1 and not settings.clock_start:
            expected = f"expected with CLOCK_SPEED={settings.clock_speed:g}, as start prints it"
            raise SettingsError(f"CLOCK_START='': {expected}")
        run(settings, *arguments, **flags)

    return loaded


def simulator_flags(run: Callable[..., None]) -> Callable[..., None]:
    """The flags of the simulated exchange. Each sets the environment variable of the same meaning."""
    for flag, metavar, variable, text in reversed(SIMULATOR_FLAGS):
        option = click.option(flag, variable, metavar=metavar, help=text, expose_value=False, callback=_set_variable)
        run = option(run)
    return run


SIMULATOR_FLAGS = (
    ("--candles", "DIR", "SIMULATOR_CANDLES", "Replay the candle files in this folder."),
    ("--at", "TIME", "SIMULATOR_AT", "Unix time of the candle that opens now. Default: the last candle."),
    ("--speed", "N", "CLOCK_SPEED", "Let time run N times faster, for all parts that are started."),
    ("--markets", "N", "SIMULATOR_MARKETS", "Number of markets to generate. Default: 60."),
    ("--seed", "N", "SIMULATOR_SEED", "Seed for the generated markets. Default: 1."),
    ("--budget", "N", "SIMULATOR_BUDGET", "Credits per day before it answers 429. Default: no limit."),
)


def _set_variable(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        os.environ[str(option.name)] = value  # the programs that are started read it too
