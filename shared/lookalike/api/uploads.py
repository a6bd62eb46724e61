"""Uploads: request URLs, then PUT files to them. The same on one machine as on AWS."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from pydantic import Field, TypeAdapter
from starlette.concurrency import run_in_threadpool

from lookalike.api.context import Context, base_url, context_of
from lookalike.api.http.access import Writer
from lookalike.api.http.bodies import read_json, stream_body
from lookalike.api.http.models import EXAMPLE_SERVER, RequestBody, ResponseBody, example
from lookalike.api.http.openapi import PUBLIC, json_body, problems, reference
from lookalike.api.http.parameters import CollectionName
from lookalike.api.trainings import ZIP_TYPE, begin_with_zip
from lookalike.api.upload_files import receive_file
from lookalike.api.upload_urls import UploadResponse, upload_url
from lookalike.errors import Forbidden, InvalidInput
from lookalike.layout import (
    MAX_ID_BYTES,
    check_file_names,
    check_item_id,
    collection_of,
    image_key,
    parse_key,
    staging_prefix,
    upload_metadata_key,
)
from lookalike.metadata.columns import column_name
from lookalike.types import Attribute

router = APIRouter(tags=["uploads"])
receiver = APIRouter(tags=["uploads"])
"""For folder stores only: S3 receives uploads itself."""

MAX_UPLOADS = 100
MAX_FIELDS = 100
MAX_NAME_CHARACTERS = 200
MAX_VALUE_CHARACTERS = 10_000
METADATA_WRITERS = 8
EXAMPLE_TOKEN = "WyJmYXNoaW9uL2ltYWdlcy9zaG9lcy8wMDAxLmpwZyIsIDE3Nl0.6Yk3fJ0q"  # noqa: S105  # an example
ImageType = Literal[
    "image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/avif"
]
UploadToken = Annotated[
    str,
    Path(min_length=1, max_length=4_000, description="Part of an upload URL.", examples=[EXAMPLE_TOKEN]),
]


class UploadRequest(RequestBody):
    """An image that the caller wants to PUT."""

    name: str = Field(
        min_length=1,
        max_length=MAX_ID_BYTES,
        description="Becomes the item's id. Its first folder is the category, unless metadata names another.",
        examples=["shoes/0001.jpg"],
    )
    content_type: ImageType = "image/jpeg"
    metadata: dict[str, Attribute] | None = Field(
        None,
        max_length=MAX_FIELDS,
        description="Fields of the item. If omitted, metadata of an earlier upload stays; {} removes it.",
        examples=[{"product_id": "sku-17", "title": "Red trainer", "price": 39.9}],
    )


class UploadsResponse(ResponseBody):
    """One URL for each image, in the order of the request."""

    model_config = example(
        {
            "uploads": [
                {
                    "id": "shoes/0001.jpg",
                    "method": "PUT",
                    "url": f"{EXAMPLE_SERVER}/uploads/{EXAMPLE_TOKEN}",
                    "headers": {"Content-Type": "image/jpeg"},
                    "expires_at": "2026-01-01T12:15:00+00:00",
                }
            ]
        }
    )

    uploads: list[UploadResponse]


class UploadedResponse(ResponseBody):
    """A complete file was received. An image becomes searchable after ingest, or is listed as rejected."""

    model_config = example({"collection": "fashion", "id": "shoes/0001.jpg", "size_bytes": 48213})

    collection: str
    id: str
    size_bytes: int


REQUESTS = TypeAdapter(Annotated[list[UploadRequest], Field(min_length=1, max_length=MAX_UPLOADS)])
BODY = json_body(
    {"type": "array", "items": reference(UploadRequest), "minItems": 1, "maxItems": MAX_UPLOADS},
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


@router.post(
    "/collections/{collection}/uploads",
    responses=problems(413, 415),
    openapi_extra=BODY,
    summary="Request upload URLs",
)
async def request_uploads(request: Request, collection: CollectionName, _: Writer) -> UploadsResponse:
    """PUT each image to its URL before the URL expires, with the given headers.

    Searches find an image within seconds of its PUT. An image that cannot be used is listed as rejected.
    """
    uploads = await read_json(request, REQUESTS)
    context = context_of(request)
    return await run_in_threadpool(_offer, context, collection, uploads, base_url(request))


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
    summary="Upload an image, or a zip file to train on",
)
async def upload(request: Request, token: UploadToken) -> UploadedResponse:
    """The URL itself grants access, like a presigned URL of S3. No API key is needed."""
    context = context_of(request)
    key = context.upload_tokens.verify(token)
    settings = context.library.settings
    max_bytes = settings.max_zip_bytes if _is_zip(key) else settings.max_image_bytes
    return await _receive(context, key, stream_body(request, max_bytes))


def _offer(context: Context, collection: str, uploads: Sequence[UploadRequest], base: str) -> UploadsResponse:
    """One URL for each upload.

    Raises:
        CollectionNotFound: there is no such collection.
        InvalidInput: a name cannot be an item's id, or occurs twice; nothing was written.
    """
    context.library.collections.get(collection)
    names = [check_item_id(upload.name, collection) for upload in uploads]
    if context.library.images.folder is not None:
        for name in names:
            check_file_names(name)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput("two uploads have the same name", got=repr(twice))
    for each in uploads:
        _check_fields(each)
    _write_metadata(context, collection, uploads)
    return UploadsResponse(
        uploads=[
            upload_url(context, name, image_key(collection, name), each.content_type, base)
            for name, each in zip(names, uploads, strict=True)
        ]
    )


def _check_fields(upload: UploadRequest) -> None:
    for name, value in (upload.metadata or {}).items():
        if column_name(name) in {"file", "id"}:
            raise InvalidInput(
                "the upload already names the image that its metadata describes",
                got=repr(name),
                fix=f"Leave out {name!r}.",
            )
        if not name.strip() or len(name) > MAX_NAME_CHARACTERS:
            raise InvalidInput("a metadata field has an empty or too long name", got=repr(name[:100]))
        if isinstance(value, str) and len(value) > MAX_VALUE_CHARACTERS:
            raise InvalidInput(
                f"the metadata field {name!r} is too long",
                got=f"{len(value)} characters",
                expected=f"at most {MAX_VALUE_CHARACTERS}",
            )


def _write_metadata(context: Context, collection: str, uploads: Sequence[UploadRequest]) -> None:
    """Write the metadata of uploads, one small file per item below `metadata/uploads/`.

    This way it is ingested, ordered and repaired like any other metadata file. A later upload of the same
    item replaces it, and deleting the item deletes it.
    """
    described = [upload for upload in uploads if upload.metadata is not None]
    if not described:
        return
    images = context.library.images
    keys = [upload_metadata_key(collection, upload.name) for upload in described]

    def write(key: str, upload: UploadRequest) -> None:
        if upload.metadata:
            # Ingest removes one leading `images/` from the path; an id may start with that word as well.
            row = {"file": f"images/{upload.name}", **upload.metadata}
            images.put(key, json.dumps(row).encode() + b"\n")
        else:
            images.delete(key)

    with ThreadPoolExecutor(METADATA_WRITERS) as writers:
        list(writers.map(write, keys, described))
    context.listener.objects_changed(keys)


async def _receive(context: Context, key: str, chunks: AsyncIterator[bytes]) -> UploadedResponse:
    """Write a file that was PUT to this server.

    Raises:
        CollectionNotFound: the collection was deleted in the meantime.
        Forbidden: S3 receives the uploads of this store.
        Conflict, InvalidInput, StoreUnavailable: see `receive_file`.
    """
    collection, _, rest = key.partition("/")
    library = context.library
    await run_in_threadpool(library.collections.get, collection)
    target = library.images.local_path(key)
    staging = library.images.local_path(staging_prefix(collection))
    if target is None or staging is None:
        raise Forbidden("this server does not receive uploads itself", fix="PUT to the URL in the response.")
    size = await receive_file(target, staging, chunks)
    if _is_zip(key):
        await run_in_threadpool(begin_with_zip, context, key)
    else:
        context.listener.objects_changed([key])
    return UploadedResponse(collection=collection, id=rest.partition("/")[2], size_bytes=size)


def _is_zip(key: str) -> bool:
    """Whether the object `key` is a zip file to train on, and not an image."""
    parsed = parse_key(collection_of(key), key)
    return parsed is not None and parsed.kind == "training"
