"""The OpenAPI description. FastAPI derives most of it from the routes.

This module adds the bodies that `bodies` reads, the problem documents and the headers of the envelope.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lookalike.api.http.bodies import JSON_TYPE
from lookalike.api.http.problems import PROBLEM_MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

REFERENCE = "#/components/schemas/"
DESCRIPTION = """Find similar images.

Errors are problem documents (RFC 9457). Every response has an `X-Request-Id`; a request may set it."""

WHY: dict[int, str] = {
    400: "Invalid request: a bad filter, body or id.",
    401: "The API key is missing or unknown.",
    403: "The API key lacks the scope, the upload URL has expired, or the caller is not on this machine.",
    404: "There is no such collection, item, encoder or training. The response names similar ones.",
    409: "The request conflicts with the current state, or another client changed it.",
    413: "The body or the image is too large.",
    415: "The body has an unsupported content type.",
    422: "The request does not match the schema, or the image cannot be used (see `reason`).",
    429: "Too many requests.",
    500: "Internal server error.",
    503: "Nothing is indexed yet, or the store does not respond.",
}
COMMON = (400, 401, 403, 404, 422, 500, 503)
PUBLIC = {"x-lookalike-public": True}
"""Marks an operation that needs no API key."""


def problems(*more: int) -> dict[int | str, dict[str, Any]]:
    """Error responses of an operation, for `responses=`: the common ones and `more`."""
    return {
        status: {
            "description": WHY[status],
            "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": f"{REFERENCE}Problem"}}},
            "headers": _failure_headers(status),
        }
        for status in sorted({*COMMON, *more})
    }


def json_body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of an operation that reads a JSON body."""
    named = {name: {"value": value} for name, value in examples.items()}
    return {"requestBody": {"required": True, "content": {JSON_TYPE: {"schema": schema, "examples": named}}}}


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """A reference to the schema of `model`."""
    return {"$ref": f"{REFERENCE}{model.__name__}"}


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """The documented methods of a path. FastAPI's own 405 response names one operation only."""
    paths = app.openapi()["paths"]
    matching = [template for template in paths if _pattern(template).fullmatch(path)]
    # An id may contain slashes, so several templates can match. The longest is the most specific.
    return sorted(method.upper() for method in paths[max(matching, key=len)]) if matching else []


def _pattern(template: str) -> re.Pattern[str]:
    parts = (".+" if part == "{id}" else "[^/]+" if part[:1] == "{" else part for part in template.split("/"))
    return re.compile("/".join(parts), re.DOTALL)


def install(app: FastAPI, request_models: Sequence[type[BaseModel]]) -> None:
    """Complete `app.openapi`; `request_models` are the bodies that routes read without FastAPI."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app, request_models)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _describe(app: FastAPI, request_models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    from fastapi.openapi.utils import get_openapi
    from pydantic.json_schema import models_json_schema

    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    inputs = [(model, "validation") for model in request_models]
    _, schemas = models_json_schema(
        [*inputs, (Problem, "serialization")],  # type: ignore[list-item]  # the modes are literals
        ref_template=f"{REFERENCE}{{model}}",
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas["$defs"])
    schemes: Mapping[str, Mapping[str, Any]] = app.state.access.schemes
    if schemes:
        components["securitySchemes"] = {name: dict(scheme) for name, scheme in schemes.items()}
    for operation in _operations(document):
        public = operation.pop("x-lookalike-public", False)
        if schemes and not public:
            operation["security"] = [{name: []} for name in schemes]
        for response in operation["responses"].values():
            response.setdefault("headers", {})["X-Request-Id"] = {
                "schema": {"type": "string"},
                "description": "Identifies this request in the server's log.",
                "required": True,
            }
    return document


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _failure_headers(status: int) -> dict[str, Any]:
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        return {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds.", "required": True}}
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    return {}
