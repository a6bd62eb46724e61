"""Find the best rows of a view where their confidence decides, without computing that of every row.

Confidence depends on a row's category and, within one, never rises with distance. So the rows of each
category of the neighborhood are searched apart, the most promising category first, and the search ends when
no other can contribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence import Judgement
from lookalike.search.find_nearest import Finder, Found, Request
from lookalike.search.view import Mask, View
from lookalike.types import RankBy, score_from_distance

NO_CATEGORY = -1.0
"""Rank of rows without a category: after all others."""
HIGHEST_SCORE = 1.0


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows whose confidence depends on distance alone.

    Attributes:
        category: of all of them; the empty text stands for every category without a vote; None: no category.
        mask: the allowed rows.
        bound: the highest confidence that any of them can have.
    """

    category: str | None
    mask: Mask
    bound: float


def find_by_confidence(
    finder: Finder, request: Request, judgement: Judgement, *, least: float, rank_by: RankBy
) -> Found:
    """The best allowed rows whose confidence is at least `least`.

    Args:
        finder: of the query.
        request: what to find.
        judgement: of the query.
        least: least confidence; 0 allows every row.
        rank_by: what puts a row first. With "confidence", rows of equal confidence are ordered by distance,
            and rows without a category come last, if `least` is 0.
    """
    rows = np.empty(0, np.int64)
    distances, ranks = np.empty(0, np.float32), np.empty(0)
    for part in _parts(finder.view, request.allowed, judgement):
        if part.bound < least and not (part.category is None and least <= 0):
            continue
        if rank_by == "confidence" and _rank_of_last(rows, ranks, request) > part.bound:
            break
        found = finder.find(
            replace(request, allowed=part.mask, passes=_passes(finder, part, judgement, least))
        )
        rows = np.concatenate([rows, found.rows])
        distances = np.concatenate([distances, found.distances])
        ranks = np.concatenate([ranks, _ranks(finder, part, judgement, found)])
    first = -ranks if rank_by == "confidence" else np.zeros(len(rows))
    order = np.lexsort((rows, distances, first))
    if request.groups is not None:
        numbers = request.groups.numbers[rows[order]]
        order = order[np.sort(np.unique(numbers, return_index=True)[1])]
    order = order[: request.needed]
    return Found(rows[order], distances[order])


def _parts(view: View, allowed: Mask, judgement: Judgement) -> Iterator[_Part]:
    """The allowed rows by category, those with the highest possible confidence first."""
    numbers = view.groups("category").numbers
    with_vote = np.zeros(view.size, bool)
    parts = []
    for category in judgement.shares:
        same = view.of_category(category)
        with_vote |= same
        bound = judgement.confidence(category, HIGHEST_SCORE)
        parts.append(_Part(category, allowed & same, bound or 0.0))
    bound = judgement.confidence("", HIGHEST_SCORE)
    parts.append(_Part("", allowed & (numbers >= 0) & ~with_vote, bound or 0.0))
    parts.sort(key=lambda part: -part.bound)
    parts.append(_Part(None, allowed & (numbers < 0), NO_CATEGORY))
    yield from (part for part in parts if part.mask.any())


def _passes(
    finder: Finder, part: _Part, judgement: Judgement, least: float
) -> Callable[[float], bool] | None:
    if part.category is None or least <= 0:
        return None
    return lambda distance: _confidence(finder, part, judgement, distance) >= least


def _ranks(finder: Finder, part: _Part, judgement: Judgement, found: Found) -> NDArray[np.float64]:
    if part.category is None:
        return np.full(len(found.rows), NO_CATEGORY)
    confidences = [_confidence(finder, part, judgement, distance) for distance in found.distances.tolist()]
    return np.array(confidences, np.float64)


def _confidence(finder: Finder, part: _Part, judgement: Judgement, distance: float) -> float:
    return judgement.confidence(part.category, score_from_distance(distance, finder.metric)) or 0.0


def _rank_of_last(rows: NDArray[np.int64], ranks: NDArray[np.float64], request: Request) -> float:
    """The rank of the last of the rows or groups that are needed; −inf: there are not enough yet."""
    if request.groups is not None and len(rows):
        numbers = request.groups.numbers[rows]
        order = np.lexsort((-ranks, numbers))
        ranks = ranks[order[np.unique(numbers[order], return_index=True)[1]]]
    if len(ranks) < request.needed:
        return -np.inf
    return float(np.partition(-ranks, request.needed - 1)[request.needed - 1] * -1)
