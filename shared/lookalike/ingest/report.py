"""The result of an ingest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lookalike.catalogue import MetadataProblem
from lookalike.types import ObjectEvent

Progress = Callable[[int, int], None]
"""Called with (events done, events in all), from the thread that called ingest."""


@dataclass(slots=True)
class IngestReport:
    """Counts of events by their outcome; each event is counted once.

    Attributes:
        encoded: images that were encoded.
        reused: images whose bytes were known already, so that their vector was kept.
        removed: tombstones written.
        unchanged: events without a change: repeated, or older than a later one.
        rejected: objects that can never become items.
        missing: objects that were gone when their event was read; the event of their removal follows.
        ignored: objects that are neither images nor metadata.
        skipped: of these, objects whose key cannot be an item's id: key and reason.
        metadata_files: metadata files read or removed.
        metadata_rows: rows taken from them.
        metadata_problems: rows and cells in them that could not be used.
        failed: events to deliver again, each with the reason.
    """

    encoded: int = 0
    reused: int = 0
    removed: int = 0
    unchanged: int = 0
    rejected: int = 0
    missing: int = 0
    ignored: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    metadata_files: int = 0
    metadata_rows: int = 0
    metadata_problems: list[MetadataProblem] = field(default_factory=list)
    failed: list[tuple[ObjectEvent, Exception]] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """Events that changed the catalogue."""
        return self.encoded + self.reused + self.removed + self.rejected + self.metadata_files


class Counter:
    """Counts events that are done and reports the count."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done = 0
        self._total = total
        self._progress = progress

    def add(self, events: int) -> None:
        """`events` more are done."""
        self._done += events
        if self._progress and events:
            self._progress(self._done, self._total)
