"""One-to-one assignment: the pairs with the largest sum of scores in which no product appears twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from lookalike.matching.candidates import Pairs

LARGEST_BLOCK = 4_000_000
"""Cells of a component's matrix; a larger component is assigned greedily, best pairs first."""


def one_to_one(pairs: Pairs, scores: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Which pairs to keep.

    Each connected component of the pairs with at least `least` is a few products, and is solved exactly
    (Crouse 2016, "On implementing 2D rectangular assignment algorithms", as in SciPy).

    Args:
        pairs: (p, 2) rows of both sides.
        scores: (p,), any unit in which sums make sense: log-odds.
        least: pairs below are never kept.
    """
    kept = np.zeros(len(pairs), bool)
    used = np.flatnonzero(scores >= least)
    if not used.size:
        return kept
    left, right = pairs[used].T
    right = right + left.max() + 1
    size = int(right.max()) + 1
    graph = sparse.coo_matrix((np.ones(len(used)), (left, right)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][left]
    order = np.argsort(component, kind="stable")
    for part in np.split(used[order], np.flatnonzero(np.diff(component[order])) + 1):
        kept[_solve(pairs, scores, part, least)] = True
    return kept


def _solve(
    pairs: Pairs, scores: NDArray[np.float64], part: NDArray[np.int64], least: float
) -> NDArray[np.int64]:
    if len(part) == 1:
        return part
    left, rows = np.unique(pairs[part, 0], return_inverse=True)
    right, columns = np.unique(pairs[part, 1], return_inverse=True)
    if len(left) * len(right) > LARGEST_BLOCK:
        return _greedy(pairs, scores, part)
    gains = np.zeros((len(left), len(right)))
    number = np.full((len(left), len(right)), -1, np.int64)
    gains[rows, columns] = scores[part] - least + 1e-9
    number[rows, columns] = part
    chosen: NDArray[np.int64] = number[linear_sum_assignment(gains, maximize=True)]
    return np.asarray(chosen[chosen >= 0], np.int64)


def _greedy(pairs: Pairs, scores: NDArray[np.float64], part: NDArray[np.int64]) -> NDArray[np.int64]:
    taken: tuple[set[int], set[int]] = set(), set()
    chosen = []
    for pair in part[np.argsort(-scores[part], kind="stable")].tolist():
        one, other = pairs[pair].tolist()
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            chosen.append(pair)
    return np.array(chosen, np.int64)
