"""The nearest neighbors of every item, one item at a time, in constant memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO

import numpy as np

from lookalike.confidence import Judgement
from lookalike.errors import InvalidInput
from lookalike.search.find_nearest import ByVector, Request
from lookalike.search.loader import State
from lookalike.search.neighborhood import judge, nearest
from lookalike.search.view import View
from lookalike.types import score_from_distance

MAX_K = 1_000
REMEMBERED = 4_096

Label = tuple[str, str | None, str | None]
"""An item's id, its product id and its category."""


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A neighbor of an item; numbers as in `Match`."""

    id: str
    product_id: str | None
    score: float
    distance: float
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Neighbors:
    """An item and its nearest neighbors, best first; fewer than K only if no more exist."""

    id: str
    product_id: str | None
    neighbors: tuple[Neighbor, ...]


def iter_neighbors(state: State, k: int, *, offset: int = 0, limit: int | None = None) -> Iterator[Neighbors]:
    """Every item of one state of a collection, in row order, with its `k` nearest neighbors.

    Args:
        state: `Searcher.state()`; later publications do not affect the result.
        k: 1 to 1,000.
        offset: number of items to skip.
        limit: maximum number of items; None for all.

    Raises:
        InvalidInput: `k`, `offset` or `limit` is out of range.
    """
    if not 1 <= k <= MAX_K:
        raise InvalidInput("k is out of range", got=k, expected=f"1 to {MAX_K}")
    if offset < 0 or (limit is not None and limit < 0):
        raise InvalidInput("a page is out of range", got=f"offset {offset}, limit {limit}")
    rows = np.flatnonzero(state.view.alive)[offset:][:limit]
    # The same neighbors recur; the cache size does not depend on the collection.
    label = lru_cache(REMEMBERED)(partial(_label, state.view))
    return (_neighbors_of(state, int(row), k, label) for row in rows)


def write_neighbors(
    path: Path, collection: str, state: State, k: int, *, progress: Callable[[int], None] | None = None
) -> int:
    """Write the neighbors of all items to one JSON file, entry by entry. Returns the number of items.

    The write is atomic: a temporary file in the same folder is renamed at the end.
    `{"collection", "encoder", "snapshot", "metric", "k", "items": [{"id", "product_id", "neighbors": [{"id",
    "product_id", "score", "distance", "confidence"}]}], "count"}`; one item per line.

    Raises:
        InvalidInput: `k` is out of range.
        OSError: the file cannot be written.
    """
    entries = iter_neighbors(state, k)
    head = {
        "collection": collection,
        "encoder": state.encoder.id,
        "snapshot": state.snapshot.manifest.id if state.snapshot else None,
        "metric": state.view.metric,
        "k": k,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"{path.name}.part")
    try:
        with staged.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head)[:-1] + ', "items": [')
            count = _write_entries(file, entries, progress)
            file.write(f'\n], "count": {count}}}\n')
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
    return count


def _write_entries(
    file: IO[str], entries: Iterator[Neighbors], progress: Callable[[int], None] | None
) -> int:
    count = 0
    for entry in entries:
        file.write(",\n" if count else "\n")
        file.write(json.dumps(asdict(entry), ensure_ascii=False))
        count += 1
        if progress:
            progress(1)
    return count


def _label(view: View, row: int) -> Label:
    item = view.item_at(row)
    return item.id, item.product_id, item.category


def _neighbors_of(state: State, row: int, k: int, label: Callable[[int], Label]) -> Neighbors:
    view, model = state.view, state.confidence
    finder = ByVector(view, view.vector_at(row))
    # One more than requested, because the item itself is usually the nearest.
    if model is None:
        found, judgement = finder.find(Request(k + 1, view.alive)), None
    else:
        found = nearest(finder, model, [row], k + 1)
        judgement = judge(finder, found, model, [row])
    near = [
        pair for pair in zip(found.rows.tolist(), found.distances.tolist(), strict=True) if pair[0] != row
    ]
    return Neighbors(
        *label(row)[:2],
        tuple(_neighbor(view, label(other), distance, judgement) for other, distance in near[:k]),
    )


def _neighbor(view: View, label: Label, distance: float, judgement: Judgement | None) -> Neighbor:
    item_id, product_id, category = label
    score = score_from_distance(distance, view.metric)
    confidence = judgement.confidence(category, score) if judgement else None
    return Neighbor(item_id, product_id, score, distance, confidence)
