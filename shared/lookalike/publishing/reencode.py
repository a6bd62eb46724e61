"""All items of a collection in one encoder's vectors table, whether it is in use or not.

The items come from the catalogue, not from a listing: only ingest adds, changes and removes items, and it
continues with the encoder in use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lookalike.catalogue import ItemRow
from lookalike.encoders import Encoder
from lookalike.errors import LookalikeError, StoreUnavailable
from lookalike.ingest import Ingestor, IngestReport
from lookalike.layout import image_key
from lookalike.progress import Progress
from lookalike.types import ObjectEvent

if TYPE_CHECKING:
    from lookalike.library import Library

BATCH_ITEMS = 256
TITLE = "encoding"


class EncodingCancelled(LookalikeError):
    """The caller cancelled; what was encoded is kept."""


class Encoding:
    """One encoder's vectors of a collection.

    Args:
        library: of the store.
        collection: its name.
        encoder_id: whose vectors; need not be the collection's.

    Raises:
        EncoderNotFound: there is no such encoder.
    """

    def __init__(self, library: Library, collection: str, encoder_id: str) -> None:
        self._collection = collection
        self._encoder: Encoder = library.encoders.load(encoder_id)
        self._catalogue = library.catalogue(collection, encoder_id)
        self._ingestor = Ingestor(
            library.images, library.artifacts, library.settings, lambda _: self._encoder
        )

    def missing(self, ids: Sequence[str] | None = None) -> list[ItemRow]:
        """Live items, of all or of these ids, that have no vector of their current bytes, by id."""
        rows = self._catalogue.known(ids)
        encoded = self._catalogue.known_vectors(ids)
        return [
            row
            for item_id, row in sorted(rows.items())
            if row.status == "live" and encoded.get(item_id, ("", ""))[1] != row.content_hash
        ]

    def catch_up(
        self, *, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
    ) -> int:
        """Encode missing items, and those that arrive in the meantime. After a kill, call it again to resume.

        Returns:
            How many items cannot be encoded: their images were deleted or damaged. Ingest
            gets events of these anyway.

        Raises:
            CollectionNotFound: the collection was deleted.
            EncodingCancelled: `cancelled` returned True.
            StoreUnavailable: images could not be read; what was encoded is kept.
        """
        tried: set[tuple[str, str]] = set()
        while True:
            left = self.missing()
            missing = [row for row in left if (row.id, row.sequencer) not in tried]
            if not missing:
                return len(left)
            for start in range(0, len(missing), BATCH_ITEMS):
                if cancelled and cancelled():
                    raise EncodingCancelled("the encoding was stopped", fix="Run it again to resume.")
                if progress:
                    progress(TITLE, start, len(missing))
                self._encode(missing[start : start + BATCH_ITEMS])
            if progress:
                progress(TITLE, len(missing), len(missing))
            # Each item is tried once: if it is still missing with the same sequencer, its image cannot be
            # encoded.
            tried.update((row.id, row.sequencer) for row in missing)

    def encode(self, ids: Sequence[str]) -> int:
        """Encode those of these items that have no vector yet; any number of processes may, in parallel.

        Returns:
            How many were encoded, or tried; images that were deleted or damaged are left to ingest.

        Raises: as `catch_up`.
        """
        missing = self.missing(ids)
        if missing:
            self._encode(missing)
        return len(missing)

    def _encode(self, rows: Sequence[ItemRow]) -> None:
        events = [
            ObjectEvent(self._collection, image_key(self._collection, row.id), "created", row.sequencer)
            for row in rows
        ]
        report: IngestReport = self._ingestor.apply(events)
        if report.failed:
            event, error = report.failed[0]
            if isinstance(error, LookalikeError) and not isinstance(error, StoreUnavailable):
                raise error
            raise StoreUnavailable(
                f"{len(report.failed)} images could not be read",
                got=f"{event.key}: {error}",
                fix="Run it again; what was encoded is kept.",
            ) from error
