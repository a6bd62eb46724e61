"""Uploads as on AWS: ask for a URL, then PUT to it. A folder store signs its own URLs, with a key that dies
with the process; whoever holds one that ran out asks again.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from lookalike.api.answers import UploadAnswer, UploadedAnswer
from lookalike.api.names import (
    STAGING_FOLDER,
    STAGING_SUFFIX,
    TRAINING_FOLDER,
    check_file_names,
    check_item_id,
    image_key,
    metadata_key,
)
from lookalike.api.schemas import UploadBody
from lookalike.errors import Conflict, Forbidden, InvalidInput, StoreUnavailable
from lookalike.metadata.columns import column_name

if TYPE_CHECKING:
    from lookalike.api.service import Service

ZIP_TYPE = "application/zip"
WRITERS = 8
CREATE_ATTEMPTS = 10
MAX_NAME_CHARACTERS = 200
MAX_VALUE_CHARACTERS = 10_000


class UploadTokens:
    """Makes and checks tokens that say "this object of the images root may be written until then"."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secrets.token_bytes(32)
        self._clock = clock

    def sign(self, key: str, seconds: float) -> str:
        """A URL-safe token for the object `key`, good for `seconds`."""
        payload = json.dumps([key, self._clock() + seconds]).encode()
        return f"{_encode(payload)}.{_encode(self._mac(payload))}"

    def verify(self, token: str) -> str:
        """The object that `token` lets one write. Raises Forbidden."""
        payload_text, _, mac_text = token.partition(".")
        try:
            payload, mac = _decode(payload_text), _decode(mac_text)
        except ValueError:
            payload, mac = b"", b""
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise Forbidden("the upload URL is not one that this server gave", fix="Ask for a new one.")
        key, expires = json.loads(payload)
        if self._clock() > expires:
            raise Forbidden("the upload URL has run out", fix="Ask for a new one.")
        return str(key)

    def _mac(self, payload: bytes) -> bytes:
        return hmac.new(self._secret, payload, hashlib.sha256).digest()


class UploadDesk:
    """Gives out URLs to PUT pictures to, and keeps what is said about them.

    Metadata becomes one small file per item below the collection's `metadata/uploads/`, written before the
    URL is given out. So it is ingested, ordered and repaired like any other metadata file; a later upload of
    the same item replaces it, and deleting the item deletes it.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tokens = UploadTokens()
        self._zip_arrived: Callable[[str], None] = lambda _: None

    def on_zip(self, arrived: Callable[[str], None]) -> None:
        """`arrived` is called with the key of each zip file that was received whole."""
        self._zip_arrived = arrived

    def offer_zip(self, id_: str, key: str, base: str) -> UploadAnswer:
        """A URL to PUT one zip file to, which becomes the object `key`."""
        seconds = self._service.settings.url_seconds
        return UploadAnswer(
            id=id_,
            url=self._url(key, seconds, base),
            headers={"Content-Type": ZIP_TYPE},
            expires_at=_after(seconds),
        )

    def max_bytes(self, token: str) -> int:
        """How large what is PUT with `token` may be. Raises Forbidden."""
        settings = self._service.settings
        return settings.max_zip_bytes if _is_zip(self._tokens.verify(token)) else settings.max_image_bytes

    def offer(self, collection: str, uploads: Sequence[UploadBody], base: str) -> list[UploadAnswer]:
        """One URL for each of `uploads`; `base` is the URL of this API.

        Raises:
            CollectionNotFound: there is no such collection.
            InvalidInput: a name cannot be an item's id, or comes twice; nothing was written.
        """
        self._service.collections.get(collection)
        names = [check_item_id(upload.name, collection) for upload in uploads]
        if self._service.images.folder is not None:
            for name in names:
                check_file_names(name)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidInput("two uploads have the same name", got=repr(twice))
        for upload in uploads:
            _check_fields(upload)
        self._keep_metadata(collection, uploads)
        seconds = self._service.settings.url_seconds
        expires_at = _after(seconds)
        return [
            UploadAnswer(
                id=name,
                url=self._url(image_key(collection, name), seconds, base),
                headers={"Content-Type": upload.content_type},
                expires_at=expires_at,
            )
            for name, upload in zip(names, uploads, strict=True)
        ]

    def _url(self, key: str, seconds: int, base: str) -> str:
        if self._service.images.can_sign:
            return self._service.images.sign("PUT", key, seconds)
        return f"{base}/uploads/{self._tokens.sign(key, seconds)}"

    def _keep_metadata(self, collection: str, uploads: Sequence[UploadBody]) -> None:
        said = [upload for upload in uploads if upload.metadata is not None]
        if not said:
            return
        keys = [metadata_key(collection, upload.name) for upload in said]

        def keep(key: str, upload: UploadBody) -> None:
            if upload.metadata:
                # A reader takes one `images/` off the path; an id may well start with that word.
                row = {"file": f"images/{upload.name}", **upload.metadata}
                self._service.images.put(key, json.dumps(row).encode() + b"\n")
            else:
                self._service.images.delete(key)

        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(keep, keys, said))
        self._service.follower.objects_changed(keys)

    async def receive(self, token: str, chunks: AsyncIterator[bytes]) -> UploadedAnswer:
        """Take in what is PUT to a URL of this server.

        Raises:
            Forbidden: the token is not good, or not any more.
            CollectionNotFound: the collection is gone meanwhile.
            Conflict, InvalidInput, StoreUnavailable: see `receive_file`.
        """
        key = self._tokens.verify(token)
        collection, _, rest = key.partition("/")
        await run_in_threadpool(self._service.collections.get, collection)
        target = self._service.images.local_path(key)
        staging = self._service.images.local_path(f"{collection}/{STAGING_FOLDER}")
        if target is None or staging is None:
            raise Forbidden("this server takes no uploads itself", fix="PUT to the URL that was given.")
        size = await receive_file(target, staging, chunks)
        if _is_zip(key):
            await run_in_threadpool(self._zip_arrived, key)
        else:
            self._service.follower.objects_changed([key])
        return UploadedAnswer(collection=collection, id=rest.partition("/")[2], size_bytes=size)


async def receive_file(target: Path, staging: Path, chunks: AsyncIterator[bytes]) -> int:
    """Write `chunks` to a file in the folder `staging`; rename it to `target` when it is whole and on disk.

    Returns:
        How many bytes it has.

    Raises:
        Conflict: a folder has that name, or a file has the name of one of its folders.
        InvalidInput: the file system cannot hold such a name.
        StoreUnavailable: the disk is full or fails.
    """
    staged = staging / f"{secrets.token_hex(16)}{STAGING_SUFFIX}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            count = 0
            with _created(staged) as file:
                async for chunk in chunks:
                    count += len(chunk)
                    file.write(chunk)
                await run_in_threadpool(_to_disk, file)
            await run_in_threadpool(staged.replace, target)
        finally:
            staged.unlink(missing_ok=True)
    except OSError as error:
        raise _translated(error, target) from error
    return count


def _is_zip(key: str) -> bool:
    """Whether the object `key` is the source of a training, and no picture."""
    return key.split("/")[1] == TRAINING_FOLDER


def _after(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def _check_fields(upload: UploadBody) -> None:
    for name, value in (upload.metadata or {}).items():
        if column_name(name) in {"file", "id"}:
            raise InvalidInput(
                "metadata cannot say which image it is about", got=repr(name), fix=f"Leave out {name!r}."
            )
        if not name.strip() or len(name) > MAX_NAME_CHARACTERS:
            raise InvalidInput("a field of metadata has no usable name", got=repr(name[:100]))
        if isinstance(value, str) and len(value) > MAX_VALUE_CHARACTERS:
            raise InvalidInput(
                f"the metadata field {name!r} is too long",
                got=f"{len(value)} characters",
                expected=f"at most {MAX_VALUE_CHARACTERS}",
            )


def _created(file: Path) -> IO[bytes]:
    for _ in range(CREATE_ATTEMPTS):
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # who was done with the empty folder removed it just now
            return file.open("xb")
    raise FileNotFoundError(errno.ENOENT, "the staging folder keeps vanishing", str(file.parent))


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _translated(error: OSError, target: Path) -> Exception:
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return Conflict(
            "a file has the name of a folder, or a folder that of a file",
            got=target.name,
            fix="Choose another name.",
        )
    if error.errno in {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}:
        return InvalidInput("the file system cannot hold such a name", got=repr(target.name))
    return StoreUnavailable(f"the upload could not be written: {error.strerror}")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
