"""Uploads: ask for URLs, then PUT to them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import Field, TypeAdapter
from starlette.concurrency import run_in_threadpool

from lookalike.api.access import Writer
from lookalike.api.answers import UploadedAnswer, UploadsAnswer
from lookalike.api.bodies import read_json, stream_body
from lookalike.api.openapi import PUBLIC, json_body, problems, reference
from lookalike.api.routes.parameters import CollectionName
from lookalike.api.routes.shapes import base_url
from lookalike.api.schemas import MAX_UPLOADS, UploadBody
from lookalike.api.uploads import ZIP_TYPE, UploadDesk

router = APIRouter(tags=["uploads"])
UploadToken = Annotated[
    str,
    Path(
        min_length=1,
        max_length=4_000,
        description="From the URL that was given.",
        examples=["WyJmYXNoaW9uL2ltYWdlcy9zaG9lcy8wMDAxLmpwZyIsIDE3Nl0.6Yk3fJ0q"],
    ),
]
REQUESTS = TypeAdapter(Annotated[list[UploadBody], Field(min_length=1, max_length=MAX_UPLOADS)])
BODY = json_body(
    {"type": "array", "items": reference(UploadBody), "minItems": 1, "maxItems": MAX_UPLOADS},
    {
        "one": [{"name": "shoes/0001.jpg", "content_type": "image/jpeg"}],
        "with metadata": [
            {
                "name": "shoes/0001.jpg",
                "metadata": {"product_id": "sku-17", "title": "Red trainer", "price": 39.9},
            }
        ],
    },
)


def desk_of(request: Request) -> UploadDesk:
    """The app's upload desk."""
    desk: UploadDesk = request.app.state.desk
    return desk


@router.post(
    "/collections/{collection}/uploads",
    responses=problems(413, 415),
    openapi_extra=BODY,
    summary="Ask for URLs to upload to",
)
async def request_uploads(request: Request, collection: CollectionName, _: Writer) -> UploadsAnswer:
    """PUT each picture to its URL before it runs out, with the headers given.

    A picture is found by searches within seconds of its PUT. One that cannot be used is listed among the
    rejections.
    """
    bodies = await read_json(request, REQUESTS)
    offers = await run_in_threadpool(desk_of(request).offer, collection, bodies, base_url(request))
    return UploadsAnswer(uploads=offers)


receiver = APIRouter(tags=["uploads"])


@receiver.put(
    "/uploads/{token}",
    responses=problems(409, 413),
    openapi_extra={
        **PUBLIC,
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/*", ZIP_TYPE)
            },
        },
    },
    summary="Upload a picture, or a zip file to train on",
)
async def upload(request: Request, token: UploadToken) -> UploadedAnswer:
    """The URL itself is the permission, as with a presigned URL of S3: no key is needed."""
    desk = desk_of(request)
    return await desk.receive(token, stream_body(request, desk.max_bytes(token)))
