"""The kind ``all``: several conditions on one market, true in the same slot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, InstanceOf

from tracker.alerts.rules.base import TOLD, LevelRule, SeriesRule
from tracker.alerts.rules.kinds import Change, Ratio, Threshold, Zscore
from tracker.alerts.rules.series import WindowSlice
from tracker.alerts.tables import BadOption, shown
from tracker.models import FIELDS, Alert

CONDITIONS: dict[str, type[SeriesRule]] = {kind.KIND: kind for kind in (Ratio, Change, Threshold, Zscore)}
#: Conditions of a rule, at least and at most.
FEWEST, MOST = 2, 8


@dataclass(frozen=True)
class Condition:
    """A condition: what ``rule`` says of the ``field`` of a market. The rule's common options play no part."""

    field: str
    rule: SeriesRule

    @classmethod
    def options(cls, kind: type[SeriesRule]) -> list[str]:
        """The options of a condition of this kind, besides ``field`` and ``kind``."""
        return [name for name in kind.options() if name not in LevelRule.options()]

    @classmethod
    def read(cls, table: Any, secrets: Callable[[str, str], str]) -> Self:
        """A condition as the rules file gives it; raises BadOption."""
        if not isinstance(table, Mapping):
            raise BadOption("", shown(table), 'a table such as { field = "volume", kind = "ratio", factor = 3 }')
        given = dict(table)
        for name, known in (("field", FIELDS), ("kind", CONDITIONS)):
            value = given.pop(name, None)
            if not isinstance(value, str) or value not in known:
                told = "(missing)" if value is None else shown(value)
                raise BadOption(name, told, f"one of {', '.join(known)}")
        kind = CONDITIONS[table["kind"]]
        if unknown := [name for name in given if name not in cls.options(kind)]:
            expected = f"no such option in a condition, but one of {', '.join(['field', 'kind', *cls.options(kind)])}"
            raise BadOption(unknown[0], "", expected)
        return cls(table["field"], kind.read(given, secrets))

    def definition(self) -> dict[str, Any]:
        """As the rules file gives it, with all options."""
        return {"field": self.field, "kind": self.rule.KIND} | {
            name: getattr(self.rule, name) for name in self.options(type(self.rule))
        }


class All(LevelRule):
    """Fires when all conditions are true in the same slot of a market. It is over when one of them is clear.

    all: the conditions. The first one gives the alert its metric and its numbers.
    """

    KIND = "all"
    MESSAGE = "{metric}: {conditions}"
    TOLD = (*TOLD, "conditions")

    all: Annotated[tuple[InstanceOf[Condition], ...], Field(min_length=FEWEST, max_length=MOST)]

    @classmethod
    def read(cls, table: Mapping[str, Any], secrets: Callable[[str, str], str], /, **given: Any) -> Self:
        found = table.get("all", [])
        if not isinstance(found, Sequence) or isinstance(found, str) or not FEWEST <= len(found) <= MOST:
            raise BadOption("all", shown(found), f"a list of {FEWEST} to {MOST} conditions")
        conditions = []
        for number, each in enumerate(found, start=1):
            try:
                conditions.append(Condition.read(each, secrets))
            except BadOption as bad:
                place = (f"all[{number}]", *filter(None, bad.place))
                raise BadOption(bad.name, bad.shown, bad.expected, place) from None
        return super().read({**table, "all": tuple(conditions)}, secrets, **given)

    def definition(self) -> dict[str, Any]:
        return super().definition() | {"all": [condition.definition() for condition in self.all]}

    def table(self) -> dict[str, Any]:
        return super().table() | {"all": [{"field": each.field} | each.rule.table() for each in self.all]}

    @property
    def field(self) -> str:
        return self.all[0].field

    @property
    def limit(self) -> float:
        return 0.0

    @property
    def clear_limit(self) -> float:
        return 0.0

    @property
    def told(self) -> float:
        return self.all[0].rule.told

    @property
    def window(self) -> int:
        return self.all[0].rule.window

    @property
    def measure(self) -> tuple[object, ...]:
        return (self.KIND, *((each.field, each.rule.measure, each.rule.limit) for each in self.all))

    def level(self, at: WindowSlice) -> np.ndarray:
        """By how much the condition that is furthest from true exceeds its limit, as a share of that limit."""
        excesses = [
            (each.rule.levels(slots) - each.rule.limit) / (abs(each.rule.limit) or 1) for each, slots in self._each(at)
        ]
        return np.asarray(np.minimum.reduce(excesses))

    def judge(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        """Above where all conditions are, clear where one of them is."""
        judged = [each.rule.judge(slots) for each, slots in self._each(at)]
        above, clear = zip(*judged, strict=True)
        return np.logical_and.reduce(above), np.logical_or.reduce(clear)

    def grounds(self, at: WindowSlice) -> tuple[np.ndarray, np.ndarray]:
        return self.all[0].rule.grounds(at)

    def details(self, at: WindowSlice, row: int, k: int) -> dict[str, Any]:
        """The numbers of each condition, and its text."""
        return {"conditions": [_told(each, slots, row, k) for each, slots in self._each(at)]}

    def known(self, alert: Alert) -> dict[str, Any]:
        conditions = (alert.details or {}).get("conditions", [])
        return {**super().known(alert), "conditions": "; ".join(each["text"] for each in conditions)}

    def _each(self, at: WindowSlice) -> list[tuple[Condition, WindowSlice]]:
        return [(each, at if each.field == self.field else at.beside(each.field)) for each in self.all]


def _told(condition: Condition, at: WindowSlice, row: int, k: int) -> dict[str, Any]:
    rule = condition.rule
    baseline, samples = (each[row, k].item() for each in rule.grounds(at))
    numbers = {
        "field": condition.field, "kind": rule.KIND, "value": float(at.value[row, k]), "baseline": baseline,
        "factor": rule.told, "samples": samples, "window": rule.window,
    }  # fmt: skip
    told = Alert("", condition.field, 0, numbers["value"], baseline, rule.told, samples, rule.window, 0.0, rule.KIND)
    return numbers | {"text": rule.text(told)}
