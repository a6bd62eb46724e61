"""Trainings: queue, watch, cancel and publish them; roll back to the previous encoder."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from lookalike.api.context import Context, base_url, context_of
from lookalike.api.http.access import Reader, Writer
from lookalike.api.http.bodies import read_json
from lookalike.api.http.openapi import json_body, problems, reference
from lookalike.api.http.parameters import CollectionName
from lookalike.api.training_models import (
    EXAMPLE_TRAINING,
    LogLineResponse,
    RollbackResponse,
    TrainingLogResponse,
    TrainingQueuedResponse,
    TrainingRequest,
    TrainingResponse,
    TrainingsResponse,
)
from lookalike.api.upload_urls import upload_url
from lookalike.errors import Conflict, LookalikeError
from lookalike.training_jobs import Training, Trainings, zip_key

router = APIRouter(tags=["trainings"])
ZIP_TYPE = "application/zip"
TrainingId = Annotated[
    str,
    Path(min_length=1, max_length=100, examples=[EXAMPLE_TRAINING], description="A training's id."),
]
BODY = json_body(
    reference(TrainingRequest),
    {
        "on the collection": {"source": "collection"},
        "on a zip file": {"source": "zip", "publish": "never"},
        "with options": {"source": "collection", "loss": "triplet", "last_stages": True, "epochs": 20},
    },
)
REPORT: dict[int | str, dict[str, Any]] = {
    200: {"description": "One page that loads no other files.", "content": {"text/html": {}}}
}
# The report contains its styles and images, and names that users chose. It may load and run nothing else.
REPORT_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
}


@router.post(
    "/collections/{collection}/trainings",
    status_code=202,
    responses=problems(409, 413, 415),
    openapi_extra=BODY,
    summary="Queue a training",
    name="ask_for_training",
)
async def request_training(request: Request, collection: CollectionName, _: Writer) -> TrainingQueuedResponse:
    """A collection has at most one active training. Searches continue in the meantime.

    With `"source": "zip"`, PUT the zip file to the URL in the response. The training begins when it arrives.
    """
    body = await read_json(request, TrainingRequest)
    return await run_in_threadpool(queue_training, context_of(request), collection, body, base_url(request))


@router.get("/collections/{collection}/trainings", responses=problems(), summary="List trainings")
def list_trainings(
    request: Request,
    collection: CollectionName,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> TrainingsResponse:
    """Newest first."""
    found = _records(context_of(request), collection).all()[:limit]
    base = base_url(request)
    return TrainingsResponse(
        collection=collection, trainings=[TrainingResponse.of(each, base) for each in found]
    )


@router.get("/collections/{collection}/trainings/{training}", responses=problems(), summary="Show a training")
def get_training(
    request: Request, collection: CollectionName, training: TrainingId, _: Reader
) -> TrainingResponse:
    """Progress, metrics and result."""
    found = _records(context_of(request), collection).get(training)
    return TrainingResponse.of(found, base_url(request))


@router.delete(
    "/collections/{collection}/trainings/{training}",
    status_code=202,
    responses=problems(409),
    summary="Cancel a training",
)
def cancel_training(
    request: Request, collection: CollectionName, training: TrainingId, _: Writer
) -> TrainingResponse:
    """It stops within seconds. A training that has ended does not change. Records are never deleted."""
    context = context_of(request)
    records = _records(context, collection)
    if records.update(training, cancel_requested=True).is_active:
        context.trainer.cancel(collection, training)
    return TrainingResponse.of(records.get(training), base_url(request))


@router.get(
    "/collections/{collection}/trainings/{training}/log",
    responses=problems(),
    summary="Show a training's log",
)
def get_training_log(
    request: Request, collection: CollectionName, training: TrainingId, _: Reader
) -> TrainingLogResponse:
    """Oldest line first."""
    lines = _records(context_of(request), collection).log(training)
    return TrainingLogResponse(
        collection=collection, id=training, lines=[LogLineResponse(**line) for line in lines]
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
    """Compares both encoders on the images that the training held out, as one HTML page."""
    page = _records(context_of(request), collection).report(training)
    return Response(page, headers=REPORT_HEADERS, media_type="text/html")


@router.post(
    "/collections/{collection}/trainings/{training}/publish",
    responses=problems(409, 429),
    summary="Publish a training's encoder anyway",
)
async def publish_training(
    request: Request, collection: CollectionName, training: TrainingId, _: Writer
) -> TrainingResponse:
    """Use the encoder of a training that was not published, even if it is not better.

    Searches switch at one moment; a rollback restores the previous encoder.
    """
    context = context_of(request)
    async with context.limiters.reports.slot() as slot:
        found = await slot.run(_publish, context, collection, training)
    return TrainingResponse.of(found, base_url(request))


@router.post(
    "/collections/{collection}/rollback",
    responses=problems(409, 429),
    summary="Restore the previous encoder",
)
async def rollback(request: Request, collection: CollectionName, _: Writer) -> RollbackResponse:
    """Restores the previous encoder and its index. Items added since then are searched too."""
    context = context_of(request)
    async with context.limiters.reports.slot() as slot:
        return await slot.run(_roll_back, context, collection)


def queue_training(
    context: Context, collection: str, body: TrainingRequest, base: str
) -> TrainingQueuedResponse:
    """Begin a training, or return a URL for the zip file with which it begins.

    Args:
        context: the app's context.
        collection: its name.
        body: source and options.
        base: the URL of this API.

    Raises:
        CollectionNotFound: there is no such collection.
        Conflict: another training is active, or no training can run here.
        StoreUnavailable: it could not begin; try again.
    """
    records = _records(context, collection)
    context.trainer.check()
    training = Training(
        "",
        collection,
        body.source,
        options=body.options().to_json(),
        label=body.label,
        publish=body.publish,
    )
    if body.source == "zip":
        waiting = records.create(training, upload_seconds=context.library.settings.url_seconds)
        upload = upload_url(context, waiting.id, zip_key(collection, waiting.id), ZIP_TYPE, base)
        return TrainingQueuedResponse(training=TrainingResponse.of(waiting, base), upload=upload)
    queued = records.create(training)
    try:
        context.trainer.begin(collection, queued.id)
    except LookalikeError as error:
        # A training that cannot begin must not block the next one.
        records.finish(queued.id, "failed", reason=f"it could not start: {error}")
        raise
    return TrainingQueuedResponse(training=TrainingResponse.of(queued, base), upload=None)


def begin_with_zip(context: Context, key: str) -> None:
    """Begin the training whose zip file was uploaded to `key`."""
    collection, _, name = key.split("/")
    training_id = name.removesuffix(".zip")
    if _records(context, collection).uploaded(training_id).is_active:
        context.trainer.begin(collection, training_id)
    else:
        context.library.images.delete(key)


def _publish(context: Context, collection: str, training_id: str) -> Training:
    from lookalike.publishing import Comparison, compare_on_collection, publish_encoder

    records = _records(context, collection)
    training = records.get(training_id)
    if training.is_active or training.encoder_id is None:
        raise Conflict(
            "the training has no encoder to publish",
            got=training.status,
            expected="a training that has succeeded",
            fix="Wait for its end, or start another one.",
        )

    def judge(old: str, new: str) -> Comparison:
        """What the training measured, if the same encoder is in use."""
        if training.comparison:
            known = Comparison.from_json(training.comparison)
            if (known.old.encoder_id, known.new.encoder_id) == (old, new):
                return known
        return compare_on_collection(context.library, collection, old, new)

    done = publish_encoder(
        context.library, collection, training.encoder_id, force=True, judge=judge, training=training.id
    )
    _use_new_encoder(context, collection)
    return records.note_publication(training_id, done.reason)


def _use_new_encoder(context: Context, collection: str) -> None:
    with suppress(LookalikeError):  # the switch is complete; the next search reports what is wrong
        context.library.searcher(collection).refresh(force=True)
    context.listener.collection_changed(collection)


def _roll_back(context: Context, collection: str) -> RollbackResponse:
    from lookalike.publishing import rollback as restore_previous

    done = restore_previous(context.library, collection)
    _use_new_encoder(context, collection)
    return RollbackResponse(
        collection=collection,
        encoder=done.encoder_id,
        previous_encoder=done.previous_encoder,
        snapshot=done.snapshot,
        left_out=done.left_out,
    )


def _records(context: Context, collection: str) -> Trainings:
    """The training records of a collection. Raises CollectionNotFound."""
    return Trainings(context.library.artifacts, context.library.collections.get(collection).name)
