"""Trainings: ask for one, watch it, cancel it; and go back to the encoder before."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from lookalike.api.access import Reader, Writer
from lookalike.api.bodies import read_json
from lookalike.api.gate import Gate
from lookalike.api.openapi import json_body, problems, reference
from lookalike.api.routes.parameters import CollectionName
from lookalike.api.routes.shapes import base_url, training_answer
from lookalike.api.schemas import TrainingBody
from lookalike.api.training_answers import (
    LogLineAnswer,
    RollbackAnswer,
    TrainingAnswer,
    TrainingAskedAnswer,
    TrainingLogAnswer,
    TrainingsAnswer,
)
from lookalike.api.training_desk import TrainingDesk

router = APIRouter(tags=["trainings"])
TrainingId = Annotated[
    str,
    Path(min_length=1, max_length=100, examples=["20260101t120500-1a2b3c"], description="A training's id."),
]
BODY = json_body(
    reference(TrainingBody),
    {
        "on the collection": {"source": "collection"},
        "on a zip file": {"source": "zip", "publish": "never"},
        "with options": {"source": "collection", "loss": "triplet", "last_stages": True, "epochs": 20},
    },
)
REPORT: dict[int | str, dict[str, Any]] = {
    200: {"description": "One page, nothing loaded from elsewhere.", "content": {"text/html": {}}}
}
# Its own styles and pictures, and nothing else: the names in it are users'.
REPORT_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
}


def desk_of(request: Request) -> TrainingDesk:
    """The app's training desk."""
    desk: TrainingDesk = request.app.state.training_desk
    return desk


@router.post(
    "/collections/{collection}/trainings",
    status_code=202,
    responses=problems(409, 413, 415),
    openapi_extra=BODY,
    summary="Ask for a training",
)
async def ask_for_training(request: Request, collection: CollectionName, _: Writer) -> TrainingAskedAnswer:
    """One at a time in a collection. Searches go on meanwhile.

    With `"source": "zip"`, PUT the zip file to the URL that is given; the training begins when it is there.
    """
    body = await read_json(request, TrainingBody)
    base = base_url(request)
    training, upload = await run_in_threadpool(desk_of(request).ask, collection, body, base)
    return TrainingAskedAnswer(training=training_answer(training, base), upload=upload)


@router.get("/collections/{collection}/trainings", responses=problems(), summary="List trainings")
def list_trainings(
    request: Request,
    collection: CollectionName,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> TrainingsAnswer:
    """The latest first."""
    found = desk_of(request).all(collection)[:limit]
    base = base_url(request)
    return TrainingsAnswer(collection=collection, trainings=[training_answer(each, base) for each in found])


@router.get("/collections/{collection}/trainings/{training}", responses=problems(), summary="Show a training")
def get_training(
    request: Request, collection: CollectionName, training: TrainingId, _: Reader
) -> TrainingAnswer:
    """Where it stands, what was measured, and what came of it."""
    return training_answer(desk_of(request).get(collection, training), base_url(request))


@router.delete(
    "/collections/{collection}/trainings/{training}",
    status_code=202,
    responses=problems(409),
    summary="Cancel a training",
)
def cancel_training(
    request: Request, collection: CollectionName, training: TrainingId, _: Writer
) -> TrainingAnswer:
    """Ask for its end, which comes within seconds. One that has ended stays as it is; none is forgotten."""
    return training_answer(desk_of(request).cancel(collection, training), base_url(request))


@router.get(
    "/collections/{collection}/trainings/{training}/log",
    responses=problems(),
    summary="Show a training's log",
)
def get_training_log(
    request: Request, collection: CollectionName, training: TrainingId, _: Reader
) -> TrainingLogAnswer:
    """What happened, oldest first."""
    lines = desk_of(request).log(collection, training)
    return TrainingLogAnswer(
        collection=collection, id=training, lines=[LogLineAnswer(**line) for line in lines]
    )


@router.get(
    "/collections/{collection}/trainings/{training}/report",
    response_class=Response,
    responses={**REPORT, **problems()},
    summary="Get a training's evaluation report",
)
def get_training_report(
    request: Request, collection: CollectionName, training: TrainingId, _: Reader
) -> Response:
    """Both encoders on the pictures that the training held out, as one HTML page."""
    page = desk_of(request).report(collection, training)
    return Response(page, headers=REPORT_HEADERS, media_type="text/html")


@router.post(
    "/collections/{collection}/rollback",
    responses=problems(409, 429),
    summary="Go back to the encoder before",
)
async def rollback(request: Request, collection: CollectionName, _: Writer) -> RollbackAnswer:
    """It serves with the snapshot that it had: results are as they were, and newer items are found too."""
    gate: Gate = request.app.state.report_gate
    async with gate.admit() as place:
        done = await place.run(desk_of(request).rollback, collection)
    return RollbackAnswer(
        collection=collection,
        encoder=done.encoder_id,
        previous_encoder=done.previous_encoder,
        snapshot=done.snapshot,
        left_out=done.left_out,
    )
