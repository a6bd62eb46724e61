"""The OpenAPI description: what FastAPI derives from the routes, and what it cannot know.

It cannot know the bodies that `bodies` reads, the problem documents, nor the headers of the envelope.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lookalike.api.bodies import FORM_TYPE, JSON_TYPE

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

PROBLEM_MEDIA_TYPE = "application/problem+json"
REFERENCE = "#/components/schemas/"
DESCRIPTION = """Find images that look like this one.

Errors are problem documents (RFC 9457). Every response has an `X-Request-Id`; send one to choose it."""

WHY: dict[int, str] = {
    400: "The request cannot be right: a bad filter, body or id.",
    401: "An API key is needed, or this one is not known.",
    403: "The API key lacks the scope, the upload URL has run out, or the caller is not on this machine.",
    404: "There is no such collection, item, encoder or training; the nearest names are given.",
    409: "It does not fit what is there, or somebody changed it meanwhile.",
    413: "The body or the image is too large.",
    415: "The body has another content type than documented.",
    422: "The request does not have the documented form, or the image cannot be used (`reason` says why).",
    429: "Too many requests at once.",
    500: "The server made a mistake.",
    503: "Nothing is indexed yet, or the store does not answer.",
}
COMMON = (400, 401, 403, 404, 422, 500, 503)
PUBLIC = {"x-lookalike-public": True}
"""Marks an operation that needs no key."""


def problems(*more: int) -> dict[int | str, dict[str, Any]]:
    """The failures of an operation, for `responses=`: the common ones, and `more`."""
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
    """The methods documented for a path: FastAPI's own 405 knows of one operation only."""
    paths = app.openapi()["paths"]
    matching = [template for template in paths if _pattern(template).fullmatch(path)]
    # An id may hold slashes, so that several match; the longest says most.
    return sorted(method.upper() for method in paths[max(matching, key=len)]) if matching else []


def _pattern(template: str) -> re.Pattern[str]:
    parts = (".+" if part == "{id}" else "[^/]+" if part[:1] == "{" else part for part in template.split("/"))
    return re.compile("/".join(parts), re.DOTALL)


def install(app: FastAPI, bodies: list[type[BaseModel]]) -> None:
    """Make `app.openapi` complete; `bodies` are the models that its routes read by themselves."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app, bodies)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _describe(app: FastAPI, bodies: list[type[BaseModel]]) -> dict[str, Any]:
    from fastapi.openapi.utils import get_openapi
    from pydantic.json_schema import models_json_schema

    from lookalike.api.answers import Problem
    from lookalike.api.examples import ANSWERS
    from lookalike.api.schemas import SearchForm

    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    inputs = [(model, "validation") for model in bodies]
    _, schemas = models_json_schema(
        [*inputs, (Problem, "serialization")],  # type: ignore[list-item]  # the modes are literals
        ref_template=f"{REFERENCE}{{model}}",
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas["$defs"])
    for name in ANSWERS.keys() & components["schemas"].keys():
        components["schemas"][name]["examples"] = [ANSWERS[name]]
    if SearchForm.__name__ in components["schemas"]:
        _as_form(components["schemas"][SearchForm.__name__])
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
                "description": "Names this request in the server's log.",
                "required": True,
            }
    return document


def _as_form(schema: dict[str, Any]) -> None:
    """A form carries its picture as a file, and what is nested as JSON text."""
    properties = schema["properties"]
    properties["image"] = {"type": "string", "format": "binary", "description": "An image file."}
    for name in ("filter", "query"):
        properties[name] = {
            "type": "string",
            "contentMediaType": JSON_TYPE,
            "description": f"JSON text; see `{name}` of SearchRequest.",
        }
    for name, of in properties.items():
        if "anyOf" in of:  # a form cannot say null
            properties[name] = {**of.pop("anyOf")[0], **of}
            properties[name].pop("default", None)
    schema["oneOf"] = [{"required": branch["required"]} for branch in schema["oneOf"]]


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _failure_headers(status: int) -> dict[str, Any]:
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        return {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds.", "required": True}}
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    return {}


__all__ = ["FORM_TYPE", "JSON_TYPE", "PUBLIC", "install", "json_body", "problems", "reference"]
