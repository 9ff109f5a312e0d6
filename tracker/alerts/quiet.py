"""Quiet hours of the rules file: each day's become a silence, from one local time to another. Pure.

A local time is the moment at which the clocks of the zone first show it or a later one. So a time that a change of the
clocks leaves out is the moment of the change, and of a time that exists twice the first one counts.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from tracker.alerts.rules import SEVERITIES
from tracker.alerts.silences import Silence, severities
from tracker.alerts.tables import Expected, Globs, Table

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: A file has at most so many tables of quiet hours: each notice is compared with all of them.
MOST = 50
#: The ids of quiet hours begin with this.
PREFIX = "quiet:"
TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
ONE_DAY = timedelta(days=1)


def local_time(value: Any) -> time:
    """Reads a time of day."""
    if not isinstance(value, str) or not TIME.fullmatch(value):
        raise Expected('a time of day from "00:00" to "23:59"')
    return time.fromisoformat(value)


def weekdays(value: Any) -> tuple[str, ...]:
    """Reads a list of days of the week."""
    if not isinstance(value, (list, tuple)) or not value or any(each not in DAYS for each in value):
        raise Expected(f"a list of days, of {', '.join(DAYS)}")
    return tuple(day for day in DAYS if day in value)


def zone(value: Any) -> str:
    """Reads the name of a time zone."""
    try:
        return ZoneInfo(value).key
    except (KeyError, TypeError, ValueError, OSError):
        raise Expected('the name of a time zone, such as "Europe/Berlin" or "UTC"') from None


class Quiet(Table):
    """Quiet hours. begin and end, ``from`` and ``to`` in the file: local times; days: those on which they begin.

    match: globs on metric ids; except_severity: alerts of these severities are told all the same.
    """

    GIVEN = frozenset({"name"})

    name: str = ""
    begin: Annotated[time, BeforeValidator(local_time), Field(validation_alias="from")]
    end: Annotated[time, BeforeValidator(local_time), Field(validation_alias="to")]
    zone: Annotated[str, BeforeValidator(zone)]
    days: Annotated[tuple[str, ...], BeforeValidator(weekdays)] = DAYS
    match: Globs = ("*",)
    except_severity: Annotated[tuple[str, ...], BeforeValidator(severities)] = ()

    @model_validator(mode="after")
    def _check_end(self) -> Self:
        if self.begin == self.end and self.days == DAYS:
            raise Expected("another time than from, or fewer days: these hours would never end", "to")
        return self

    def __str__(self) -> str:
        days = "" if self.days == DAYS else f" on {', '.join(self.days)}"
        return f"{self.name}, {self.begin:%H:%M} to {self.end:%H:%M} {self.zone}{days}"

    def hours(self, now: float) -> tuple[int, int] | None:
        """Begin and end of the quiet hours at ``now``, all in Unix seconds; None if there are none then."""
        today = datetime.fromtimestamp(now, ZoneInfo(self.zone)).date()
        for day in (today - ONE_DAY, today, today + ONE_DAY):  # clocks may go back over midnight, into today
            begin, end = self._of(day)
            if begin <= now < end and DAYS[day.weekday()] in self.days:
                return begin, end
        return None

    def silence(self, now: float) -> Silence | None:
        """The silence that these hours are at ``now``; None if there are none then. Its id is the same everywhere."""
        if not (hours := self.hours(now)):
            return None
        heard = tuple(each for each in SEVERITIES if each not in self.except_severity)
        id = f"{PREFIX}{self.name}:{hours[0]}"
        return Silence(id, self.match, hours[1], f"quiet hours {self}", "the rules file", severity=heard)

    def _of(self, day: date) -> tuple[int, int]:
        last = day if self.begin < self.end else day + ONE_DAY
        return self._moment(datetime.combine(day, self.begin)), self._moment(datetime.combine(last, self.end))

    def _moment(self, local: datetime) -> int:
        """Unix seconds at which the zone's clocks first show ``local`` or a later time."""
        zone = ZoneInfo(self.zone)
        first, last = sorted(int(local.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))

        def has_come(at: int) -> bool:
            return datetime.fromtimestamp(at, zone).replace(tzinfo=None) >= local

        if has_come(first):
            return first
        moments = range(first, last + 1)  # the clocks leave out ``local``: they are set forward in between
        return moments[bisect_left(moments, True, key=has_come)]


def in_force(quiet: Iterable[Quiet], now: float) -> list[Silence]:
    """The silences that ``quiet`` are at ``now``, Unix seconds."""
    return [silence for each in quiet if (silence := each.silence(now))]
