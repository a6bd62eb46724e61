"""The map of a collection: a position for each item, similar items near each other.

A snapshot stores the positions of its items. Newer items are placed among them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from pydantic import Field

from lookalike.api.caches import version_of
from lookalike.api.context import Context, context_of
from lookalike.api.http.access import Reader
from lookalike.api.http.models import EXAMPLE_SNAPSHOT, ResponseBody, example
from lookalike.api.http.openapi import problems
from lookalike.api.http.parameters import CollectionName
from lookalike.errors import Damaged, ObjectNotFound
from lookalike.integrity import check_bytes

if TYPE_CHECKING:
    from lookalike.library import Library
    from lookalike.projection import Positions
    from lookalike.search.loader import State
    from lookalike.search.view import View
    from lookalike.snapshots import Snapshot

router = APIRouter(tags=["overviews"])
logger = logging.getLogger(__name__)

MAX_ITEMS = 20_000
MAX_REFERENCE_ITEMS = 2_000
"""Items of a snapshot among which newer ones are placed."""


class MapResponse(ResponseBody):
    """Items and their positions, as columns of equal length. Coordinates are in [0, 1]."""

    model_config = example(
        {
            "collection": "fashion",
            "snapshot": EXAMPLE_SNAPSHOT,
            "total": 2,
            "ids": ["shoes/0001.jpg", "shoes/0002.jpg"],
            "x": [0.0, 1.0],
            "y": [0.25, 1.0],
            "category": [0, 0],
            "categories": ["shoes"],
        }
    )

    collection: str
    snapshot: str | None
    total: int = Field(description="Items of the collection; the response may contain a sample of them.")
    ids: list[str]
    x: list[float]
    y: list[float]
    category: list[int] = Field(description="Positions in `categories`; −1: none.")
    categories: list[str]


@router.get("/collections/{collection}/map", responses=problems(429), summary="Get a map of the items")
async def map_of_items(
    request: Request,
    collection: CollectionName,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=MAX_ITEMS, description="Maximum number of items.")] = 10_000,
) -> MapResponse:
    """Positions in two dimensions. Similar items are near each other."""
    context = context_of(request)
    async with context.limiters.reports.slot() as slot:
        return await slot.run(_map, context, collection, limit)


def _map(context: Context, collection: str, limit: int) -> MapResponse:
    """At most `limit` items, evenly sampled in the order of their ids. Raises NotReady: there are none."""
    state = context.library.searcher(collection).state()
    positions = context.reports.get(
        collection, "map", version_of(state), lambda: _positions(context, state, collection)
    )
    view = state.view
    rows = np.flatnonzero(view.alive)
    total = rows.size
    if total > limit:
        rows = rows[np.linspace(0, total - 1, limit).round().astype(np.int64)]
    labels = view.column("category").take(rows).to_pylist()
    names = sorted({label for label in labels if label is not None})
    numbers = {name: number for number, name in enumerate(names)}
    return MapResponse(
        collection=collection,
        snapshot=state.snapshot.manifest.id if state.snapshot else None,
        total=total,
        ids=[str(item_id) for item_id in view.column("id").take(rows).to_pylist()],
        x=np.round(positions[rows, 0].astype(float), 5).tolist(),
        y=np.round(positions[rows, 1].astype(float), 5).tolist(),
        category=[-1 if label is None else numbers[label] for label in labels],
        categories=names,
    )


def _positions(context: Context, state: State, collection: str) -> Positions:
    """The positions of all rows of the view."""
    snapshot = state.snapshot
    if snapshot is None:
        return _with_delta(state.view, np.empty((0, 2), np.float32))
    stored = context.reports.get(
        collection,
        "map of the snapshot",
        snapshot.manifest.id,
        lambda: snapshot_positions(context.library, snapshot, collection),
    )
    return _with_delta(state.view, stored)


def snapshot_positions(library: Library, snapshot: Snapshot, collection: str) -> Positions:
    """The positions that a snapshot stores. They are computed for snapshots that are older than maps."""
    from lookalike.projection import project, read_positions
    from lookalike.snapshots import snapshot_folder

    manifest = snapshot.manifest
    if manifest.places:
        try:
            path = f"{snapshot_folder(collection, manifest.id)}/{manifest.places}"
            data = library.artifacts.get(path).data
            check_bytes(data, manifest.hashes.get(manifest.places), path)
            positions = read_positions(data)
            if len(positions) == manifest.count:
                return positions
        except (ObjectNotFound, Damaged, ValueError) as error:  # the snapshot was replaced, or damage
            logger.warning("%s has no readable map: %s", manifest.id, error)
    return project(snapshot.vectors)


def _with_delta(view: View, stored: Positions) -> Positions:
    """The positions of the snapshot's rows, followed by those of newer rows."""
    from lookalike.projection import project, project_among

    newer = np.asarray(view.delta.vectors, np.float32)
    if not len(newer):
        return stored
    if not len(stored):
        return project(newer)
    assert view.snapshot is not None
    count = min(MAX_REFERENCE_ITEMS, len(stored))
    rows = np.unique(np.linspace(0, len(stored) - 1, count).round().astype(np.int64))
    reference = np.asarray(view.snapshot.vectors[rows], np.float32)
    return np.concatenate([stored, project_among(newer, reference, stored[rows])])
