"""Confidence: the probability that a match has the query's class, learned from a collection's own labels.

A score measures how close two vectors are, which means different things for different encoders and
collections. Isotonic regression (pool adjacent violators; Barlow, Bartholomew, Bremner & Brunk 1972) turns
it into a probability and assumes only that a higher score is no worse (Zadrozny & Elkan 2002).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import Incompatible
from lookalike.isotonic import fit_isotonic
from lookalike.types import Metric, Vector, Vectors, score_from_distance

Search = Callable[[Vector, int], tuple[NDArray[np.int64], NDArray[np.float32]]]

NEIGHBOURS = 10
SMALLEST_LABELLED = 50
SMALLEST_HELD_OUT = 20
SAMPLE = 1_000
RANDOM_PAIRS = 1_000
ERROR_BINS = 15
FORMAT = 1
HELD_OUT_SPLITS = frozenset({"validation", "valid", "val", "dev", "test", "testing"})
"""Values of the attribute `split` that mark an item as held out."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Query/match pairs, grouped by query.

    Attributes:
        scores: (p,) float64.
        same: (p,): whether both have the same class.
        queries: (p,) int64: the number of the query.
    """

    scores: NDArray[np.float64]
    same: NDArray[np.bool_]
    queries: NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing, piecewise linear function from score to probability.

    Attributes:
        scores: ascending knots; below the first and above the last the function is constant.
        probabilities: value at each knot, non-decreasing, inside (0, 1).
        pairs: number of (query, match) pairs that it was learned from.
        expected_calibration_error: mean distance of confidence from truth on pairs outside the fit, in 15
            bins (Guo et al. 2017, §2), in [0, 1].
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    pairs: int
    expected_calibration_error: float

    def __call__(self, score: float) -> float:
        """The probability that a match with `score` has the query's class."""
        right = bisect_right(self.scores, score)
        if right == 0:
            return self.probabilities[0]
        if right == len(self.scores):
            return self.probabilities[-1]
        x0, x1 = self.scores[right - 1], self.scores[right]
        y0, y1 = self.probabilities[right - 1], self.probabilities[right]
        # Bounded by y1, because rounding of the slope may exceed it.
        return min(y1, y0 + (y1 - y0) * ((score - x0) / (x1 - x0)))

    def many(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """The probability of each of `scores`, in the same shape."""
        return np.asarray(np.interp(scores, self.scores, self.probabilities), np.float64)

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
        """Inverse of `to_json`. Raises Incompatible for another format version."""
        if data.get("format") != FORMAT:
            raise Incompatible(
                "the calibration has another format version",
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
    held_out: NDArray[np.bool_] | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Calibration | None:
    """Learn confidence from the ten nearest labelled neighbours of a sample of labelled items.

    Args:
        vectors: shape (n, d), float32; row i carries `labels[i]`.
        labels: class of each row, or None where it has none.
        search: (query, limit) → rows and distances. Use the collection's own index, so that confidence
            describes the matches that users see.
        metric: turns distances into scores.
        held_out: shape (n,): items that represent future queries. If enough of them have a label, only they
            are queries, and only the others are the gallery. An encoder recognises its training images too
            well, and photos of one session match each other: without this, confidence would be too high
            (by 0.21 on groceries from other shops).
        sample: maximum number of queries.
        seed: of the sample, and of the halves that measure the error.

    Returns:
        None if there are too few labels: fewer than 50 labelled items or 50 pairs, fewer than 2 classes, or
        no pair of the same class.
    """
    labelled = np.array([i for i, label in enumerate(labels) if label is not None], dtype=np.int64)
    if len(labelled) < SMALLEST_LABELLED or len({labels[i] for i in labelled}) < 2:
        return None
    asking, answering = _query_and_gallery(labelled, held_out, len(labels))
    rng = np.random.default_rng(seed)
    queries = rng.permutation(asking)[:sample]
    limit = NEIGHBOURS + 1
    if not answering.all():  # twice what leaves ten on average
        limit = 2 * limit * len(labels) // int(answering.sum())
    found = [_pairs_of(int(row), vectors, labels, search, limit, answering, metric) for row in queries]
    pairs = Pairs(
        np.concatenate([scores for scores, _ in found]),
        np.concatenate([same for _, same in found]),
        np.repeat(np.arange(len(found)), [len(scores) for scores, _ in found]),
    )
    return learn(pairs, _random_pairs(vectors, labels, labelled, metric, rng))


def learn(pairs: Pairs, unrelated: tuple[float, float]) -> Calibration | None:
    """The calibration that fits `pairs`.

    Args:
        pairs: queries outside the gallery, with their nearest neighbors.
        unrelated: median score of random pairs, and how often their classes match.

    Returns:
        None with fewer than 50 pairs, or without one of the same class.
    """
    if len(pairs.scores) < SMALLEST_LABELLED or not pairs.same.any():
        return None
    # Split by query, not by pair: pairs of one query are correlated.
    second_half = np.unique(pairs.queries, return_inverse=True)[1] % 2 == 1
    knots, values = fit_isotonic(pairs.scores, pairs.same)
    score, chance = unrelated
    if score < knots[0] and chance < values[0]:
        # Below the lowest neighbor score, confidence falls to chance instead of staying constant.
        knots, values = np.append(score, knots), np.append(chance, values)
    return Calibration(
        tuple(knots.tolist()),
        tuple(values.tolist()),
        pairs=len(pairs.scores),
        expected_calibration_error=_cross_fitted_error(pairs.scores, pairs.same, second_half),
    )


def _query_and_gallery(
    labelled: NDArray[np.int64], held_out: NDArray[np.bool_] | None, count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Query rows, and whether each of `count` rows is in the gallery."""
    if held_out is not None:
        asking = labelled[held_out[labelled]]
        if len(asking) >= SMALLEST_HELD_OUT and len(labelled) - len(asking) >= SMALLEST_LABELLED:
            return asking, ~held_out
    return labelled, np.ones(count, bool)


def expected_calibration_error(confidence: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Mean over pairs of |mean confidence − share of correct ones| in their bin; 15 equal bins.

    Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", equation 3.
    """
    bins = np.minimum((confidence * ERROR_BINS).astype(np.int64), ERROR_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - same, minlength=ERROR_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _pairs_of(
    row: int,
    vectors: Vectors,
    labels: Sequence[str | None],
    search: Search,
    limit: int,
    answering: NDArray[np.bool_],
    metric: Metric,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of the row's nearest labelled neighbors, and whether their labels match."""
    rows, distances = search(vectors[row], limit)
    others = [
        (score_from_distance(distance, metric), labels[found] == labels[row])
        for found, distance in zip(rows.tolist(), distances.tolist(), strict=True)
        if found != row and answering[found] and labels[found] is not None
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
    """Median score of random pairs of labelled items, and how often their classes match."""
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
    """Calibration error by two-fold cross-fitting."""
    confidence = np.empty(len(scores))
    for held_out in (second_half, ~second_half):
        knots, values = fit_isotonic(scores[~held_out], same[~held_out])
        confidence[held_out] = np.interp(scores[held_out], knots, values)
    return round(expected_calibration_error(confidence, same), 6)
