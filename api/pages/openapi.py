"""Completes APIFlask's OpenAPI document, and corrects its query parameters, which it describes as JSON."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson

from api.serving.problems import documented
from api.v1 import schemas

#: Path of the document -> an example answer. ``python -m tests.api.examples`` writes the file.
EXAMPLES = Path(__file__).parent / "examples.json"
HEADERS = {
    "ETag": "It changes exactly when the bytes change. Send it back as `If-None-Match`.",
    "Cache-Control": "`max-age` is the number of seconds until the next change is due, at least 1.",
}
CSV_EXAMPLE = "slot,value\n1699999980,1383.912\n1700000040,\n"
#: Schemas of ids in paths. The views parse these ids, so APIFlask knows no schema.
IDS = {"/v1/metrics/{id}": schemas.MetricPath, "/v1/markets/{id}": schemas.MarketPath}
OF_BODIES = [HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.LENGTH_REQUIRED, HTTPStatus.REQUEST_ENTITY_TOO_LARGE]
SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key. `python -m tracker keys create` makes one."}
}


def improved(spec: Any) -> Any:
    """``spec`` reduced to one version, with the problems of all requests, security and examples."""
    spec["paths"] = {path: operations for path, operations in spec["paths"].items() if not path.startswith("/latest")}
    used = {tag for operations in spec["paths"].values() for each in operations.values() for tag in each["tags"]}
    spec["tags"] = [{"name": name} for name in dict.fromkeys(tag["name"] for tag in spec["tags"]) if name in used]
    problem = schemas.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    spec["components"]["schemas"] |= {**problem.pop("$defs"), "Problem": problem}
    spec["components"]["securitySchemes"] = SECURITY
    spec["security"] = [
        {},
        {"key": []},
    ]  # no key is needed to read if API_READS is open, nor to write while no key exists
    examples = orjson.loads(EXAMPLES.read_bytes()) if EXAMPLES.exists() else {}
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            _improve(operation, method == "get", examples.get(path))
            if path in IDS:
                [id] = [each for each in operation["parameters"] if each["in"] == "path"]
                id["schema"] = IDS[path].model_json_schema()["properties"]["id"]
    if "/v1/metrics/{id}" in spec["paths"]:
        content = spec["paths"]["/v1/metrics/{id}"]["get"]["responses"]["200"]["content"]
        content["text/csv"] = {"schema": {"type": "string"}, "example": CSV_EXAMPLE}
    return spec


def _improve(operation: dict[str, Any], reads: bool, example: Any) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query":
            parameter["schema"] = _as_text(parameter["schema"])
    common = [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS]
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", [])):
        common.append(HTTPStatus.REQUEST_URI_TOO_LONG)
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
        common += [HTTPStatus.BAD_REQUEST, *OF_BODIES]
    for status, response in documented(*common).items():
        operation["responses"].setdefault(str(status), response)
    if not reads:
        return
    operation["responses"]["304"] = {"description": "The answer is the one that `If-None-Match` names."}
    answer = operation["responses"].get("200")
    if answer:
        answer["headers"] = {
            name: {"schema": {"type": "string"}, "description": meaning} for name, meaning in HEADERS.items()
        }
        if example is not None:
            answer["content"]["application/json"]["example"] = example


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without null, which a query cannot have: an optional parameter is left out."""
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    if schema.get("default", ...) is None:
        del schema["default"]
    return schema | (kinds[0] if kinds else {})
