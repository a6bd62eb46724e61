"""Errors as RFC 9457 problem documents: one table from exception to HTTP status.

https://www.rfc-editor.org/rfc/rfc9457. In addition, a document has `fix` (what to do), `reason` (the stable
code of a rejected image), `errors` (one entry per invalid field) and `request_id`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lookalike import errors
from lookalike.api.http.models import ResponseBody, example

PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_TEXT_CHARACTERS = 1_000
MAX_LISTED_ERRORS = 20
RETRY_SECONDS = {HTTPStatus.TOO_MANY_REQUESTS: 1, HTTPStatus.SERVICE_UNAVAILABLE: 5}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table: the HTTP form of one class of errors."""

    status: int
    code: str
    title: str


TABLE: dict[type[Exception], Kind] = {
    errors.LookalikeError: Kind(500, "internal", "Internal server error"),
    errors.InvalidInput: Kind(400, "invalid-input", "Invalid request"),
    errors.FilterError: Kind(400, "bad-filter", "Invalid filter"),
    errors.MetadataError: Kind(422, "bad-metadata", "The metadata cannot be read"),
    errors.UnsupportedMetric: Kind(422, "unsupported-metric", "The engine does not support this metric"),
    errors.BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    errors.UnsupportedContentType: Kind(415, "unsupported-content-type", "Unsupported content type"),
    errors.ImageRejected: Kind(422, "image-rejected", "The image cannot be used"),
    errors.ImageTooLarge: Kind(413, "image-too-large", "The image is too large"),
    errors.Unauthenticated: Kind(401, "unauthenticated", "An API key is required"),
    errors.AccessDenied: Kind(403, "forbidden", "Not allowed"),
    errors.NotFound: Kind(404, "not-found", "Not found"),
    errors.CollectionNotFound: Kind(404, "collection-not-found", "Collection not found"),
    errors.ItemNotFound: Kind(404, "item-not-found", "Item not found"),
    errors.EncoderNotFound: Kind(404, "encoder-not-found", "Encoder not found"),
    errors.TrainingNotFound: Kind(404, "training-not-found", "Training not found"),
    errors.Damaged: Kind(500, "damaged", "A stored file is damaged"),
    errors.Conflict: Kind(409, "conflict", "Conflict with the current state"),
    errors.Busy: Kind(429, "busy", "Too many requests"),
    errors.NotReady: Kind(503, "not-ready", "Nothing is indexed yet"),
    errors.StoreUnavailable: Kind(503, "store-unavailable", "The store does not respond"),
}
INVALID_REQUEST = Kind(422, "invalid-request", "The request does not match the schema")
INTERNAL = TABLE[errors.LookalikeError]


class FieldProblem(ResponseBody):
    """An error in one field."""

    pointer: str
    message: str


class Problem(ResponseBody):
    """Why a request was rejected (RFC 9457)."""

    model_config = example(
        {
            "type": "urn:lookalike:problem:collection-not-found",
            "title": "Collection not found",
            "status": 404,
            "detail": "no such collection; got 'fashoin'. Did you mean fashion?",
            "instance": "/collections/fashoin/search",
            "request_id": "5f1c9c0e3b0d4a0f8e0c8d2f6a7b9c1d",
            "fix": "Did you mean fashion?",
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    fix: str | None = None
    reason: str | None = None
    errors: list[FieldProblem] | None = None


def kind_of(error: Exception) -> Kind:
    """The row for `error`: that of its class, or of its nearest base class in the table."""
    if isinstance(error, RequestValidationError):
        return INVALID_REQUEST
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        return Kind(error.status_code, phrase.lower().replace(" ", "-"), phrase)
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), INTERNAL)


def problem_response(request: Request, error: Exception) -> Response:
    """The problem document for `error`. Unexpected errors are logged; the response has no details."""
    kind = kind_of(error)
    document: dict[str, Any] = {
        "type": f"urn:lookalike:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": _detail(error, kind),
        "instance": _clip(str(request.scope["path"])),
        "request_id": request.scope.get("state", {}).get("request_id", ""),
    }
    if isinstance(error, errors.LookalikeError) and error.fix:
        document["fix"] = _clip(error.fix)
    if isinstance(error, errors.ImageRejected):
        document["reason"] = error.reason
    if isinstance(error, RequestValidationError):
        document["errors"] = _fields(error.errors())
    if kind.status >= 500 and kind.status != HTTPStatus.SERVICE_UNAVAILABLE:
        logger.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    # ASCII, because text from the request may contain lone surrogates, which UTF-8 cannot encode.
    body = json.dumps(document, ensure_ascii=True).encode()
    return Response(body, kind.status, _headers(error, kind), PROBLEM_MEDIA_TYPE)


def _detail(error: Exception, kind: Kind) -> str:
    if isinstance(error, HTTPException):
        return _clip(str(error.detail))
    if isinstance(error, RequestValidationError):
        return _clip(
            "; ".join(f"{field['pointer']}: {field['message']}" for field in _fields(error.errors()))
        )
    if kind is INTERNAL or not isinstance(error, errors.LookalikeError):
        return "Unexpected error; the server's log has details under the request id."
    return _clip(str(error))


def _headers(error: Exception, kind: Kind) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, HTTPException) and error.headers:
        headers.update(error.headers)
    if kind.status in RETRY_SECONDS:
        headers["Retry-After"] = str(RETRY_SECONDS[HTTPStatus(kind.status)])
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="lookalike"'
    return headers


def _fields(found: Sequence[Any]) -> list[dict[str, str]]:
    return [
        {
            "pointer": _clip("/".join(str(part) for part in error["loc"])),
            "message": _clip(str(error["msg"]).removeprefix("Value error, ")),
        }
        for error in found[:MAX_LISTED_ERRORS]
    ]


def _clip(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[:MAX_TEXT_CHARACTERS]}…"
