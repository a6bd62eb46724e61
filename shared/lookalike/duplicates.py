"""Find groups of duplicate images, each with the member to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.images.copies import HASH_BYTES, MAX_DISTANCE, close_pairs, hamming
from lookalike.images.union import Union
from lookalike.search.find import Request, find
from lookalike.search.view import View
from lookalike.types import Item

MIN_SCORE = 0.95
"""Minimum cosine similarity of duplicates, chosen for the default encoder on 3,409 clothing and 3,017 grocery
photos. It links 93–98 % of copies that are 25 % brighter, 98–100 % of those with a label on them, and 52–72 %
of those cropped by 3 % on each side. Other clothing photos never reach it; other grocery photos do in 1 of
38,000 pairs, all of them of the same shelf. Smaller and recompressed copies differ more; hashes find all of
those."""
NEIGHBOURS = 8
"""Neighbors per image. Larger groups are found too, because their members are linked transitively."""

Reason = Literal["vector", "hash"]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DuplicateMember:
    """One image of a group.

    Attributes:
        id: of the item.
        product_id: of the item.
        width: in pixels.
        height: in pixels.
        score: cosine similarity to the member to keep.
        hash_distance: differing bits of the perceptual hashes, of 256; None if one of the images is
            featureless and has no hash.
        reasons: what linked it to another member.
    """

    id: str
    product_id: str | None
    width: int
    height: int
    score: float
    hash_distance: int | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Two or more duplicates. Keep the first: it has the most pixels, or was added first."""

    members: tuple[DuplicateMember, ...]

    @property
    def keep(self) -> str:
        """Id of the member to keep."""
        return self.members[0].id


def find_duplicates(
    view: View,
    *,
    min_score: float | None = MIN_SCORE,
    max_hash_distance: int | None = MAX_DISTANCE,
    progress: Callable[[int], None] | None = None,
) -> list[DuplicateGroup]:
    """Groups of items with similar vectors or similar perceptual hashes, largest first.

    Costs one search per item, plus `perceptual.close_pairs` for the hashes; never all pairs.

    Args:
        view: one state of a collection (`Searcher.state().view`).
        min_score: minimum cosine similarity; None ignores vectors.
        max_hash_distance: maximum number of differing hash bits, 0 to 31. PDQ's authors recommend 31
            (https://github.com/facebook/ThreatExchange/tree/main/pdq). None ignores hashes.
        progress: called with the number of items processed since the last call.

    Raises:
        InvalidInput: a limit is out of range, or both are None.
    """
    if min_score is None and max_hash_distance is None:
        raise InvalidInput(
            "no criterion for duplicates", fix="Set a minimum score or a maximum hash distance."
        )
    if min_score is not None and not 0 < min_score <= 1:
        raise InvalidInput("min_score is out of range", got=min_score, expected="more than 0, at most 1")
    links = _Links(view.size)
    hashes, hashed = _hashes(view)
    if max_hash_distance is not None:
        for left, right, _ in close_pairs(hashes, max_hash_distance):
            links.add("hash", hashed[left], hashed[right])
    if min_score is not None:
        for row, near in _near(view, min_score, progress):
            links.add("vector", np.full(len(near), row), near)
    places = np.full(view.size, -1)
    places[hashed] = np.arange(len(hashed))
    groups = [_group(view, rows, hashes, places, links) for rows in links.union.groups()]
    return sorted(groups, key=lambda group: (-len(group.members), group.keep))


class _Links:
    """Rows that belong together, and why."""

    def __init__(self, size: int) -> None:
        self.union = Union(size)
        self._by: dict[Reason, Flags] = {"vector": np.zeros(size, bool), "hash": np.zeros(size, bool)}

    def add(self, reason: Reason, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
        self.union.join(left.tolist(), right.tolist())
        self._by[reason][left] = True
        self._by[reason][right] = True

    def reasons(self, row: int) -> tuple[Reason, ...]:
        return tuple(reason for reason, flags in self._by.items() if flags[row])


def _hashes(view: View) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Perceptual hashes, (n, 32) uint8, and their rows. Featureless images have none."""
    found, rows = [], []
    for row, value in _perceptual_hashes(view):
        if value is not None and len(value) == HASH_BYTES:
            found.append(value)
            rows.append(row)
    table = np.frombuffer(b"".join(found), np.uint8).reshape(-1, HASH_BYTES)
    return table, np.array(rows, np.int64)


def _perceptual_hashes(view: View) -> Iterable[tuple[int, bytes | None]]:
    stored = view.snapshot.items["perceptual_hash"] if view.snapshot else None
    for row in np.flatnonzero(view.alive).tolist():
        if row < view.base and stored is not None:
            yield row, stored[row].as_py()
        else:
            yield row, view.item_at(row).perceptual_hash


def _near(
    view: View, min_score: float, progress: Callable[[int], None] | None
) -> Iterable[tuple[int, NDArray[np.int64]]]:
    """Each row with its nearest rows above the minimum cosine similarity."""
    request = Request(NEIGHBOURS + 1, view.alive)
    for row in np.flatnonzero(view.alive).tolist():
        vector = view.vector_at(row)
        rows = find(view, vector, request).rows
        rows = rows[rows != row]
        scores = np.array([_cosine(vector, view.vector_at(other)) for other in rows.tolist()])
        if progress:
            progress(1)
        if len(rows):
            yield row, rows[scores >= min_score]


def _cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Cosine for every metric, so that a threshold means the same for all collections."""
    lengths = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
    return float(left @ right) / lengths if lengths else 0.0


def _group(
    view: View,
    rows: NDArray[np.int64],
    hashes: NDArray[np.uint8],
    places: NDArray[np.int64],
    links: _Links,
) -> DuplicateGroup:
    members = sorted(((view.item_at(row), row) for row in rows.tolist()), key=lambda pair: _worth(pair[0]))
    best = members[0][1]
    described = []
    for item, row in members:
        pair = (places[best], places[row])
        distance = int(hamming(hashes[[pair[0]]], hashes[[pair[1]]])[0]) if min(pair) >= 0 else None
        described.append(
            DuplicateMember(
                id=item.id,
                product_id=item.product_id,
                width=item.width,
                height=item.height,
                score=round(_cosine(view.vector_at(best), view.vector_at(row)), 6),
                hash_distance=distance,
                reasons=links.reasons(row),
            )
        )
    return DuplicateGroup(tuple(described))


def _worth(item: Item) -> tuple[int, str, str]:
    return -item.width * item.height, item.ingested_at or "", item.id
