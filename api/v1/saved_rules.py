"""Rules that are made, changed and deleted over the API, and their versions."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, NoReturn

from apiflask import APIBlueprint, abort
from flask import Response, jsonify, url_for
from flask.blueprints import BlueprintSetupState
from pydantic import BaseModel, Field
from werkzeug.routing import BaseConverter

from api.serving.problems import documented, refuse
from api.v1.rules import RULE_EXAMPLE, RULE_NAME, RuleRow, book, given, saved, shown
from api.v1.schemas import Body, Query
from tracker.alerts.outbox import LONGEST_NAME
from tracker.alerts.saved_rules import LONGEST, MOST_VERSIONS, Outdated, Version
from tracker.alerts.tables import NAME
from tracker.clock import wall

bp = APIBlueprint("saved_rules", __name__, tag="Rules")

#: No rule has this name: it is another path.
RESERVED = "backtest"


class InPath(BaseConverter):
    """``<rule:name>`` in a path: the name of a rule."""

    regex = rf"(?!{RESERVED}$){NAME.pattern}"


@bp.record
def _know_names(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["rule"] = InPath


CHANGES = documented(
    HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
)
By = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, description="Name of the person who does it.")]
Table = Annotated[
    dict[str, Any],
    Field(description="The rule: the same fields as in the rules file, and its `kind`.", examples=[RULE_EXAMPLE]),
]
Known = Annotated[
    int,
    Field(ge=0, le=2**53, description="The `version` that you know. If it is not the newest one, nothing is changed."),
]


class RulePath(BaseModel):
    name: str = Field(pattern=RULE_NAME, description="Name of a saved rule.", examples=["busy"])


class NewRule(Body):
    name: str = Field(pattern=RULE_NAME, description="Its name, which no other rule has.", examples=["busy"])
    rule: Table
    by: By


class ChangedRule(Body):
    rule: Table
    by: By
    version: Known


class Deletion(Query):
    by: By
    version: Known


class Restored(Body):
    restore: int = Field(ge=1, le=2**53, description="The number of the version that is to be in force again.")
    by: By
    version: int = Field(
        ge=0, le=2**53, description="As for a change: the newest `version` that you know; 0 if the rule is deleted."
    )


class VersionRow(BaseModel):
    version: int = Field(description="Its number. No two versions have the same, also of different rules.")
    rule: dict[str, Any] | None = Field(description="The rule as it was. Null: it was deleted then.")
    by: str = Field(description="Who saved it.")
    at: float = Field(description="When, Unix seconds.")


class Versions(BaseModel):
    versions: list[VersionRow] = Field(description=f"The newest first, at most {MOST_VERSIONS}.")


@bp.post("/rules")
@bp.input(NewRule, arg_name="new")
@bp.output(RuleRow, status_code=HTTPStatus.CREATED)
@bp.doc(responses=documented(HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def make_rule(new: NewRule) -> Response:
    """Make a rule

    It is checked as the rules file is, and in force within seconds.
    """
    if new.name == RESERVED:
        refuse("json", "name", f"{RESERVED!r}: expected another name")
    answer = _saved(new.name, new.rule, 0, new.by)
    answer.status_code = HTTPStatus.CREATED
    return answer


@bp.put("/rules/<rule:name>")
@bp.input(RulePath, location="path")
@bp.input(ChangedRule, arg_name="change")
@bp.output(RuleRow)
@bp.doc(responses=CHANGES)
def change_rule(name: str, change: ChangedRule, **_: object) -> Response:
    """Change a rule

    All of it: an option that is left out is as by default.
    """
    _check_saved(name)
    return _saved(name, change.rule, change.version, change.by)


@bp.delete("/rules/<rule:name>")
@bp.input(RulePath, location="path")
@bp.input(Deletion, location="query", arg_name="how")
@bp.output({}, status_code=HTTPStatus.NO_CONTENT)
@bp.doc(responses=CHANGES)
def delete_rule(name: str, how: Deletion, **_: object) -> tuple[str, int]:
    """Delete a rule

    Its versions are kept for 30 days, and it can be restored.
    """
    _check_saved(name)
    _save(name, None, how.version, how.by)
    return "", HTTPStatus.NO_CONTENT


@bp.get("/rules/<rule:name>/versions")
@bp.input(RulePath, location="path")
@bp.input(Query, location="query")
@bp.output(Versions)
@bp.doc(responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE))
def list_versions(name: str, **_: object) -> Response:
    """How was this rule before, and who changed it?"""
    found = saved().versions(name) or _no_rule(name)
    return jsonify(
        versions=[{"version": each.version, "rule": each.table, "by": each.by, "at": each.at} for each in found]
    )


@bp.post("/rules/<rule:name>/restore")
@bp.input(RulePath, location="path")
@bp.input(Restored, arg_name="wanted")
@bp.output(RuleRow)
@bp.doc(responses=CHANGES)
def restore_rule(name: str, wanted: Restored, **_: object) -> Response:
    """Undo: save an earlier version of a rule again"""
    versions = saved().versions(name) or _no_rule(name)
    table = next((each.table for each in versions if each.version == wanted.restore), None)
    if table is None:
        can = ", ".join(str(each.version) for each in versions if each.table is not None)
        refuse("json", "restore", f"{wanted.restore}: expected one of {can}")
    return _saved(name, table, wanted.version, wanted.by)


def _saved(name: str, table: Mapping[str, Any], known: int, by: str) -> Response:
    """Checks the rule in ``table``, saves it and returns its row."""
    in_file = book()
    if name in {rule.name for rule in in_file.rules}:
        abort(HTTPStatus.CONFLICT, detail=f"{name} is a rule of the file: change it there, or choose another name.")
    rule = given(name, table, in_file.outlets)
    if len(json.dumps(table)) > LONGEST:
        refuse("json", "rule", f"expected at most {LONGEST:,} characters of JSON")
    return jsonify(shown(rule, _save(name, table, known, by)))


def _save(name: str, table: Mapping[str, Any] | None, known: int, by: str) -> Version:
    try:
        return saved().save(name, table, known, by, wall())
    except Outdated:
        newest = saved().all().get(name)
        now = f"is at version {newest.version}" if newest else "does not exist"
        detail = f"The rule {name} {now}, not at {known}." if known else f"The rule {name} {now}."
        abort(HTTPStatus.CONFLICT, detail=f"{detail} Read it again: {url_for('v1.rules.list_rules')}")


def _check_saved(name: str) -> None:
    """Ends the request with a problem if ``name`` is a rule of the file, or no rule."""
    if name in saved().all():
        return
    if name in {rule.name for rule in book().rules}:
        abort(HTTPStatus.CONFLICT, detail=f"{name} is a rule of the file: change it there.")
    _no_rule(name)


def _no_rule(name: str) -> NoReturn:
    abort(404, detail=f"There is no saved rule {name}. {url_for('v1.rules.list_rules')} lists the rules.")
