"""Confidence: the probability that a match is of the query's class, learned from a collection's own labels.

A score says how near two vectors are, which means different things for different encoders and
collections. Isotonic regression (pool adjacent violators; Barlow, Bartholomew, Bremner & Brunk 1972) turns
it into a probability without assuming anything but that a higher score is no worse (Zadrozny & Elkan 2002).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import Incompatible
from lookalike.types import Metric, Vector, Vectors, score_from_distance

Search = Callable[[Vector, int], tuple[NDArray[np.int64], NDArray[np.float32]]]

NEIGHBOURS = 10
SMALLEST_LABELLED = 50
SAMPLE = 1_000
RANDOM_PAIRS = 1_000
ERROR_BINS = 15
FORMAT = 1


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing, piecewise linear function from score to probability.

    Attributes:
        scores: ascending knots; below the first and above the last the function is constant.
        probabilities: value at each knot, non-decreasing, inside (0, 1).
        pairs: how many (query, match) pairs it was learned from.
        expected_calibration_error: mean distance of confidence from truth on pairs that the fit did not
            see, in 15 bins (Guo et al. 2017, §2), in [0, 1].
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    pairs: int
    expected_calibration_error: float

    def __call__(self, score: float) -> float:
        """The probability that a match with `score` is of the query's class."""
        right = bisect_right(self.scores, score)
        if right == 0:
            return self.probabilities[0]
        if right == len(self.scores):
            return self.probabilities[-1]
        x0, x1 = self.scores[right - 1], self.scores[right]
        y0, y1 = self.probabilities[right - 1], self.probabilities[right]
        # Bounded by y1, which the rounding of the slope may pass.
        return min(y1, y0 + (y1 - y0) * ((score - x0) / (x1 - x0)))

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {
            "format": FORMAT,
            "scores": list(self.scores),
            "probabilities": list(self.probabilities),
            "pairs": self.pairs,
            "expected_calibration_error": self.expected_calibration_error,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Inverse of `to_json`. Raises Incompatible for another format."""
        if data.get("format") != FORMAT:
            raise Incompatible(
                "the calibration was written in another format",
                got=data.get("format"),
                expected=FORMAT,
                fix="Build a new snapshot.",
            )
        return cls(
            tuple(data["scores"]),
            tuple(data["probabilities"]),
            int(data["pairs"]),
            float(data["expected_calibration_error"]),
        )


def calibrate(
    vectors: Vectors,
    labels: Sequence[str | None],
    search: Search,
    metric: Metric,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Calibration | None:
    """Learn confidence from the ten nearest labelled neighbours of a sample of labelled items.

    Args:
        vectors: shape (n, d), float32; row i carries `labels[i]`.
        labels: class of each row, or None where it has none.
        search: (query, limit) → rows and distances; the collection's own index, so that confidence is
            learned from what users will be shown.
        metric: turns distances into scores.
        sample: at most so many items are queries.
        seed: of their choice, and of the halves that measure the error.

    Returns:
        None where the labels cannot say: fewer than 50 labelled items or 50 pairs, fewer than 2 classes, or
        no pair of the same class.
    """
    labelled = np.array([i for i, label in enumerate(labels) if label is not None], dtype=np.int64)
    if len(labelled) < SMALLEST_LABELLED or len({labels[i] for i in labelled}) < 2:
        return None
    rng = np.random.default_rng(seed)
    queries = rng.permutation(labelled)[:sample]
    found = (_pairs_of(int(row), vectors, labels, search, metric) for row in queries)
    pairs = [(scores, same) for scores, same in found if len(scores)]
    if sum(len(scores) for scores, _ in pairs) < SMALLEST_LABELLED:
        return None
    scores = np.concatenate([s for s, _ in pairs])
    same = np.concatenate([y for _, y in pairs])
    if not same.any():
        return None
    # Halves are cut between queries, not between pairs: pairs of one query resemble each other.
    second_half = np.repeat(np.arange(len(pairs)) % 2 == 1, [len(s) for s, _ in pairs])
    knots, values = fit_isotonic(scores, same)
    unrelated, chance = _random_pairs(vectors, labels, labelled, metric, rng)
    if unrelated < knots[0] and chance < values[0]:
        # Below all that neighbours show, confidence falls to chance instead of staying where they end.
        knots, values = np.append(unrelated, knots), np.append(chance, values)
    return Calibration(
        tuple(knots.tolist()),
        tuple(values.tolist()),
        pairs=len(scores),
        expected_calibration_error=_cross_fitted_error(scores, same, second_half),
    )


def fit_isotonic(
    scores: NDArray[np.float64], same: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Knots and values of the non-decreasing probability that fits the pairs best, drawn away from 0 and 1.

    Isotonic fits are wild at their ends, where a run of equal outcomes stands alone. Two remedies: pairs
    enter in groups of neighbouring scores, √n groups of about √n; and every level of the fit gets one more
    pair at the overall rate (Laplace's rule, with the rate in place of one half), because a few matches,
    all right, are no proof of certainty. Fitting once more restores the order where that broke it.

    Args:
        scores: shape (n,), n ≥ 1, any order.
        same: shape (n,): whether the pair is of one class.

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
    """First position of each of √n groups of the sorted `scores`; equal scores stay together."""
    groups = max(1, int(np.sqrt(len(scores))))
    wanted = np.linspace(0, len(scores), groups, endpoint=False).astype(np.int64)
    return np.unique(np.searchsorted(scores, scores[wanted]))


def _merged(
    starts: NDArray[np.int64], pairs: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and numbers of pairs of levels that pool `sizes` neighbouring entries each."""
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
        Value of each level, non-decreasing, and how many neighbouring entries it pools.
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


def expected_calibration_error(confidence: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Mean over pairs of |mean confidence − share of right ones| of their bin, 15 bins of equal width.

    Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", equation 3.
    """
    bins = np.minimum((confidence * ERROR_BINS).astype(np.int64), ERROR_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - same, minlength=ERROR_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _pairs_of(
    row: int, vectors: Vectors, labels: Sequence[str | None], search: Search, metric: Metric
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of the row's nearest labelled others, and whether their label is its own."""
    rows, distances = search(vectors[row], NEIGHBOURS + 1)
    others = [
        (score_from_distance(distance, metric), labels[found] == labels[row])
        for found, distance in zip(rows.tolist(), distances.tolist(), strict=True)
        if found != row and labels[found] is not None
    ]
    pairs = others[:NEIGHBOURS]
    return np.array([s for s, _ in pairs], np.float64), np.array([y for _, y in pairs], bool)


def _random_pairs(
    vectors: Vectors,
    labels: Sequence[str | None],
    labelled: NDArray[np.int64],
    metric: Metric,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Median score of two labelled items drawn at random, and how often they are of one class."""
    first, second = (rng.choice(labelled, RANDOM_PAIRS) for _ in range(2))
    first, second = first[first != second], second[first != second]
    left, right = vectors[first], vectors[second]
    if metric == "cosine":
        distances = 1 - np.einsum("ij,ij->i", left, right)
    else:
        distances = np.linalg.norm(left - right, ord=2 if metric == "l2" else 1, axis=1)
    same = sum(labels[a] == labels[b] for a, b in zip(first, second, strict=True))
    return score_from_distance(float(np.median(distances)), metric), (same + 1) / (len(first) + 2)


def _cross_fitted_error(
    scores: NDArray[np.float64], same: NDArray[np.bool_], second_half: NDArray[np.bool_]
) -> float:
    """Error on each half of a fit on the other."""
    confidence = np.empty(len(scores))
    for held_out in (second_half, ~second_half):
        knots, values = fit_isotonic(scores[~held_out], same[~held_out])
        confidence[held_out] = np.interp(scores[held_out], knots, values)
    return round(expected_calibration_error(confidence, same), 6)
