"""Merges the cells of several metadata files that describe one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lookalike.catalogue.rows import DAMAGE_FIX, ItemRow, MetadataFile
from lookalike.integrity import load_json, reading
from lookalike.layout import normalise
from lookalike.types import Attribute, Item


@dataclass(slots=True)
class Cells:
    """The metadata of one image, from all files."""

    product_id: str | None = None
    title: str | None = None
    category: str | None = None
    attributes: dict[str, Attribute] = field(default_factory=dict)


NOTHING = Cells()


def merge_metadata(rows: Any, files: Mapping[str, MetadataFile]) -> dict[str, Cells]:
    """Cells by id. Column by column the file with the later sequencer wins; an empty cell wins nothing.

    Args:
        rows: Arrow rows of the metadata table; heads among them are ignored.
        files: its heads. A row that is older than its file's head was dropped by the file, and is dead.
    """
    merged: dict[str, Cells] = {}
    # The file name settles equal sequencers, so that the result does not depend on the table's order.
    for row in rows.sort_by([("sequencer", "ascending"), ("file", "ascending")]).to_pylist():
        if not row["id"] or is_dead(row, files):
            continue
        # Earlier versions kept ids as the file spells them.
        cells = merged.setdefault(normalise(row["id"]), Cells())
        cells.product_id = row["product_id"] or cells.product_id
        cells.title = row["title"] or cells.title
        cells.category = row["category"] or cells.category
        with reading(f"the metadata of {row['id']!r}", DAMAGE_FIX):
            cells.attributes.update(load_json(row["attributes"]))
    return merged


def is_dead(row: Mapping[str, Any], files: Mapping[str, MetadataFile]) -> bool:
    """Whether a later version of the row's file dropped the row."""
    head = files.get(row["file"])
    return head is None or bool(row["sequencer"] < head.sequencer)


def item_of(row: ItemRow, cells: Cells) -> Item:
    """An item: the facts of its image with its metadata. Its category is its folder unless a file sets
    one."""
    folder, slash, _ = row.id.partition("/")
    return Item(
        row.id,
        category=cells.category or (folder if slash else None),
        product_id=cells.product_id,
        title=cells.title,
        attributes=cells.attributes,
        width=row.width,
        height=row.height,
        perceptual_hash=row.perceptual_hash,
        ingested_at=row.ingested_at,
    )
