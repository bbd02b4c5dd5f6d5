"""The OpenAPI 3.1 document of the JSON interface, made of the routes' signatures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from pilotage_web.rights import Right, roles_with
from pilotage_web.typed import JSON, KEY_HEADER, ROOT, ApiRoute, Operation

PROBLEM: Final = "application/problem+json"
_REF: Final = "#/components/schemas/{name}"


class ProblemDetails(msgspec.Struct, kw_only=True):
    """What could not be done (RFC 9457): `code` stays the same over versions, `mend` says what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    mend: str = ""
    instance: str = ""


def document(routes: Iterable[ApiRoute], version: str, url: str) -> dict[str, Any]:
    """Return the document.

    Args:
        routes: In any order.
        version: Of the service.
        url: Under which it is reached.
    """
    operations = sorted((route.operation for route in routes), key=lambda o: (o.path, o.method))
    types = [type_ for operation in operations for type_ in _types(operation)]
    schemas, components = msgspec.json.schema_components(
        [*types, ProblemDetails], ref_template=_REF
    )
    for schema in (*schemas, components):
        _bound(schema)
    by_type = dict(zip(map(_key, [*types, ProblemDetails]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, by_type, components
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pilotage",
            "version": version,
            "description": "What the city's engine knows and takes. Orders carry an `Idempotency-Key`: the same key is carried out once.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _bound(schema: Any) -> None:
    """Say of every integer what it is bounded by: 64 bits, where nothing narrower is said; and of pairs what both are."""
    if isinstance(schema, dict):
        parts = schema.get("prefixItems", [])
        if parts and all(part == parts[0] for part in parts):
            # The same in words that every reader of OpenAPI knows; some take `prefixItems` for a list of `items`.
            schema["items"] = schema.pop("prefixItems")[0]
        if schema.get("type") == "integer":
            if "maximum" not in schema and "exclusiveMaximum" not in schema:
                schema["maximum"] = 2**63 - 1
            if "minimum" not in schema and "exclusiveMinimum" not in schema:
                schema["minimum"] = -(2**63)
        for inner in schema.values():
            _bound(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _bound(inner)


def _types(operation: Operation) -> list[Any]:
    wanted = [*operation.parts.values(), operation.body]
    if operation.query is not None:
        wanted += [field.type for field in msgspec.structs.fields(operation.query)]
    if operation.media == JSON and operation.status != HTTPStatus.NO_CONTENT:
        wanted.append(operation.answer)
    return [type_ for type_ in wanted if type_ is not None]


def _key(type_: Any) -> str:
    return repr(type_)


def _operation(
    operation: Operation, schemas: dict[str, Any], components: dict[str, Any]
) -> dict[str, Any]:
    is_open = operation.right is Right.OPEN
    roles = ", ".join(roles_with(operation.right))
    who = "Nobody need be signed in." if is_open else f"Who may: {roles or 'whoever is signed in'}."
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"{operation.text} {who}".strip(),
        "tags": [operation.path.removeprefix(ROOT).split("/")[1]],
        "parameters": _parameters(operation, schemas),
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        content = {JSON: {"schema": schemas[_key(operation.body)]}}
        described["requestBody"] = {"required": True, "content": content}
    if is_open:
        described["security"] = []
    return described


def _parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": schemas[_key(type_)]}
        for name, type_ in operation.parts.items()
    ]
    for field in msgspec.structs.fields(operation.query) if operation.query is not None else ():
        schema = dict(schemas[_key(field.type)])
        is_required = (
            field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
        )
        if not is_required and field.default is not msgspec.NODEFAULT:
            schema["default"] = field.default
        found.append(
            {"name": field.encode_name, "in": "query", "required": is_required, "schema": schema}
        )
    if operation.is_order:
        key = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"}
        found.append({"name": KEY_HEADER, "in": "header", "required": True, "schema": key})
    if operation.is_conditional:
        tag = {"type": "string", "maxLength": 200, "pattern": "^[!-~]+$"}
        told = "The `ETag` of the answer on which this was decided."
        found.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": False,
                "description": told,
                "schema": tag,
            }
        )
    return found


def _responses(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if operation.media != JSON:
        good["content"] = {operation.media: {}}
    elif operation.status != HTTPStatus.NO_CONTENT:
        good["content"] = {JSON: {"schema": schemas[_key(operation.answer)]}}
    responses = {str(operation.status): good}
    if operation.method == "GET":
        responses["304"] = {"description": "Not Modified"}
    for status in _refusals(operation):
        problem = {PROBLEM: {"schema": schemas[_key(ProblemDetails)]}}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    return responses


def _refusals(operation: Operation) -> Sequence[int]:
    found = {404, 405, 409, 422, 429, 500, 502, 503, 504}
    if operation.right is not Right.OPEN:
        found |= {401, 403}
    if operation.body is not None or operation.is_order:
        found |= {400, 413, 415}
    if operation.is_conditional:
        found.add(412)
    return sorted(found)
