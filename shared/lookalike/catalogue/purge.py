"""Purge rows that are no longer needed: old tombstones, and metadata rows that their file dropped.

A row is deleted only with its own sequencer, so that a newer write of it is kept, and only if the current
snapshot includes its removal: otherwise a searcher would never see the removal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from lookalike.catalogue.merge import is_dead
from lookalike.catalogue.reading import IS_HEAD, Tables
from lookalike.catalogue.rows import CatalogueVersion
from lookalike.catalogue.schemas import item_rows
from lookalike.catalogue.tables import CHANGED, quoted

ROWS_A_COMMIT = 200


def tombstones(tables: Tables, published: CatalogueVersion, before: datetime) -> None:
    """Remove tombstones of before `before` that `published` knows, and their vectors."""
    known = f"status = 'removed' AND {CHANGED} <= {published.items}"
    rows = item_rows(tables.items.read(("id", "sequencer", "status", "ingested_at"), known))
    old = [row for row in rows if row.ingested_at < before.isoformat()]
    # Vectors first: a crash between the two leaves the tombstone to find them by.
    tables.vectors.delete(
        _any_of(f"(id = {quoted(row.id)} AND sequencer <= {quoted(row.sequencer)})" for row in old)
    )
    tables.items.delete(
        _any_of(f"(id = {quoted(row.id)} AND sequencer = {quoted(row.sequencer)})" for row in old)
    )


def dropped_metadata(tables: Tables, published: CatalogueVersion) -> None:
    """Remove rows that a later version of their file, known to `published`, does not have. Heads stay."""
    known = f"{CHANGED} <= {published.metadata}"
    heads = tables.metadata.read(("file",), f"{IS_HEAD} AND {known}")
    settled = set(heads.column("file").to_pylist())
    files = tables.files()
    rows = tables.metadata.read(("file", "id", "sequencer"), known).to_pylist()
    tables.metadata.delete(
        _any_of(
            f"(file = {quoted(row['file'])} AND id = {quoted(row['id'])}"
            f" AND sequencer = {quoted(row['sequencer'])})"
            for row in rows
            if row["id"] and row["file"] in settled and is_dead(row, files)
        )
    )


def _any_of(conditions: Iterable[str]) -> Iterator[str]:
    """SQL conditions joined by OR, a bounded number at a time."""
    pending = list(conditions)
    for start in range(0, len(pending), ROWS_A_COMMIT):
        yield " OR ".join(pending[start : start + ROWS_A_COMMIT])
