"""The status of a collection: what searches find now, and how recent it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field

from lookalike.api.context import context_of
from lookalike.api.http.access import Reader
from lookalike.api.http.models import (
    EXAMPLE_ENCODER,
    EXAMPLE_SNAPSHOT,
    EXAMPLE_TIME,
    ResponseBody,
    example,
)
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName
from lookalike.errors import NotReady

if TYPE_CHECKING:
    from lookalike.library import Library
    from lookalike.search.loader import State

router = APIRouter(tags=["overviews"])


class CollectionStatusResponse(ResponseBody):
    """What searches of a collection find now, and how recent it is."""

    model_config = example(
        {
            "collection": "fashion",
            "items": 3412,
            "delta": 3,
            "categories": 10,
            "encoder": EXAMPLE_ENCODER,
            "snapshot": EXAMPLE_SNAPSHOT,
            "snapshot_at": EXAMPLE_TIME,
            "last_ingested_at": "2026-01-01T12:06:00.250+00:00",
            "calibrated": True,
        }
    )

    collection: str
    items: int = Field(description="Searchable items.")
    delta: int = Field(description="Searchable items that are newer than the snapshot.")
    categories: int
    encoder: str | None
    snapshot: str | None
    snapshot_at: str | None
    last_ingested_at: str | None = Field(description="When the newest item was ingested.")
    calibrated: bool = Field(description="Whether matches have a confidence.")


@router.get(
    "/collections/{collection}/standing",
    responses=problems(429),
    summary="Show what is searchable now",
    name="standing",
)
async def collection_status(
    request: Request, collection: CollectionName, _: Reader
) -> CollectionStatusResponse:
    """How many items searches find now, and how recent they are."""
    context = context_of(request)
    async with context.limiters.overviews.slot() as slot:
        return await slot.run(_status, context.library, collection)


def _status(library: Library, collection: str) -> CollectionStatusResponse:
    config = library.collections.get(collection)
    try:
        state = library.searcher(collection).state()
    except NotReady:  # a collection without items has a status as well
        return CollectionStatusResponse(
            collection=collection,
            items=0,
            delta=0,
            categories=0,
            encoder=config.encoder_id,
            snapshot=None,
            snapshot_at=None,
            last_ingested_at=None,
            calibrated=False,
        )
    manifest = state.snapshot.manifest if state.snapshot else None
    return CollectionStatusResponse(
        collection=collection,
        items=state.view.count,
        delta=len(state.view.delta.ids),
        categories=len(state.view.column("category").drop_null().unique()),
        encoder=state.encoder.id,
        snapshot=manifest.id if manifest else None,
        snapshot_at=manifest.created_at if manifest else None,
        last_ingested_at=_last_ingested_at(state),
        calibrated=state.confidence is not None,
    )


def _last_ingested_at(state: State) -> str | None:
    import pyarrow.compute as pc

    rows = np.flatnonzero(state.view.alive)
    # ISO 8601 texts of one time zone sort by time.
    newest = pc.max(state.view.column("ingested_at").take(rows)).as_py()
    return None if newest is None else str(newest)
