"""Items: show and delete."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from lookalike.api.context import Context, context_of
from lookalike.api.http.access import Reader, Writer
from lookalike.api.http.models import EXAMPLE_SERVER, ResponseBody, example
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName, ItemId
from lookalike.api.http.urls import base_url, image_url
from lookalike.api.images import check_stored, has_image
from lookalike.api.names import MAX_KEY_BYTES, image_key, metadata_key
from lookalike.errors import ItemNotFound, NotReady
from lookalike.types import Attribute, Item

router = APIRouter(tags=["items"])
DELETE_WAIT_SECONDS = 5.0


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


@router.get("/collections/{collection}/items/{id:path}", responses=problems(), summary="Show an item")
def get_item(request: Request, collection: CollectionName, id: ItemId, _: Reader) -> ItemResponse:
    """An item and its metadata."""
    library = context_of(request).library
    try:
        item = library.searcher(collection).item(check_stored(library, id))
    except NotReady as error:
        raise ItemNotFound("no such item; the collection is empty", got=repr(id)) from error
    return ItemResponse(
        id=item.id,
        category=item.category,
        product_id=item.product_id,
        metadata=metadata_of(item),
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
    summary="Delete an item",
)
def delete_item(request: Request, collection: CollectionName, id: ItemId, _: Writer) -> None:
    """Removes the image and its uploaded metadata. Searches stop finding it within seconds."""
    _delete(context_of(request), collection, id)


def metadata_of(item: Item) -> dict[str, Attribute]:
    """All metadata of an item except its category and product: its title and its attributes."""
    title = {} if item.title is None else {"title": item.title}
    return {**title, **item.attributes}


def _delete(context: Context, collection: str, item_id: str) -> None:
    library = context.library
    library.collections.get(collection)
    key = image_key(collection, check_stored(library, item_id))
    if not has_image(library, key):
        raise ItemNotFound("no such item", got=repr(item_id))
    keys = [key, metadata_key(collection, item_id)]
    for each in keys:
        if len(each.encode()) <= MAX_KEY_BYTES:  # no object has a longer key
            library.images.delete(each)
    context.listener.objects_changed(keys, wait_seconds=DELETE_WAIT_SECONDS)
