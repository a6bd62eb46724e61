"""What is to be done about an event, given what is known. No input, no output: only the rules.

An event counts if its sequencer is higher than that of the row; so events may come twice, late, in any
order, and a removal before its creation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lookalike.catalogue import ItemRow, normalise_sequencer
from lookalike.errors import InvalidInput
from lookalike.ingest.keys import place_of
from lookalike.ingest.report import IngestReport
from lookalike.types import ObjectEvent


@dataclass(frozen=True, slots=True)
class Work:
    """One item to bring up to date.

    Attributes:
        event: what asked for it.
        item_id: of the item.
        action: write a tombstone, or read the object (and encode it, if its bytes are new).
        sequencer: to write, normalised.
        row: what is known of the item.
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
        """How many they are."""
        return len(self.images) + len(self.metadata)


def sort_events(collection: str, events: Iterable[ObjectEvent], report: IngestReport) -> SortedEvents:
    """Keep the event with the highest sequencer of each key; count the others in `report`."""
    kept = SortedEvents()
    for event in events:
        place = place_of(collection, event.key)
        if place is None:
            report.ignored += 1
            continue
        chosen = kept.images if place.kind == "image" else kept.metadata
        try:
            order = _order(event)
        except InvalidInput as error:
            report.failed.append((event, error))
            continue
        report.unchanged += place.name in chosen
        if place.name not in chosen or _order(chosen[place.name]) < order:
            chosen[place.name] = event
    return kept


def _order(event: ObjectEvent) -> str:
    return normalise_sequencer(event.sequencer)


def plan(
    event: ObjectEvent, item_id: str, row: ItemRow | None, vector: tuple[str, str] | None
) -> Work | None:
    """The work that `event` asks for; None: none."""
    sequencer = normalise_sequencer(event.sequencer)
    is_news = row is None or row.sequencer < sequencer
    if event.kind == "removed":
        return Work(event, item_id, "remove", sequencer, row, vector) if is_news else None
    if is_news:
        return Work(event, item_id, "read", sequencer, row, vector)
    # A live item without a vector of its bytes: another encoder was chosen, whose table is empty, or was
    # left behind while the first one served.
    if row is not None and row.status == "live" and (vector is None or vector[1] != row.content_hash):
        return Work(event, item_id, "read", row.sequencer, row, vector)
    return None


def plan_all(
    events: Mapping[str, ObjectEvent], rows: Mapping[str, ItemRow], vectors: Mapping[str, tuple[str, str]]
) -> list[Work]:
    """The work that events, by item id, ask for."""
    planned = (plan(event, name, rows.get(name), vectors.get(name)) for name, event in events.items())
    return [work for work in planned if work]
