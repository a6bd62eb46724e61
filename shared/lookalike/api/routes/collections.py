"""Collections: list, create or change, show, delete."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from lookalike.api.access import Reader, Writer
from lookalike.api.answers import CollectionAnswer, CollectionsAnswer
from lookalike.api.bodies import read_json
from lookalike.api.openapi import json_body, problems, reference
from lookalike.api.routes.parameters import CollectionName
from lookalike.api.routes.shapes import collection_answer, service_of
from lookalike.api.schemas import CollectionBody

router = APIRouter(tags=["collections"])
NULLABLE = frozenset({"n_trees", "search_k"})
BODY = json_body(
    reference(CollectionBody),
    {
        "defaults": {},
        "exact": {"engine": "exact", "metric": "l2"},
        "annoy, tuned": {"engine": "annoy", "n_trees": 50, "search_k": 5000},
    },
)


@router.get("/collections", responses=problems(), summary="List collections")
def list_collections(request: Request, _: Reader) -> CollectionsAnswer:
    """Every collection of the store, by name."""
    return CollectionsAnswer(collections=[collection_answer(state) for state in service_of(request).states()])


@router.put(
    "/collections/{collection}",
    responses={201: {"model": CollectionAnswer, "description": "It is new."}, **problems(409, 413, 415)},
    openapi_extra=BODY,
    summary="Create a collection, or change one",
)
async def put_collection(
    request: Request, response: Response, collection: CollectionName, _: Writer
) -> CollectionAnswer:
    """Fields left out keep their value; `n_trees` and `search_k` of null are chosen by measurement.

    Another encoder or metric takes effect when the next snapshot is built; until then the old one serves.
    """
    body = await read_json(request, CollectionBody)
    changes = {
        {"encoder": "encoder_id"}.get(name, name): value
        for name, value in body.model_dump(exclude_unset=True).items()
        if value is not None or name in NULLABLE
    }
    state, created = await run_in_threadpool(service_of(request).put_collection, collection, changes)
    response.status_code = 201 if created else 200
    return collection_answer(state)


@router.get("/collections/{collection}", responses=problems(), summary="Show a collection")
def get_collection(request: Request, collection: CollectionName, _: Reader) -> CollectionAnswer:
    """A collection's choices, and the snapshot that serves it."""
    return collection_answer(service_of(request).state(collection))


@router.delete(
    "/collections/{collection}",
    status_code=204,
    response_class=Response,
    responses=problems(409),
    summary="Delete a collection with all its images",
)
def delete_collection(request: Request, collection: CollectionName, _: Writer) -> None:
    """Removes its pictures, its metadata, its catalogue and its snapshots. There is no way back."""
    service_of(request).delete_collection(collection)
