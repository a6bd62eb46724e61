"""Collections: list, create, change, show, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from lookalike.api.context import Context, context_of
from lookalike.api.http.access import Reader, Writer
from lookalike.api.http.bodies import read_json
from lookalike.api.http.models import (
    EXAMPLE_ENCODER,
    EXAMPLE_SNAPSHOT,
    EXAMPLE_TIME,
    WHOLE,
    RequestBody,
    ResponseBody,
    example,
)
from lookalike.api.http.openapi import json_body, problems, reference
from lookalike.api.http.parameters import CollectionName
from lookalike.collection_config import CollectionConfig
from lookalike.errors import CollectionNotFound, Conflict, EncoderNotFound, Incompatible, SnapshotNotFound
from lookalike.types import Engine, Metric

if TYPE_CHECKING:
    from lookalike.library import Library
    from lookalike.snapshots import SnapshotManifest

router = APIRouter(tags=["collections"])
NULLABLE = frozenset({"n_trees", "search_k", "dimensions"})
Trees = Annotated[int, Field(ge=1, le=10_000), WHOLE]
Candidates = Annotated[int, Field(ge=1, le=100_000_000), WHOLE]
Dimensions = Annotated[int, Field(ge=0, le=100_000), WHOLE]


class CollectionRequest(RequestBody):
    """Settings of a new collection, or changes to one. Fields left out keep their value."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"metric": "cosine", "engine": "annoy", "recall_target": 0.95}]}
    )

    encoder: str | None = Field(
        None, min_length=1, max_length=200, description="Id or name of an encoder of this store."
    )
    metric: Metric | None = None
    engine: Engine | None = None
    n_trees: Trees | None = Field(None, description="null: chosen by measurement.")
    search_k: Candidates | None = Field(None, description="null: chosen by measurement.")
    recall_target: float | None = Field(
        None, gt=0, le=1, description="Share of the exact top 10 that searches should find."
    )
    dimensions: Dimensions | None = Field(
        None,
        description="Numbers per item in the index; null: chosen by measurement, 256 at most; 0: all that "
        "the encoder makes.",
    )

    def changes(self) -> dict[str, Any]:
        """The fields of `CollectionConfig` that the request sets; `encoder_id` may be a name."""
        return {
            {"encoder": "encoder_id"}.get(name, name): value
            for name, value in self.model_dump(exclude_unset=True).items()
            if value is not None or name in NULLABLE
        }


class SnapshotResponse(ResponseBody):
    """The snapshot that searches use now."""

    id: str
    created_at: str
    items: int
    recall: float | None = Field(description="Measured recall of the exact top 10.")


_EXAMPLE = {
    "name": "fashion",
    "encoder": EXAMPLE_ENCODER,
    "metric": "cosine",
    "engine": "annoy",
    "n_trees": None,
    "search_k": None,
    "recall_target": 0.95,
    "dimensions": None,
    "created_at": "2026-01-01T12:00:00+00:00",
    "snapshot": {"id": EXAMPLE_SNAPSHOT, "created_at": EXAMPLE_TIME, "items": 3409, "recall": 0.982},
}


class CollectionResponse(ResponseBody):
    """A collection: its settings and its current snapshot."""

    model_config = example(_EXAMPLE)

    name: str
    encoder: str
    metric: Metric
    engine: Engine
    n_trees: int | None
    search_k: int | None
    recall_target: float
    dimensions: int | None
    created_at: str
    snapshot: SnapshotResponse | None


class DamagedCollectionResponse(ResponseBody):
    """A collection whose configuration cannot be read. It can be deleted, or restored from a backup."""

    name: str
    problem: str
    fix: str | None


class CollectionsResponse(ResponseBody):
    """All collections of the store."""

    model_config = example({"collections": [_EXAMPLE], "damaged": []})

    collections: list[CollectionResponse]
    damaged: list[DamagedCollectionResponse] = Field(
        description="Collections that cannot be used, because their configuration cannot be read."
    )


BODY = json_body(
    reference(CollectionRequest),
    {
        "defaults": {},
        "exact": {"engine": "exact", "metric": "l2"},
        "annoy, tuned": {"engine": "annoy", "n_trees": 50, "search_k": 5000},
    },
)


@router.get("/collections", responses=problems(), summary="List collections")
def list_collections(request: Request, _: Reader) -> CollectionsResponse:
    """All collections of the store, by name."""
    library = context_of(request).library
    readable, unreadable = library.collections.all()
    return CollectionsResponse(
        collections=[_response(library, config) for config in readable],
        damaged=[
            DamagedCollectionResponse(name=name, problem=str(error), fix=error.fix)
            for name, error in unreadable.items()
        ],
    )


@router.put(
    "/collections/{collection}",
    responses={
        201: {"model": CollectionResponse, "description": "The collection was created."},
        **problems(409, 413, 415),
    },
    openapi_extra=BODY,
    summary="Create or change a collection",
)
async def put_collection(
    request: Request, response: Response, collection: CollectionName, _: Writer
) -> CollectionResponse:
    """Fields left out keep their value. For `n_trees`, `search_k` and `dimensions`, null means: measured.

    Without an encoder, a new collection uses the default one. A change of encoder or metric takes effect with
    the next snapshot; searches use the old one until then.
    """
    body = await read_json(request, CollectionRequest)
    context = context_of(request)
    found, created = await run_in_threadpool(_create_or_change, context, collection, body.changes())
    response.status_code = 201 if created else 200
    return found


@router.get("/collections/{collection}", responses=problems(), summary="Show a collection")
def get_collection(request: Request, collection: CollectionName, _: Reader) -> CollectionResponse:
    """A collection's settings and its current snapshot."""
    library = context_of(request).library
    return _response(library, library.collections.get(collection))


@router.delete(
    "/collections/{collection}",
    status_code=204,
    response_class=Response,
    responses=problems(409),
    summary="Delete a collection with all its images",
)
def delete_collection(request: Request, collection: CollectionName, _: Writer) -> None:
    """Removes its images, metadata, catalogue and snapshots. This cannot be undone."""
    context = context_of(request)
    context.library.collections.check_exists(collection)
    with context.listener.paused(collection):
        context.library.delete_collection(collection)
    context.reports.forget(collection)


def _create_or_change(
    context: Context, name: str, changes: dict[str, Any]
) -> tuple[CollectionResponse, bool]:
    """Create a collection, or change it. Returns it, and whether it is new.

    Raises:
        Conflict: no encoder is named, and the store has several but no default one.
        EncoderNotFound: there is no such encoder, or none at all.
        UnsupportedMetric, InvalidInput: the engine does not support the metric or the option.
    """
    library = context.library
    if "encoder_id" in changes:
        changes = changes | {"encoder_id": library.encoders.get(changes["encoder_id"]).id}
    try:
        known = library.collections.get(name)
    except CollectionNotFound:
        known = None
    if known is None:
        encoder_id = changes.get("encoder_id") or _default_encoder_id(library)
        config = CollectionConfig(name, **(changes | {"encoder_id": encoder_id}))
        _check_engine(config)
        library.collections.create(config)
    elif changes:
        if changes.get("engine", known.engine) != known.engine:
            # These options belong to the previous engine.
            changes = {"n_trees": None, "search_k": None} | changes
        _check_engine(replace(known, **changes))
        library.collections.update(name, **changes)
    context.listener.collection_changed(name)
    return _response(library, library.collections.get(name)), known is None


def _default_encoder_id(library: Library) -> str:
    try:
        found = library.encoders.default()
    except Incompatible as error:
        raise Conflict(
            error.problem, got=error.got, fix="Name one in the field `encoder` of the request."
        ) from error
    if found is None:
        raise EncoderNotFound("the store has no encoder", fix="Build one with `lookalike encoders build`.")
    return found.id


def _check_engine(config: CollectionConfig) -> None:
    from lookalike.indexes import check_options

    check_options(config.engine, config.metric, config.n_trees, config.search_k)


def _response(library: Library, config: CollectionConfig) -> CollectionResponse:
    snapshot = _current_snapshot(library, config.name)
    return CollectionResponse(
        name=config.name,
        encoder=config.encoder_id,
        metric=config.metric,
        engine=config.engine,
        n_trees=config.n_trees,
        search_k=config.search_k,
        recall_target=config.recall_target,
        dimensions=config.dimensions,
        created_at=config.created_at,
        snapshot=None if snapshot is None else _snapshot_response(snapshot),
    )


def _current_snapshot(library: Library, name: str) -> SnapshotManifest | None:
    from lookalike.snapshots import current

    try:
        return current(library.artifacts, name)
    except (SnapshotNotFound, Incompatible):
        # Its files are missing or of another version. Searches report that; listing and deleting must work.
        return None


def _snapshot_response(manifest: SnapshotManifest) -> SnapshotResponse:
    measured = manifest.index.measured if manifest.index else {}
    return SnapshotResponse(
        id=manifest.id, created_at=manifest.created_at, items=manifest.count, recall=measured.get("recall")
    )
