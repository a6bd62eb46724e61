"""Objects → rows and vectors: read, check, decode and encode, many at a time."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lookalike.catalogue import ItemRow
from lookalike.encoders import Encoder
from lookalike.errors import ImageRejected, ObjectNotFound
from lookalike.images import ImageLimits, perceptual_hash, read_image
from lookalike.ingest.plan import Work
from lookalike.storage import Blob, Store
from lookalike.types import Vector

READERS = 8
"""Objects read while others are encoded: hides the latency of S3, and bounds the memory for their bytes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one object.

    Attributes:
        work: the work that this is the result of.
        row: to commit; None if the object is gone or could not be read now.
        vector: newly encoded; None if the existing one stays, or there is none.
        error: why it failed; a later attempt may succeed.
    """

    work: Work
    row: ItemRow | None = None
    vector: Vector | None = None
    error: Exception | None = None


class ImageEncoder:
    """Reads and encodes objects of the images root, with bounded memory and CPU use.

    Args:
        images: the images root.
        limits: on size and pixels of an image.
        threads: images decoded and encoded at the same time, over all callers.
    """

    def __init__(self, images: Store, limits: ImageLimits, threads: int) -> None:
        self._images = images
        self._limits = limits
        self._threads = threads
        self._computing = threading.BoundedSemaphore(threads)

    def process(self, works: Sequence[Work], encoder: Encoder) -> Iterator[Outcome]:
        """One outcome for each of `works`, in their order."""
        pool = ThreadPoolExecutor(READERS + self._threads, thread_name_prefix="ingest")
        try:
            yield from pool.map(lambda work: self._process(work, encoder), works)
        finally:
            # After Ctrl-C, no further work starts.
            pool.shutdown(cancel_futures=True)

    def _process(self, work: Work, encoder: Encoder) -> Outcome:
        try:
            return self._read(work, encoder)
        except ObjectNotFound:
            return Outcome(work)
        except Exception as error:  # concerns this object only
            return Outcome(work, error=error)

    def _read(self, work: Work, encoder: Encoder) -> Outcome:
        # As the event spells it; `Store` finds the other spellings of the id.
        key = work.event.key
        blob = self._images.get_limited(key, self._limits.max_bytes, version=work.event.version_id)
        if blob is None:
            return self._too_large(work, key)
        content_hash = hashlib.sha256(blob.data).hexdigest()
        if _is_known(work, content_hash):
            assert work.row is not None
            row = replace(work.row, sequencer=work.sequencer, etag=blob.etag, ingested_at=now())
            return Outcome(work, row)
        try:
            with self._computing:
                return self._encode(work, blob, content_hash, encoder)
        except ImageRejected as rejection:
            return Outcome(work, _rejected(work, rejection, len(blob.data), blob.etag, content_hash))

    def _encode(self, work: Work, blob: Blob, content_hash: str, encoder: Encoder) -> Outcome:
        picture, pixels = read_image(blob.data, self._limits, encoder.manifest.preprocess)
        row = ItemRow(
            work.item_id,
            work.sequencer,
            etag=blob.etag,
            content_hash=content_hash,
            size_bytes=len(blob.data),
            width=picture.width,
            height=picture.height,
            perceptual_hash=perceptual_hash(picture),
            ingested_at=now(),
        )
        # After a crash between the two commits the vector exists already, and only the row is missing.
        if work.vector and work.vector[1] == content_hash:
            return Outcome(work, row)
        return Outcome(work, row, encoder.encode_one(pixels))

    def _too_large(self, work: Work, key: str) -> Outcome:
        info = self._images.head(key)
        try:
            self._limits.check_bytes(info.size)
        except ImageRejected as rejection:
            return Outcome(work, _rejected(work, rejection, info.size, info.etag, ""))
        return Outcome(work)  # replaced by a smaller object since; its own event follows


def tombstone(work: Work) -> Outcome:
    """The outcome of a removal."""
    return Outcome(work, ItemRow(work.item_id, work.sequencer, status="removed", ingested_at=now()))


def _is_known(work: Work, content_hash: str) -> bool:
    """Whether both row and vector were made from the bytes with this hash."""
    row, vector = work.row, work.vector
    return bool(row and vector and row.status == "live" and row.content_hash == content_hash == vector[1])


def _rejected(work: Work, rejection: ImageRejected, size: int, etag: str, content_hash: str) -> ItemRow:
    return ItemRow(
        work.item_id,
        work.sequencer,
        status="rejected",
        etag=etag,
        content_hash=content_hash,
        size_bytes=size,
        reason=rejection.reason,
        message=str(rejection),
        ingested_at=now(),
    )


def now() -> str:
    """The current time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
