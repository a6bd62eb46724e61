"""The trash of a collection: list, restore, empty."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from lookalike.api.context import Context, context_of
from lookalike.api.http.access import Reader, Writer
from lookalike.api.http.bodies import read_json
from lookalike.api.http.models import EXAMPLE_TIME, RequestBody, ResponseBody, example
from lookalike.api.http.openapi import json_body, problems, reference
from lookalike.api.http.parameters import CollectionName
from lookalike.layout import MAX_ID_BYTES

router = APIRouter(tags=["items"])
MAX_RESTORED = 1_000
MAX_LISTED = 200
RESTORE_WAIT_SECONDS = 5.0
EXAMPLE_ENTRY = "20260101t120500000000-0f3c9a1b2d4e5f607182"
Cursor = Annotated[
    str | None,
    Query(
        pattern=r"^\d{8}t\d{12}-[0-9a-f]{20}$",
        examples=[EXAMPLE_ENTRY],
        description="`next` of the previous page.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=MAX_LISTED)]


class TrashEntryResponse(ResponseBody):
    """A deleted item."""

    id: str
    deleted_at: str
    expires_at: str = Field(description="When it is removed permanently.")
    size_bytes: int = Field(description="Size of the image.")


class TrashResponse(ResponseBody):
    """A page of deleted items, the latest first."""

    model_config = example(
        {
            "collection": "fashion",
            "items": [
                {
                    "id": "shoes/0001.jpg",
                    "deleted_at": EXAMPLE_TIME,
                    "expires_at": "2026-01-31T12:05:00+00:00",
                    "size_bytes": 48211,
                }
            ],
            "next": None,
        }
    )

    collection: str
    items: list[TrashEntryResponse]
    next: str | None = Field(description="The `cursor` of the next page; null: this is the last one.")


class RestoreRequest(RequestBody):
    """Which deleted items to restore."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["shoes/0001.jpg"]}]})

    ids: list[Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES)]] = Field(
        min_length=1, max_length=MAX_RESTORED
    )
    replace: bool = Field(
        False, description="Items that have these ids now go to the trash. Otherwise they cause a conflict."
    )


class RestoreResponse(ResponseBody):
    """What was restored."""

    model_config = example({"restored": 1})

    restored: int


BODY = json_body(reference(RestoreRequest), {"one item": {"ids": ["shoes/0001.jpg"]}})


@router.get("/collections/{collection}/trash", responses=problems(), summary="List the trash")
def list_trash(
    request: Request, collection: CollectionName, _: Reader, cursor: Cursor = None, limit: Limit = 50
) -> TrashResponse:
    """Items that were deleted in the last 30 days, the latest first."""
    library = context_of(request).library
    library.collections.check_exists(collection)
    found = library.trash(collection).entries(limit + 1, cursor)
    shown = found[:limit]
    return TrashResponse(
        collection=collection,
        items=[
            TrashEntryResponse(
                id=entry.id,
                deleted_at=entry.deleted_at,
                expires_at=entry.expires_at,
                size_bytes=entry.size_bytes,
            )
            for entry in shown
        ],
        next=shown[-1].name if len(found) > limit else None,
    )


@router.post(
    "/collections/{collection}/trash/restore",
    responses=problems(409, 413, 415),
    openapi_extra=BODY,
    summary="Restore items from the trash",
)
async def restore_items(request: Request, collection: CollectionName, _: Writer) -> RestoreResponse:
    """Moves images back, with the metadata that was uploaded with them. Searches find them within seconds.

    Restores all of them or, with an error, none.
    """
    body = await read_json(request, RestoreRequest)
    return await run_in_threadpool(_restore, context_of(request), collection, body)


@router.delete(
    "/collections/{collection}/trash",
    status_code=204,
    response_class=Response,
    responses=problems(),
    summary="Empty the trash",
)
def empty_trash(request: Request, collection: CollectionName, _: Writer) -> None:
    """Removes all deleted items permanently."""
    library = context_of(request).library
    library.collections.check_exists(collection)
    library.trash(collection).empty()


def _restore(context: Context, collection: str, body: RestoreRequest) -> RestoreResponse:
    context.library.collections.get(collection)
    keys = context.library.trash(collection).restore(body.ids, replace=body.replace)
    context.listener.objects_changed(keys, wait_seconds=RESTORE_WAIT_SECONDS)
    return RestoreResponse(restored=len(set(body.ids)))
