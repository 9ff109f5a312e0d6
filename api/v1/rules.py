"""Rules: those in force, and what a rule would have done."""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from threading import Lock
from typing import Any

from apiflask import APIBlueprint, abort
from flask import Response, current_app, jsonify
from pydantic import BaseModel, Field

from api.serving.problems import RETRY_AFTER, documented, refuse
from api.v1 import context
from api.v1.schemas import EXAMPLE, Body, Query
from tracker.alerts import lookback
from tracker.alerts.backtest import Tally
from tracker.alerts.lookback import LookedBack
from tracker.alerts.rulebook import Rulebook, RuleSet, check_channels, read_rule
from tracker.alerts.rules import KINDS, LevelRule, Rule
from tracker.alerts.saved_rules import SavedRules, Version, merged, readable
from tracker.alerts.tables import NAME, BadOption, toml
from tracker.errors import SettingsError

bp = APIBlueprint("rules", __name__, tag="Rules")

#: The most alerts with their texts in an answer.
LISTED = 1_000
#: Seconds that a request waits for another backtest of this process.
PATIENCE = 1.0
TOML = "application/toml"
AS_TOML: dict[int | str, Any] = {
    200: {"description": "Tables [rules.NAME].", "content": {TOML: {"schema": {"type": "string"}}}},
    **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
}
RULE_NAME = f"^{NAME.pattern}$"
RULE_EXAMPLE = {"kind": "ratio", "match": "*:volume", "factor": 4, "for": "2m"}

_one_at_a_time = Lock()


class NewBacktest(Body):
    name: str = Field("backtest", pattern=RULE_NAME, description="Name of the rule, for the texts of its alerts.")
    rule: dict[str, Any] = Field(
        description="The rule: the same fields as in the rules file, and its `kind`.", examples=[RULE_EXAMPLE]
    )
    metric: str = Field(
        "*", min_length=1, max_length=200, examples=[EXAMPLE],
        description="Only metrics that match this glob, and that the rule matches. A metric id is a glob, too.",
    )  # fmt: skip


class RuleRow(BaseModel):
    """A rule in force."""

    name: str = Field(description="Its name.", examples=["busy"])
    kind: str = Field(description=f"Its kind: one of {', '.join(KINDS)}.")
    severity: str = Field(description="info, warning or critical.")
    match: list[str] = Field(description="Globs on metric ids.")
    channels: list[str] = Field(description="The channels that get its notices.")
    origin: str = Field(
        description="Where it comes from: `file`, `built-in` if RULES names no file, or `saved` if the API made it."
    )
    locked: bool = Field(description="Whether the API cannot change it: then change the file.")
    rule: dict[str, Any] = Field(
        description="As the rules file has it: `kind`, and the options that differ from their defaults."
    )
    definition: dict[str, Any] = Field(description="With all its options.")
    version: int | None = Field(description="Number of its version, for a change of it. Null for a rule of the file.")
    by: str | None = Field(description="Who saved this version. Null for a rule of the file.")
    at: float | None = Field(description="When, Unix seconds. Null for a rule of the file.")


class RuleList(BaseModel):
    rules: list[RuleRow] = Field(description="Those of the file in its order, then the saved ones.")


class PastAlert(BaseModel):
    slot: int = Field(description="Opening time of the rising edge's slot, Unix seconds.")
    text: str = Field(description="The text of its notice.")


class PastMetric(BaseModel):
    metric: str = Field(description="Metric id.", examples=[EXAMPLE])
    above: int = Field(ge=0, description="Slots above the limit.")
    edges: int = Field(ge=0, description="Rising edges.")
    alerts: int = Field(ge=0, description="Rising edges outside the cooldown: alerts.")
    newest: list[PastAlert] = Field(description="The newest of these alerts, oldest first.")


class Backtest(BaseModel):
    """What a rule would have done over the stored 24 hours."""

    rule: dict[str, Any] = Field(description="The rule with all its options.")
    start: int = Field(description="When the first slot begins, Unix seconds.")
    step: int = Field(description="Seconds of a slot.")
    metrics: int = Field(ge=1, description="Number of metrics that were looked at.")
    above: int = Field(ge=0, description="Slots above the limit, of all metrics.")
    edges: int = Field(ge=0, description="Rising edges, of all metrics.")
    alerts: int = Field(ge=0, description="Alerts, of all metrics.")
    levelless: int = Field(ge=0, description="Number of metrics on which the rule can say nothing. `note` tells why.")
    note: str = Field(description="What the numbers do not show. Empty if they show all.")
    found: list[PastMetric] = Field(
        description=f"Metrics with alerts, those with the most first, at most {lookback.SHOWN}."
    )


@bp.get("/rules")
@bp.input(Query, location="query")
@bp.output(RuleList)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def list_rules(**_: object) -> Response:
    """Which rules are in force?"""
    versions = saved().all()
    of_file = book()
    names = {rule.name for rule in of_file.rules}
    both = merged(of_file, readable(versions)).rules
    return jsonify(rules=[shown(rule, None if rule.name in names else versions[rule.name]) for rule in both])


@bp.get("/rules.toml")
@bp.input(Query, location="query")
@bp.doc(responses=AS_TOML)
def export_rules(**_: object) -> Response:
    """The rules in force, as the rules file writes them

    Channels and quiet hours are not in it. Options that are as by default are left out.
    """
    tables = [toml(f"rules.{rule.name}", rule.table()) for rule in merged(book(), readable(saved().all())).rules]
    return Response("\n".join(tables), content_type=f"{TOML}; charset=utf-8")


@bp.post("/rules/backtest")
@bp.input(NewBacktest, arg_name="asked")
@bp.output(Backtest)
@bp.doc(responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def backtest(asked: NewBacktest) -> Response:
    """When would this rule have fired over the stored 24 hours?

    The rule need not be saved. A request looks at 10,000 metrics at most, which takes about a second. A process of the
    API does one backtest at a time.
    """
    rule = given(asked.name, asked.rule)
    if not isinstance(rule, LevelRule):
        refuse("json", "rule.kind", f"{rule.KIND!r}: {lookback.unstored(rule)}")
    store, sources, now = context.store(), context.settings().sources, context.now()
    metrics = lookback.chosen(store, sources, rule, asked.metric)
    if not 0 < len(metrics) <= lookback.MOST:
        expected = f"a glob that matches 1 to {lookback.MOST:,} metrics of the rule, not {len(metrics):,}"
        refuse("json", "metric", f"{asked.metric!r}: expected {expected}")
    if not _one_at_a_time.acquire(timeout=PATIENCE):
        detail = f"Another backtest is running. Try again in {RETRY_AFTER} seconds."
        abort(HTTPStatus.SERVICE_UNAVAILABLE, detail=detail, headers={"Retry-After": str(RETRY_AFTER)})
    try:
        found = lookback.look_back(store, sources, rule, metrics, now)
    finally:
        _one_at_a_time.release()
    return jsonify(_counted(rule, found))


def saved() -> SavedRules:
    return SavedRules(context.master().redis)


def book() -> RuleSet:
    """The rules that workers read from the same file. Ends the request with a problem if it cannot be used here."""
    try:
        if "rulebook" not in current_app.extensions:
            current_app.extensions["rulebook"] = Rulebook(context.settings().rules)
        found: Rulebook = current_app.extensions["rulebook"]
    except SettingsError as error:
        current_app.logger.error("503: %s", error)  # it shows values: for the log only
        abort(HTTPStatus.SERVICE_UNAVAILABLE, detail="The API cannot use the rules file. Its log says why.")
    return found.current()


def shown(rule: Rule, version: Version | None) -> dict[str, Any]:
    """The row of a rule: of the ``version`` that was saved, or of the file."""
    of_file = "file" if context.settings().rules else "built-in"
    return {
        "name": rule.name, "kind": rule.KIND, "severity": rule.severity, "match": rule.match,
        "channels": rule.channels, "origin": "saved" if version else of_file, "locked": not version,
        "rule": rule.table(), "definition": rule.definition(), "version": version and version.version,
        "by": version and version.by, "at": version and version.at,
    }  # fmt: skip


def given(name: str, table: Mapping[str, Any], outlets: Collection[str] | None = None) -> Rule:
    """The rule in ``table``, checked as in the rules file; its channels only if ``outlets``, all there are, are given.

    Ends the request with a problem that names the option at fault.
    """
    try:
        rule = read_rule(name, table)
        if outlets is not None:
            check_channels(rule, outlets)
    except BadOption as bad:
        told = f"{bad.shown}: " if bad.shown else ""
        refuse("json", ".".join(["rule", *bad.place]), f"{told}expected {bad.expected}")
    return rule


def _counted(rule: LevelRule, found: LookedBack) -> dict[str, Any]:
    counts = {name: getattr(found, name) for name in ("start", "step", "metrics", "above", "edges", "alerts")}
    levelless = f"on metrics without a level: {rule.LEVELLESS}" if found.levelless else ""
    note = "; ".join(filter(None, [rule.UNKNOWN_PAST, levelless]))
    each = LISTED // max(len(found.shown), 1)
    rows = [_row(tally, found, each) for tally in found.shown]
    return {"rule": rule.definition(), **counts, "levelless": found.levelless, "note": note, "found": rows}


def _row(tally: Tally, found: LookedBack, most: int) -> dict[str, Any]:
    newest = [{"slot": found.start + at * found.step, "text": text} for at, text in tally.alerts[-most:]]
    return {
        "metric": tally.metric, "above": tally.above, "edges": len(tally.edges), "alerts": len(tally.alerts),
        "newest": newest,
    }  # fmt: skip
