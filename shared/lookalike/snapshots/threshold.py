"""When a snapshot has fallen so far behind that a new one should be built."""

from __future__ import annotations

from datetime import UTC, datetime

from lookalike.catalogue import Catalogue, CatalogueVersion
from lookalike.settings import Settings


def needs_build(catalogue: Catalogue, built: CatalogueVersion | None, count: int, settings: Settings) -> bool:
    """Whether the delta since a snapshot asks for a build: more than `delta_rows` rows and more than
    `delta_fraction` of the snapshot, or older than `delta_age_seconds`.

    While a collection is smaller than `delta_rows`, it is enough that it has doubled: the first snapshot
    comes with the first rows, and would for long be too small for a calibrated confidence. Together these
    builds write no more than twice the last of them.

    Costs three listings while nothing changed, else a count over the tables' row versions (which Lance keeps
    run-length encoded, not per row), and only for the age the changed rows themselves.

    Args:
        catalogue: of the collection.
        built: catalogue version of the current snapshot; None: there is none, so that any row asks.
        count: items in that snapshot.
        settings: the three limits.
    """
    now = catalogue.version()
    if built is None:
        return now.items > 0
    if now == built:
        return False
    changes = catalogue.count_changes(built)
    if changes > max(min(settings.delta_rows, count), settings.delta_fraction * count):
        return True
    oldest = catalogue.oldest_change(built) if changes else None
    return oldest is not None and (datetime.now(UTC) - oldest).total_seconds() > settings.delta_age_seconds
