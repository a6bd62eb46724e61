"""Items: show, find similar ones, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from lookalike.api.context import Context, base_url, context_of, image_url
from lookalike.api.http.access import Reader, Writer
from lookalike.api.http.bodies import json_value, validate
from lookalike.api.http.models import EXAMPLE_SERVER, ResponseBody, example
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName, ItemId
from lookalike.api.images import has_image
from lookalike.api.search_models import SearchOptions, SearchResponse
from lookalike.errors import ItemNotFound, NotReady
from lookalike.layout import check_item_id, image_key
from lookalike.search.query import QueryPart
from lookalike.types import Attribute

router = APIRouter(tags=["items"])
DELETE_WAIT_SECONDS = 5.0


class SimilarOptions(SearchOptions):
    """The options of a search as query parameters."""

    filter: str | None = Field(  # type: ignore[assignment]  # a URL carries text
        None, description="A filter as JSON text.", examples=['{"category": "shoes"}']
    )


class ItemResponse(ResponseBody):
    """An item and its metadata."""

    model_config = example(
        {
            "id": "shoes/0001.jpg",
            "category": "shoes",
            "product_id": "sku-17",
            "metadata": {"title": "Red trainer", "price": 39.9},
            "width": 1200,
            "height": 1200,
            "ingested_at": "2026-01-01T12:01:00.250+00:00",
            "image_url": f"{EXAMPLE_SERVER}/collections/fashion/images/shoes/0001.jpg",
        }
    )

    id: str
    category: str | None
    product_id: str | None
    metadata: dict[str, Attribute]
    width: int
    height: int
    ingested_at: str | None
    image_url: str


# Registered before the route of an item itself, whose path would match the word `similar` as well.
@router.get(
    "/collections/{collection}/items/{id:path}/similar",
    responses=problems(429),
    summary="Find items similar to an item",
)
async def similar(
    request: Request,
    collection: CollectionName,
    id: ItemId,
    _: Reader,
    options: Annotated[SimilarOptions, Query()],
) -> SearchResponse:
    """The same as a search by `id`."""
    context = context_of(request)
    filter_ = None if options.filter is None else json_value(options.filter, "the parameter filter")
    given = validate(options.model_dump() | {"filter": filter_}, SearchOptions, strict=True)
    query = given.to_query((QueryPart("id", id),))
    async with context.limiters.searches.slot() as slot:
        result = await slot.run(lambda: context.library.searcher(collection).search(query))
    return SearchResponse.of(result, base_url(request))


@router.get("/collections/{collection}/items/{id:path}", responses=problems(), summary="Show an item")
def get_item(request: Request, collection: CollectionName, id: ItemId, _: Reader) -> ItemResponse:
    """An item and its metadata."""
    library = context_of(request).library
    try:
        item = library.searcher(collection).item(check_item_id(id, collection))
    except NotReady as error:
        raise ItemNotFound("no such item; the collection is empty", got=repr(id)) from error
    return ItemResponse(
        id=item.id,
        category=item.category,
        product_id=item.product_id,
        metadata=item.metadata,
        width=item.width,
        height=item.height,
        ingested_at=item.ingested_at,
        image_url=image_url(base_url(request), collection, item.id),
    )


@router.delete(
    "/collections/{collection}/items/{id:path}",
    status_code=204,
    response_class=Response,
    responses=problems(409),
    summary="Move an item to the trash",
)
def delete_item(request: Request, collection: CollectionName, id: ItemId, _: Writer) -> None:
    """Moves the image and its uploaded metadata to the trash, where they stay for 30 days.

    Searches stop finding the item within seconds.
    """
    _delete(context_of(request), collection, id)


def _delete(context: Context, collection: str, item_id: str) -> None:
    library = context.library
    library.collections.get(collection)
    key = image_key(collection, check_item_id(item_id, collection))
    if not has_image(library, key):
        raise ItemNotFound("no such item", got=repr(item_id))
    keys = library.trash(collection).move([item_id])
    context.listener.objects_changed(keys, wait_seconds=DELETE_WAIT_SECONDS)
