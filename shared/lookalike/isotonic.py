"""Isotonic regression: the best non-decreasing fit (Barlow, Bartholomew, Bremner & Brunk 1972)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fit_isotonic(
    scores: NDArray[np.float64], same: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Knots and values of the best non-decreasing probability, shrunk away from 0 and 1.

    Isotonic fits are unstable at their ends, where runs of equal outcomes are short. Two remedies: pairs are
    pooled in √n groups of neighboring scores; and every level of the fit gets one more pair at the overall
    rate (Laplace's rule, with the rate in place of one half), because a few correct matches do not prove
    certainty. A second fit restores the order if that broke it.

    Args:
        scores: shape (n,), n ≥ 1, any order.
        same: shape (n,): whether the classes of the pair match.

    Returns:
        Ascending scores and non-decreasing probabilities: both ends of every level.
    """
    order = np.argsort(scores, kind="stable")
    scores, same = scores[order], same[order]
    starts = _group_starts(scores)
    pairs = np.diff(np.append(starts, len(scores)))
    means, sizes = pool_adjacent_violators(np.add.reduceat(same.astype(np.float64), starts) / pairs, pairs)
    # The rate itself has one success and one failure added, so that it is never 0 or 1.
    rate = (same.sum() + 1) / (len(same) + 2)
    starts, pairs = _merged(starts, pairs, sizes)
    means, sizes = pool_adjacent_violators((means * pairs + rate) / (pairs + 1), pairs + 1)
    starts, pairs = _merged(starts, pairs, sizes)
    knots = np.stack([scores[starts], scores[starts + pairs - 1]], axis=1).ravel()
    distinct = np.append(True, np.diff(knots) > 0)
    return knots[distinct], np.repeat(means, 2)[distinct]


def _group_starts(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Start of each of √n groups of the sorted `scores`. Equal scores stay together."""
    groups = max(1, int(np.sqrt(len(scores))))
    wanted = np.linspace(0, len(scores), groups, endpoint=False).astype(np.int64)
    return np.unique(np.searchsorted(scores, scores[wanted]))


def _merged(
    starts: NDArray[np.int64], pairs: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and pair counts of levels that each pool `sizes` neighboring entries."""
    firsts = np.cumsum(sizes) - sizes
    return starts[firsts], np.add.reduceat(pairs, firsts)


def pool_adjacent_violators(
    values: NDArray[np.float64], weights: NDArray[np.float64] | NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Weighted least-squares fit of `values` by a non-decreasing sequence (Barlow et al. 1972).

    Args:
        values: shape (n,).
        weights: shape (n,), positive.

    Returns:
        Value of each level, non-decreasing, and the number of entries that it pools.
    """
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, size = value, weight, 1
        while means and means[-1] >= mean:
            mean = (means[-1] * masses[-1] + mean * mass) / (masses[-1] + mass)
            mass += masses.pop()
            size += sizes.pop()
            means.pop()
        means.append(mean)
        masses.append(mass)
        sizes.append(size)
    return np.array(means), np.array(sizes, dtype=np.int64)
