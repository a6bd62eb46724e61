"""Pairs of items that may be duplicates: similar vectors, or similar perceptual hashes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.images.copies import HASH_BYTES, MAX_DISTANCE, close_pairs
from lookalike.search.find_nearest import Request, find
from lookalike.search.view import View

MIN_SCORE = 0.95
"""Cosine similarity from which images are called similar. Chosen for the default encoder on 3,409 clothing
and 3,017 grocery photos: other clothing photos never reach it; other grocery photos do in 1 of 38,000 pairs,
all of them of the same shelf."""
CANDIDATE_SCORE = 0.7
"""Cosine similarity from which two images are compared pixel by pixel. Copies that were cropped by 10 % on
each side, or got a wide border, are often below 0.8 (default encoder, photos)."""
CANDIDATE_BITS = 60
"""Hash distance from which the same holds, in collections of at most `ALL_PAIRS` items. Hashes of unrelated
images differ in 128 ± 8 bits."""
ALL_PAIRS = 4_000
"""Items up to which all cosine similarities are computed: 16 million products of vectors, about a second."""
BLOCK_ROWS = 512
"""Items whose neighbors are compared at once; the encoder's vectors of all of them are in memory."""
BLOCK_PAIRS = 4_096
NEIGHBOURS = 8
"""Neighbors per image. Larger groups are found too, because their members are linked transitively."""

Link = Literal["vector", "hash"]
LINKS: tuple[Link, ...] = get_args(Link)


@dataclass(slots=True)
class Candidate:
    """Two rows that may be duplicates.

    Attributes:
        score: cosine similarity of the encoder's vectors, whatever space the collection is searched in.
        bits: in which their perceptual hashes differ, of 256; None if one of them is featureless.
        links: what links them: a vector score of `MIN_SCORE` (or the given one), a hash distance.
    """

    score: float
    bits: int | None
    links: tuple[Link, ...] = ()


Candidates = dict[tuple[int, int], Candidate]
"""By row numbers of the view, the smaller first."""


def find_candidates(
    view: View,
    *,
    min_score: float | None = MIN_SCORE,
    max_hash_distance: int | None = MAX_DISTANCE,
    floor: float | None = CANDIDATE_SCORE,
    progress: Callable[[int], None] | None = None,
) -> Candidates:
    """Pairs of items with similar vectors or similar perceptual hashes.

    Costs one search per item, plus `close_pairs` for the hashes; never all pairs. Of items with equal hashes,
    each is paired with the first only.

    Args:
        view: one state of a collection (`Searcher.state().view`).
        min_score: cosine similarity that links two items; None ignores vectors.
        max_hash_distance: differing hash bits that still link two items, 0 to 31. PDQ's authors recommend 31
            (https://github.com/facebook/ThreatExchange/tree/main/pdq). None ignores hashes.
        floor: pairs from this cosine similarity on, or of hashes that are a little farther apart, are
            returned too, without a link; None: none of those.
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
    found = {} if max_hash_distance is None else _by_hash(view, max_hash_distance, near=floor is not None)
    if min_score is not None:
        least = min_score if floor is None else min(floor, min_score)
        for pairs in _near(view, progress):
            for pair, near in describe(view, pairs, least=least).items():
                candidate = found.setdefault(pair, near)
                if candidate.score >= min_score and "vector" not in candidate.links:
                    candidate.links = ("vector", *candidate.links)
    return found


def _by_hash(view: View, max_distance: int, *, near: bool) -> Candidates:
    """Pairs that their hashes link; with `near`, also each image with the nearest by hash, without a link."""
    hashes = _Hashes(view)
    found = describe(view, hashes.close(max_distance))
    for candidate in found.values():
        candidate.links = ("hash",)
    return describe(view, hashes.near()) | found if near else found


def describe(view: View, pairs: Iterable[tuple[int, int]], *, least: float = -math.inf) -> Candidates:
    """The score and the hash distance of the pairs with a score of at least `least`; without a link."""
    found: Candidates = {}
    ordered = sorted({_ordered(*pair) for pair in pairs})
    for start in range(0, len(ordered), BLOCK_PAIRS):
        block = ordered[start : start + BLOCK_PAIRS]
        rows = sorted({row for pair in block for row in pair})
        vectors = dict(zip(rows, view.encoder_vectors(np.array(rows, np.int64)), strict=True))
        for left, right in block:
            score = cosine(vectors[left], vectors[right])
            if score >= least:
                hashes = (view.item_at(row).perceptual_hash for row in (left, right))
                found[left, right] = Candidate(round(score, 6), bits_between(*hashes))
    return found


def bits_between(one: bytes | None, other: bytes | None) -> int | None:
    """Differing bits of two perceptual hashes; None unless there are both."""
    if one is None or other is None or len(one) != HASH_BYTES or len(other) != HASH_BYTES:
        return None
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Cosine for every metric, so that a threshold means the same for all collections."""
    lengths = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
    return float(left @ right) / lengths if lengths else 0.0


class _Hashes:
    """Perceptual hashes of a view's items. Featureless images have none."""

    def __init__(self, view: View) -> None:
        found, rows = [], []
        for row, value in _perceptual_hashes(view):
            if value is not None and len(value) == HASH_BYTES:
                found.append(value)
                rows.append(row)
        self._table = np.frombuffer(b"".join(found), np.uint8).reshape(-1, HASH_BYTES)
        self._rows = np.array(rows, np.int64)

    def close(self, max_distance: int) -> Iterable[tuple[int, int]]:
        for left, right, _ in close_pairs(self._table, max_distance):
            yield from zip(self._rows[left].tolist(), self._rows[right].tolist(), strict=True)

    def near(self) -> Iterable[tuple[int, int]]:
        """Each row with its `NEIGHBOURS` nearest by hash, up to `CANDIDATE_BITS`; none of many rows."""
        if not 1 < len(self._table) <= ALL_PAIRS:
            return
        words = self._table.view(np.uint64)
        for row in range(len(words)):
            bits = np.bitwise_count(words ^ words[row]).sum(axis=1, dtype=np.int64)
            close = np.flatnonzero(bits <= CANDIDATE_BITS)
            nearest = close[np.argsort(bits[close], kind="stable")][: NEIGHBOURS + 1]
            for other in nearest[nearest != row].tolist():
                yield int(self._rows[row]), int(self._rows[other])


def _ordered(left: int, right: int) -> tuple[int, int]:
    return (left, right) if left < right else (right, left)


def _perceptual_hashes(view: View) -> Iterable[tuple[int, bytes | None]]:
    stored = view.snapshot.items["perceptual_hash"] if view.snapshot else None
    for row in np.flatnonzero(view.alive).tolist():
        if row < view.base and stored is not None:
            yield row, stored[row].as_py()
        else:
            yield row, view.item_at(row).perceptual_hash


def _near(view: View, progress: Callable[[int], None] | None) -> Iterable[list[tuple[int, int]]]:
    """Each row with each of its nearest rows, in blocks."""
    rows = np.flatnonzero(view.alive)
    if len(rows) <= ALL_PAIRS:
        yield from _near_exactly(view, rows, progress)
        return
    request = Request(NEIGHBOURS + 1, view.alive)
    for start in range(0, len(rows), BLOCK_ROWS):
        pairs = []
        for row in rows[start : start + BLOCK_ROWS].tolist():
            found = find(view, view.vector_at(row), request).rows.tolist()
            pairs += [(row, other) for other in found if other != row]
            if progress:
                progress(1)
        yield pairs


def _near_exactly(
    view: View, rows: NDArray[np.int64], progress: Callable[[int], None] | None
) -> Iterable[list[tuple[int, int]]]:
    """The same by one matrix product, which takes less time than a search for each of a few thousand rows."""
    if len(rows) < 2:
        return
    vectors = view.encoder_vectors(rows)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    for start in range(0, len(rows), BLOCK_ROWS):
        scores = vectors[start : start + BLOCK_ROWS] @ vectors.T
        own = np.arange(len(scores))
        scores[own, start + own] = -1
        count = min(NEIGHBOURS, len(rows) - 1)
        nearest = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        yield [
            (int(rows[start + at]), int(rows[other]))
            for at, others in zip(own.tolist(), nearest, strict=True)
            for other in others.tolist()
        ]
        if progress:
            progress(len(scores))
