"""Decides what to do about an event, given the rows of the catalogue. Pure rules: reads and writes nothing.

An event counts if its sequencer is higher than that of the row. So events may arrive twice, late and in any
order, even a removal before its creation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lookalike.catalogue import ItemRow, normalise_sequencer
from lookalike.errors import InvalidInput
from lookalike.ingest.report import IngestReport
from lookalike.layout import key_problem, parse_key
from lookalike.types import ObjectEvent


@dataclass(frozen=True, slots=True)
class Work:
    """One item to bring up to date.

    Attributes:
        event: the reason.
        item_id: of the item.
        action: write a tombstone, or read the object (and encode it, if its bytes are new).
        sequencer: to write, normalised.
        row: of the item; None: there is none.
        vector: sequencer and content hash of its vector, if it has one.
    """

    event: ObjectEvent
    item_id: str
    action: Literal["remove", "read"]
    sequencer: str
    row: ItemRow | None
    vector: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class SortedEvents:
    """The events that may matter, one for each item id and each metadata file name."""

    images: dict[str, ObjectEvent] = field(default_factory=dict)
    metadata: dict[str, ObjectEvent] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Their number."""
        return len(self.images) + len(self.metadata)


def sort_events(collection: str, events: Iterable[ObjectEvent], report: IngestReport) -> SortedEvents:
    """Keep the event with the highest sequencer of each key; count the others in `report`."""
    kept = SortedEvents()
    for event in events:
        parsed = parse_key(collection, event.key)
        if parsed is None or parsed.kind == "training":
            report.ignored += 1
            if problem := key_problem(event.key):
                report.skipped.append((event.key, problem))
            continue
        chosen = kept.images if parsed.kind == "image" else kept.metadata
        try:
            order = _order(event)
        except InvalidInput as error:
            report.failed.append((event, error))
            continue
        report.unchanged += parsed.name in chosen
        if parsed.name not in chosen or _order(chosen[parsed.name]) < order:
            chosen[parsed.name] = event
    return kept


def _order(event: ObjectEvent) -> str:
    return normalise_sequencer(event.sequencer)


def plan(
    event: ObjectEvent, item_id: str, row: ItemRow | None, vector: tuple[str, str] | None
) -> Work | None:
    """The work that `event` requires; None: none."""
    sequencer = normalise_sequencer(event.sequencer)
    is_newer = row is None or row.sequencer < sequencer
    if event.kind == "removed":
        return Work(event, item_id, "remove", sequencer, row, vector) if is_newer else None
    if is_newer:
        return Work(event, item_id, "read", sequencer, row, vector)
    # A live item without a vector of its bytes: the collection got another encoder, whose table is empty or
    # out of date.
    if row is not None and row.status == "live" and (vector is None or vector[1] != row.content_hash):
        return Work(event, item_id, "read", row.sequencer, row, vector)
    return None


def plan_all(
    events: Mapping[str, ObjectEvent], rows: Mapping[str, ItemRow], vectors: Mapping[str, tuple[str, str]]
) -> list[Work]:
    """The work that events, by item id, require."""
    planned = (plan(event, name, rows.get(name), vectors.get(name)) for name, event in events.items())
    return [work for work in planned if work]
