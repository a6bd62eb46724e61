"""The best rows of a view for one vector: index, delta, filter, groups and paging in one.

The index answers first; rows that may not be in the answer are dropped, and it is asked for more until
enough are left. When that would cost more than looking at every allowed row, every allowed row is looked
at. Either way as many rows come back as were asked for, whenever so many exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lookalike.search.view import Distances, Groups, Mask, Rows, View
from lookalike.types import Vector

EXACT_FLOATS = 4_000_000
"""Allowed rows × dimension up to which looking at every row costs a few milliseconds at most."""
EXACT_FACTOR = 256
"""Looking at every allowed row is preferred once the index would be asked for one in so many of them: it
reads rows in order, while an index visits many times the rows that it returns, all over its file. On
100,000 × 256, annoy is the faster one up to some 256 results (`python -m bench.search`)."""
GATHER_COST = 3
"""Looking at chosen rows costs so much more than at as many in a row."""
FETCH_GROWTH = 4
SPARE = 0.5
"""Over-fetch beyond what the share of allowed rows predicts; the smaller the share, the more of it."""
GROUP_SPARE = 3
"""Rows fetched for one group at first."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a view, best first, with their distances; equal distances are in the order of ids."""

    rows: Rows
    distances: Distances


@dataclass(frozen=True, slots=True)
class Request:
    """What to find.

    Attributes:
        needed: how many of the best rows.
        allowed: rows that may be in the answer; bool, one per row of the view.
        groups: only the best row of each may be in the answer.
        passes: whether a distance is good enough; once False for a distance, False for all larger ones.
    """

    needed: int
    allowed: Mask
    groups: Groups | None = None
    passes: Callable[[float], bool] | None = None


def find(view: View, vector: Vector, request: Request) -> Found:
    """The best allowed rows of `view` for `vector`, shape (d,) float32."""
    needed = min(request.needed, int(np.count_nonzero(request.allowed)))
    if request.groups is not None:
        needed = min(needed, request.groups.count)
    fresh = view.nearest(
        vector, view.base + np.flatnonzero(request.allowed[view.base :]), needed, request.groups
    )
    for rows, distances, horizon in _rounds(view, vector, request, needed):
        merged = np.concatenate([distances, fresh[1]])
        # Beyond the farthest row that the index returned, there may be nearer ones that it did not.
        within = merged <= horizon
        found = _ranked(view, np.concatenate([rows, fresh[0]])[within], merged[within], request.groups)
        best = Found(found.rows[:needed], found.distances[:needed])
        passing = _passing(best.distances, request.passes)
        enough = passing == needed or passing < len(best.rows)
        if enough or horizon == np.inf or (request.passes and not request.passes(horizon)):
            break
        if request.groups is not None:
            needed = min(needed, np.unique(request.groups.numbers[request.allowed]).size)
    return Found(best.rows[:passing], best.distances[:passing])


def _rounds(
    view: View, vector: Vector, request: Request, needed: int
) -> Iterator[tuple[Rows, Distances, float]]:
    """Ever more candidates of the snapshot: allowed rows, distances, and how far they are complete."""
    allowed = request.allowed[: view.base]
    count = int(np.count_nonzero(allowed))
    index = view.snapshot.index if view.snapshot else None
    if index is not None and count * vector.size > EXACT_FLOATS:
        # No more than needed: an index takes longer the more is asked of it.
        share = count / view.base
        fetch = math.ceil(needed / share * (1 + SPARE * (1 - share)))
        if request.groups is not None:
            # Where most groups are asked for, some are sure to have no row near by.
            fetch = view.base if 2 * needed > request.groups.count else fetch * GROUP_SPARE
        while fetch * EXACT_FACTOR < min(view.base, count * GATHER_COST):
            rows, distances = index.search(vector, fetch)
            kept = allowed[rows]
            yield rows[kept], distances[kept], float(distances[-1]) if rows.size else -np.inf
            fetch *= FETCH_GROWTH
    stored = np.flatnonzero(allowed)
    yield *view.nearest(vector, stored, needed, request.groups), np.inf


def _ranked(view: View, rows: Rows, distances: Distances, groups: Groups | None) -> Found:
    """`rows` by distance, then id; only the best of each group."""
    order = np.lexsort((rows, distances))
    rows, distances = rows[order], distances[order]
    fresh = rows >= view.base
    # Within the snapshot and within the delta, rows are in the order of ids; ties across are not.
    for at in np.flatnonzero((distances[1:] == distances[:-1]) & (fresh[1:] != fresh[:-1])):
        start = int(np.searchsorted(distances, distances[at], "left"))
        stop = int(np.searchsorted(distances, distances[at], "right"))
        rows[start:stop] = sorted(rows[start:stop].tolist(), key=view.id_at)
    if groups is not None:
        _, firsts = np.unique(groups.numbers[rows], return_index=True)
        firsts.sort()
        rows, distances = rows[firsts], distances[firsts]
    return Found(rows, distances)


def _passing(distances: Distances, passes: Callable[[float], bool] | None) -> int:
    """How many of the ascending `distances` are good enough."""
    low, high = 0, len(distances)
    if passes is None:
        return high
    while low < high:
        middle = (low + high) // 2
        if passes(float(distances[middle])):
            low = middle + 1
        else:
            high = middle
    return low
