"""The delta: catalogue rows newer than the snapshot, updated incrementally."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lookalike.types import Item, Vectors

if TYPE_CHECKING:
    from lookalike.catalogue import CatalogueVersion, Delta


@dataclass(frozen=True, slots=True)
class DeltaRows:
    """Everything that changed between a snapshot's catalogue version and `version`.

    Attributes:
        version: catalogue version up to which it was read.
        removed: ids of removed items.
        items: new or changed items by id; has every id of `ids`.
        ids: items whose vector is missing or outdated in the snapshot; sorted.
        vectors: shape (len(ids), d), float32, in that order, as the snapshot compares them.
    """

    version: CatalogueVersion
    removed: frozenset[str] = frozenset()
    items: dict[str, Item] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def advanced(self, changes: Delta) -> DeltaRows:
        """This delta with later changes: `changes` is the catalogue's delta since `version`."""
        if changes.is_empty:
            return DeltaRows(changes.version, self.removed, self.items, self.ids, self.vectors)
        changed = set(changes.vector_ids)
        items = {id_: item for id_, item in self.items.items() if id_ not in changes.removed} | changes.items
        kept = [row for row, id_ in enumerate(self.ids) if id_ not in changed and id_ not in changes.removed]
        ids = [self.ids[row] for row in kept] + changes.vector_ids
        # One matrix, so that a search is one multiplication; sorted, so that ties are ordered by id.
        vectors = np.concatenate([self.vectors[kept], changes.vectors]) if kept else changes.vectors
        order = sorted(range(len(ids)), key=ids.__getitem__)
        return DeltaRows(
            version=changes.version,
            removed=(self.removed | changes.removed) - changed,
            items=items,
            ids=tuple(ids[row] for row in order),
            vectors=np.ascontiguousarray(vectors[order], np.float32),
        )
