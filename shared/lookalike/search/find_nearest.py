"""Find the best rows of a view for one vector: index, delta, filter, groups and paging.

The index returns candidates. Rows that the filter excludes are dropped, and the index is queried for more
until enough are left. If scanning all allowed rows is cheaper, they are scanned instead. Either way, the
requested number of rows is returned whenever that many exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lookalike.search.view import Distances, Groups, Mask, Rows, View
from lookalike.types import Metric, Vector

EXACT_FLOATS = 4_000_000
"""Allowed rows × dimension up to which a full scan takes a few milliseconds at most."""
EXACT_FACTOR = 256
"""Scan if the index would have to return more than one in this many allowed rows. A scan reads rows in
order, while an index visits many times the rows that it returns, all over its file. On 100,000 × 256, annoy
is faster up to about 256 results (`python -m bench.search`)."""
GATHER_COST = 3
"""Cost of reading scattered rows, relative to as many consecutive rows."""
FETCH_GROWTH = 4
SPARE = 0.5
"""Over-fetch factor beyond what the share of allowed rows predicts; larger for smaller shares."""
GROUP_SPARE = 3
"""Rows fetched per group at first."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a view with their distances, best first. Equal distances are ordered by id."""

    rows: Rows
    distances: Distances


@dataclass(frozen=True, slots=True)
class Request:
    """What to find.

    Attributes:
        needed: number of rows.
        allowed: rows that may be matches; bool, one per row of the view.
        groups: return only the best row of each.
        passes: whether a distance is good enough; monotone: False for a distance means False for larger ones.
    """

    needed: int
    allowed: Mask
    groups: Groups | None = None
    passes: Callable[[float], bool] | None = None


class Finder(Protocol):
    """Finds the best rows of a view for one query."""

    @property
    def view(self) -> View:
        """That is searched."""

    @property
    def metric(self) -> Metric:
        """Which turns its distances into scores."""

    def find(self, request: Request) -> Found:
        """The best allowed rows."""


@dataclass(frozen=True, slots=True)
class ByVector:
    """Finds what is near a vector, (d,) float32, as the view compares it."""

    view: View
    vector: Vector

    @property
    def metric(self) -> Metric:
        """That of the view."""
        return self.view.metric

    def find(self, request: Request) -> Found:
        """The nearest allowed rows."""
        return find(self.view, self.vector, request)


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
        # Rows farther than the last row of the index may be incomplete.
        within = merged <= horizon
        found = ranked(view, np.concatenate([rows, fresh[0]])[within], merged[within], request.groups)
        best = Found(found.rows[:needed], found.distances[:needed])
        good = passing(best.distances, request.passes)
        enough = good == needed or good < len(best.rows)
        if enough or horizon == np.inf or (request.passes and not request.passes(horizon)):
            break
        if request.groups is not None:
            needed = min(needed, np.unique(request.groups.numbers[request.allowed]).size)
    return Found(best.rows[:good], best.distances[:good])


def _rounds(
    view: View, vector: Vector, request: Request, needed: int
) -> Iterator[tuple[Rows, Distances, float]]:
    """Growing candidate lists from the snapshot: allowed rows, distances, and the distance up to which
    they are complete."""
    allowed = request.allowed[: view.base]
    count = int(np.count_nonzero(allowed))
    index = view.snapshot.index if view.snapshot else None
    if index is not None and count * vector.size > EXACT_FLOATS:
        # No more than needed: the cost of an index search grows with its limit.
        share = count / view.base
        fetch = math.ceil(needed / share * (1 + SPARE * (1 - share)))
        if request.groups is not None:
            # If most groups are requested, some have no row near the query.
            fetch = view.base if 2 * needed > request.groups.count else fetch * GROUP_SPARE
        while fetch * EXACT_FACTOR < min(view.base, count * GATHER_COST):
            rows, distances = index.search(vector, fetch)
            kept = allowed[rows]
            yield rows[kept], distances[kept], float(distances[-1]) if rows.size else -np.inf
            fetch *= FETCH_GROWTH
    stored = np.flatnonzero(allowed)
    yield *view.nearest(vector, stored, needed, request.groups), np.inf


def ranked(view: View, rows: Rows, distances: Distances, groups: Groups | None) -> Found:
    """`rows` ordered by distance, then id; only the best of each group."""
    order = np.lexsort((rows, distances))
    rows, distances = rows[order], distances[order]
    fresh = rows >= view.base
    # Rows are ordered by id within the snapshot and within the delta, but not across both.
    for at in np.flatnonzero((distances[1:] == distances[:-1]) & (fresh[1:] != fresh[:-1])):
        start = int(np.searchsorted(distances, distances[at], "left"))
        stop = int(np.searchsorted(distances, distances[at], "right"))
        rows[start:stop] = sorted(rows[start:stop].tolist(), key=view.id_at)
    if groups is not None:
        _, firsts = np.unique(groups.numbers[rows], return_index=True)
        firsts.sort()
        rows, distances = rows[firsts], distances[firsts]
    return Found(rows, distances)


def passing(distances: Distances, passes: Callable[[float], bool] | None) -> int:
    """How many of the ascending `distances` pass."""
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
