"""Search: by picture, by id, by text, or by a weighted mix."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from lookalike.api.access import Reader
from lookalike.api.answers import SearchAnswer
from lookalike.api.bodies import (
    FORM_TYPE,
    JSON_TYPE,
    Hold,
    parse_json,
    read_body,
    read_form,
    require_type,
    validate,
)
from lookalike.api.gate import Gate
from lookalike.api.openapi import json_body, problems, reference
from lookalike.api.routes.parameters import CollectionName
from lookalike.api.routes.shapes import base_url, search_answer, service_of
from lookalike.api.schemas import SearchForm, SearchOptions, SearchRequest
from lookalike.errors import BodyTooLarge
from lookalike.filters import parse_filter
from lookalike.search.query import Query, QueryPart

router = APIRouter(tags=["search"])
ENVELOPE_BYTES = 64 * 1024  # what may surround a picture in a body: other fields, boundaries
QUICK_BYTES = 512 * 1024  # what is parsed in less time than a thread takes to wake up and answer
REQUESTS = TypeAdapter(SearchRequest)
FORMS = TypeAdapter(SearchForm)
TOO_LARGE = (
    "Send a smaller picture; or ask for a URL with POST /collections/{collection}/uploads, PUT the picture "
    "there, and search by its id."
)
FILE_MARK = "file"  # stands for the form's file while the other fields are checked

SMALL_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR42mM4oaFBEmIY1TCqYfhqAAB8"
    "MxgQ+iSj5QAAAABJRU5ErkJggg=="
)
BODY = json_body(
    reference(SearchRequest),
    {
        "by id": {"id": "shoes/0001.jpg", "limit": 5},
        "by image": {"image": SMALL_PNG, "limit": 5},
        "with a filter": {
            "id": "shoes/0001.jpg",
            "filter": {"category": "shoes", "price": {"gte": 10, "lt": 50}, "brand": {"in": ["a", "b"]}},
            "group_by": "product_id",
        },
        "a mix": {"query": [{"id": "shoes/0001.jpg"}, {"id": "shoes/0002.jpg", "weight": 0.5}]},
    },
)
BODY["requestBody"]["content"][FORM_TYPE] = {"schema": reference(SearchForm)}


@router.post(
    "/collections/{collection}/search",
    responses=problems(413, 415, 429),
    openapi_extra=BODY,
    summary="Find what looks alike",
)
async def search(request: Request, collection: CollectionName, _: Reader) -> SearchAnswer:
    """Takes exactly one of `image`, `id`, `text` and `query`, as JSON or as a form with a file.

    Uploads of the last seconds are found too. Fewer than `limit` results come back only when no more exist.
    """
    service = service_of(request)
    gate: Gate = request.app.state.gate
    base = base_url(request)
    async with gate.admit() as place:
        try:
            query = await _read_query(request, request.app.state.max_query_bytes, place.hold)
        except BodyTooLarge as error:
            raise BodyTooLarge(
                error.problem, got=error.got, expected=error.expected, fix=TOO_LARGE
            ) from error
        result = await place.run(service.search, collection, query)
    return search_answer(result, base)


async def _read_query(request: Request, max_image_bytes: int, hold: Hold) -> Query:
    if require_type(request, JSON_TYPE, FORM_TYPE) == JSON_TYPE:
        max_bytes = max_image_bytes * 4 // 3 + ENVELOPE_BYTES
        data = await read_body(request, max_bytes, hold)
        if len(data) <= QUICK_BYTES:
            return _query_of_json(data)
        # In a thread: parsing and base64 of many megabytes would hold up everybody else.
        return await run_in_threadpool(_query_of_json, data)
    max_bytes = max_image_bytes + ENVELOPE_BYTES
    fields, file = await read_form(request, SearchForm, file_field="image", max_bytes=max_bytes, hold=hold)
    if file is not None:
        fields["image"] = FILE_MARK
    form = validate(fields, FORMS, strict=False)
    return query_of(form, _parts(form, file))


def _query_of_json(data: bytes) -> Query:
    body = parse_json(data, REQUESTS)
    return query_of(body, _parts(body, None))


def _parts(body: SearchRequest, file: bytes | None) -> tuple[QueryPart, ...]:
    if body.image is not None:
        return (QueryPart("image", _base64(body.image, "image") if file is None else file),)
    if body.id is not None:
        return (QueryPart("id", body.id),)
    if body.text is not None:
        return (QueryPart("text", body.text),)
    parts = []
    for number, part in enumerate(body.query or ()):
        if part.image is not None:
            parts.append(QueryPart("image", _base64(part.image, "query", number, "image"), part.weight))
        elif part.id is not None:
            parts.append(QueryPart("id", part.id, part.weight))
        else:
            parts.append(QueryPart("text", str(part.text), part.weight))
    return tuple(parts)


def query_of(options: SearchOptions, parts: tuple[QueryPart, ...]) -> Query:
    """The library's query. Raises FilterError."""
    return Query(
        parts=parts,
        limit=options.limit,
        offset=options.offset,
        filter=None if options.filter is None else parse_filter(options.filter),
        min_confidence=options.min_confidence,
        group_by=options.group_by,
        include_self=options.include_self,
    )


def _base64(text: str, *location: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestValidationError(
            [{"loc": ("body", *location), "msg": f"not base64: {error}", "type": "base64"}]
        ) from error
