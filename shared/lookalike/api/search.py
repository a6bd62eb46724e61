"""Search: by image, by item, by text, or by a weighted mix of them."""

from __future__ import annotations

from fastapi import APIRouter, Request

from lookalike.api.context import base_url, context_of
from lookalike.api.http.access import Reader
from lookalike.api.http.bodies import FORM_TYPE, read_json_or_form
from lookalike.api.http.openapi import json_body, problems, reference
from lookalike.api.http.parameters import CollectionName
from lookalike.api.search_models import (
    JSON_FORM_FIELDS,
    SearchForm,
    SearchRequest,
    SearchResponse,
)
from lookalike.errors import BodyTooLarge

router = APIRouter(tags=["search"])
TOO_LARGE = (
    "Send a smaller image. Or request a URL with POST /collections/{collection}/uploads, PUT the image to it "
    "and search by its id."
)
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
        "by words": {"text": "red trainers", "limit": 5},
        "a mix": {"query": [{"id": "shoes/0001.jpg"}, {"text": "blue"}, {"text": "stripes", "weight": -0.5}]},
    },
)
BODY["requestBody"]["content"][FORM_TYPE] = {"schema": reference(SearchForm)}
# A parameter that may be left out: openapi-python-client 0.29 forgets an import where there is none.
BODY["parameters"] = [
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Identifies this request in the server's log, and is returned.",
        "required": False,
        "schema": {"type": "string"},
        "example": "6f1c2d",
    }
]


@router.post(
    "/collections/{collection}/search",
    responses=problems(413, 415, 429),
    openapi_extra=BODY,
    summary="Find similar images",
)
async def search(request: Request, collection: CollectionName, _: Reader) -> SearchResponse:
    """Takes exactly one of `image`, `id`, `text` and `query`, as JSON or as a form with a file.

    The latest uploads are searched too. The response has fewer than `limit` results only if no more exist.
    """
    context = context_of(request)
    async with context.limiters.searches.slot() as slot:
        try:
            body = await read_json_or_form(
                request,
                SearchRequest,
                SearchForm,
                file_field="image",
                json_fields=JSON_FORM_FIELDS,
                max_file_bytes=context.max_query_bytes,
                reserve=slot.reserve_bytes,
            )
        except BodyTooLarge as error:
            raise BodyTooLarge(
                error.problem, got=error.got, expected=error.expected, fix=TOO_LARGE
            ) from error
        query = body.to_query(body.parts())
        result = await slot.run(lambda: context.library.searcher(collection).search(query))
    return SearchResponse.of(result, base_url(request))
