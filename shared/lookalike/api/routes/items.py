"""Items: show, find alike, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from lookalike.api.access import Reader, Writer
from lookalike.api.answers import ItemAnswer, SearchAnswer
from lookalike.api.bodies import json_value, validate
from lookalike.api.gate import Gate
from lookalike.api.openapi import problems
from lookalike.api.routes.parameters import CollectionName, ItemId
from lookalike.api.routes.search import query_of
from lookalike.api.routes.shapes import base_url, item_answer, search_answer, service_of
from lookalike.api.schemas import SearchOptions, SimilarOptions
from lookalike.search.query import QueryPart

router = APIRouter(tags=["items"])
OPTIONS = TypeAdapter(SearchOptions)


# Before the route of the item itself, whose path would take in the word `similar`.
@router.get(
    "/collections/{collection}/items/{id:path}/similar",
    responses=problems(429),
    summary="Find what looks like an item",
)
async def similar(
    request: Request,
    collection: CollectionName,
    id: ItemId,
    _: Reader,
    options: Annotated[SimilarOptions, Query()],
) -> SearchAnswer:
    """The same as a search by `id`."""
    service = service_of(request)
    gate: Gate = request.app.state.gate
    filter_ = None if options.filter is None else json_value(options.filter, "the parameter filter")
    given = options.model_dump() | {"filter": filter_}
    query = query_of(validate(given, OPTIONS, strict=True), (QueryPart("id", id),))
    async with gate.admit() as place:
        result = await place.run(service.search, collection, query)
    return search_answer(result, base_url(request))


@router.get("/collections/{collection}/items/{id:path}", responses=problems(), summary="Show an item")
def get_item(request: Request, collection: CollectionName, id: ItemId, _: Reader) -> ItemAnswer:
    """An item and its metadata."""
    return item_answer(service_of(request).item(collection, id), collection, base_url(request))


@router.delete(
    "/collections/{collection}/items/{id:path}",
    status_code=204,
    response_class=Response,
    responses=problems(409),
    summary="Delete an item",
)
def delete_item(request: Request, collection: CollectionName, id: ItemId, _: Writer) -> None:
    """Removes the picture and what its upload said of it; searches forget it within seconds."""
    service_of(request).delete_item(collection, id)
