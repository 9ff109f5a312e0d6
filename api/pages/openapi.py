"""The OpenAPI document, put right: what APIFlask does not say, or says of parameters that are JSON and not text."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson

from api.serving.problems import documented
from api.v1 import schemas

#: Path -> (the path that was asked for, the answer to it): made by ``python -m tests.api.examples``.
EXAMPLES = Path(__file__).parent / "examples.json"
HEADERS = {
    "ETag": "Differs from before exactly if the bytes do; send it back as `If-None-Match`.",
    "Cache-Control": "`max-age`: seconds until the next change is due, at least 1.",
}
CSV_EXAMPLE = "slot,value\n1699999980,1383.912\n1700000040,\n"
#: Ids in paths: told here, since the views parse them, and once is enough.
IDS = {"/v1/metrics/{id}": schemas.MetricPath, "/v1/markets/{id}": schemas.MarketPath}
OF_BODIES = [HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.LENGTH_REQUIRED, HTTPStatus.REQUEST_ENTITY_TOO_LARGE]
SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, `python -m tracker keys create` makes one."}
}


def improved(spec: Any) -> Any:
    """Of one version, with the problems that any request may meet, security, and examples."""
    spec["paths"] = {path: operations for path, operations in spec["paths"].items() if not path.startswith("/latest")}
    used = {tag for operations in spec["paths"].values() for each in operations.values() for tag in each["tags"]}
    spec["tags"] = [{"name": name} for name in dict.fromkeys(tag["name"] for tag in spec["tags"]) if name in used]
    problem = schemas.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    spec["components"]["schemas"] |= {**problem.pop("$defs"), "Problem": problem}
    spec["components"]["securitySchemes"] = SECURITY
    spec["security"] = [{}, {"key": []}]  # without one: reading if it is open, writing while there is no key
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
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
        common += [HTTPStatus.BAD_REQUEST, *OF_BODIES]
    for status, response in documented(*common).items():
        operation["responses"].setdefault(str(status), response)
    if not reads:
        return
    operation["responses"]["304"] = {"description": "It is as `If-None-Match` says."}
    answer = operation["responses"].get("200")
    if answer:
        answer["headers"] = {
            name: {"schema": {"type": "string"}, "description": meaning} for name, meaning in HEADERS.items()
        }
        if example is not None:
            answer["content"]["application/json"]["example"] = example


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out: in a query, there is no null."""
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    if schema.get("default", ...) is None:
        del schema["default"]
    return schema | (kinds[0] if kinds else {})
