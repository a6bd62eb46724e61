"""Learn confidence from a collection's own labels.

Labelled items ask for their neighbors as if they were queries. A match is more probably right if the matches
around it agree on a category, so the features are a category's share of the neighborhood, its lead over the
next one, and the score; a logistic regression turns them into a probability. Isotonic regression on the
score alone, the usual way, cannot see that: on photos of clothing outside the index, the mean squared
error of its probabilities (Brier 1950) is twice as large (`python -m bench.confidence`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence.logistic import fit_logistic
from lookalike.confidence.model import ConfidenceModel, features_of
from lookalike.search_space import SAME_SCORE, EncoderScore
from lookalike.types import Metric, Vector, Vectors, score_from_distance

Search = Callable[[Vector, int], tuple[NDArray[np.int64], NDArray[np.float32]]]

NEIGHBORS = 50
NEAREST = 20
"""Matches per query that measure the error and the thresholds."""
SMALLEST_LABELLED = 50
SMALLEST_HELD_OUT = 20
SAMPLE = 1_500
ERROR_BINS = 15
TEMPERATURE = 0.4
"""Temperature of the votes, relative to the median difference between the first and the last score."""
MOST_COPIES = 10
COPIES_OF_CATEGORY = 0.3
"""Nearest matches that an item as a query does without, as a share of the median category, 10 at most. They
may show the same object, or come from the same session: no match of a stranger is that near. Without this,
confidence in groceries promised 0.07 to 0.12 too much; a share, because small categories have no more."""
LIKELY_PRECISION = 0.95
MAYBE_PRECISION = 0.5
HELD_OUT_SPLITS = frozenset({"validation", "valid", "val", "dev", "test", "testing"})
"""Values of the attribute `split` that mark an item as held out."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighborhood:
    """The nearest labelled matches of one query whose category is known.

    Attributes:
        scores: (k,) float64, best first.
        categories: (k,) int64, category numbers of the same matches.
        own: the query's category number.
        encoder_score: of the query, if the collection has a search space.
    """

    scores: NDArray[np.float64]
    categories: NDArray[np.int64]
    own: int
    encoder_score: EncoderScore = SAME_SCORE

    def without(self, nearest: int) -> Neighborhood:
        """The same without its nearest matches, and no more than vote."""
        kept = slice(nearest, nearest + NEIGHBORS)
        return replace(self, scores=self.scores[kept], categories=self.categories[kept])


def fit_confidence(
    vectors: Vectors,
    labels: Sequence[str | None],
    search: Search,
    metric: Metric,
    *,
    encoder_scores: NDArray[np.float64] | None = None,
    held_out: NDArray[np.bool_] | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
) -> tuple[ConfidenceModel | None, str | None]:
    """Learn from a sample of labelled items, each with its nearest labelled neighbors.

    Args:
        vectors: shape (n, d), float32; row i carries `labels[i]`.
        labels: category of each row, or None where it has none.
        search: (query, limit) → rows and distances. Use the collection's own index, so that confidence
            describes the matches that users see.
        metric: turns distances into scores.
        encoder_scores: (n, 3): the numbers of the `EncoderScore` of each row as a query, if the collection
            has a search space.
        held_out: shape (n,): items that represent future queries. If enough of them have a label, only they
            are queries, and only the others are the gallery: an encoder recognises its training images too
            well. Otherwise all items ask, and do without their nearest matches.
        sample: maximum number of queries.
        seed: of the sample.

    Returns:
        The model, or None and why there is none: fewer than 50 labelled items, fewer than 2 categories, or no
        neighbors of the same category.
    """
    labelled = np.array([i for i, label in enumerate(labels) if label is not None], dtype=np.int64)
    names, numbers = np.unique([str(labels[i]) for i in labelled], return_inverse=True)
    if len(labelled) < SMALLEST_LABELLED:
        return None, (
            f"only {len(labelled)} of {len(labels)} items have a category; "
            f"confidence needs {SMALLEST_LABELLED}"
        )
    if len(names) < 2:
        return None, "all items have the same category; confidence needs two or more"
    codes = np.full(len(labels), -1, np.int64)
    codes[labelled] = numbers
    asking, answering = _query_and_gallery(labelled, held_out, len(labels))
    leave_out = 0 if not answering.all() else near_copies(numbers)
    # The item itself, those left out, and as many more as do not answer.
    limit = 1 + leave_out + NEIGHBORS
    limit = limit * len(labels) // max(1, int((answering & (codes >= 0)).sum()))
    queries = np.random.default_rng(seed).permutation(asking)[:sample]
    found = []
    for row in queries.tolist():
        rows, distances = search(vectors[row], min(limit, len(labels)))
        kept = (rows != row) & answering[rows] & (codes[rows] >= 0)
        scores = np.array([score_from_distance(d, metric) for d in distances[kept].tolist()], np.float64)
        own = SAME_SCORE if encoder_scores is None else EncoderScore(*encoder_scores[row].tolist())
        found.append(Neighborhood(scores, codes[rows[kept]], int(codes[row]), own))
    model = learn(found, len(names), leave_out=leave_out)
    return model, None if model else "similar items do not have the same category more often than others"


def near_copies(categories: NDArray[np.int64]) -> int:
    """How many of its nearest matches an item as a query does without; (n,) category numbers."""
    sizes = np.bincount(categories)
    return min(MOST_COPIES, int(COPIES_OF_CATEGORY * np.median(sizes[sizes > 0])))


def learn(found: Sequence[Neighborhood], categories: int, *, leave_out: int = 0) -> ConfidenceModel | None:
    """The model that fits the neighborhoods of some queries.

    Args:
        found: of each query, at least `leave_out` + 1 matches, or it counts for nothing.
        categories: how many the collection has, at least 2.
        leave_out: nearest matches of each query to do without.

    Returns:
        None without both right and wrong categories among the neighbors.
    """
    # Before anything is left out: queries of others have these differences.
    gaps = [one.scores[0] - one.scores[: NEIGHBORS + 1][-1] for one in found if len(one.scores) > 1]
    temperature = max(TEMPERATURE * float(np.median(gaps)), 1e-6) if gaps else 1e-6
    kept = [one.without(leave_out) for one in found if len(one.scores) > leave_out]
    # Two-fold cross-fitting below wants halves that are alike.
    kept = [kept[row] for row in np.random.default_rng(0).permutation(len(kept))]
    model = _fitted(kept, categories, temperature)
    if model is None:
        return None
    chances = [np.empty(0)] * len(kept)
    for first in (0, 1):
        other = _fitted(kept[first::2], categories, temperature) or model
        chances[1 - first :: 2] = [nearest_confidences(other, one) for one in kept[1 - first :: 2]]
    said = np.concatenate(chances)
    truth = np.concatenate([one.categories[:NEAREST] == one.own for one in kept])
    likely = _least(said, truth, LIKELY_PRECISION)
    below = np.ones(len(said), bool) if likely is None else said < likely
    return replace(
        model,
        likely=likely,
        maybe=_least(said[below], truth[below], MAYBE_PRECISION),
        pairs=len(truth),
        expected_calibration_error=round(expected_calibration_error(said, truth), 6),
    )


def _fitted(found: Sequence[Neighborhood], categories: int, temperature: float) -> ConfidenceModel | None:
    """The regression over each query and each category among its neighbors."""
    rows = [_by_category(one, categories, temperature) for one in found]
    features = np.concatenate([np.empty((0, 3)), *(features for features, _ in rows)])
    right = np.concatenate([np.empty(0, bool), *(right for _, right in rows)])
    if not right.any():
        return None
    if right.all():  # nothing else is ever near: a category without a vote stands for a wrong one
        wrong = [(one.scores[0], *features_of(0.0, 1.0, categories)) for one in found]
        features, right = np.concatenate([features, wrong]), np.append(right, np.zeros(len(found), bool))
    intercept, weights = fit_logistic(features, right)
    best = np.array([one.encoder_score.of(float(one.scores[0])) for one in found])
    median = float(np.median(best))
    return ConfidenceModel(
        intercept=intercept,
        score_weight=float(weights[0]),
        share_weight=float(weights[1]),
        lead_weight=float(weights[2]),
        temperature=temperature,
        neighbors=NEIGHBORS,
        categories=categories,
        surest=1 - 1 / (len(found) + 2),  # Laplace's rule of succession
        usual_best=median,
        # The 5 % quantile of a normal distribution is 1.645 standard deviations below its median.
        usual_spread=max((median - float(np.quantile(best, 0.05))) / 1.645, 1e-6),
        likely=None,
        maybe=None,
        pairs=0,
        expected_calibration_error=0.0,
    )


def _by_category(
    one: Neighborhood, categories: int, temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Features (c, 3) of each category in a neighborhood, and whether it is the query's."""
    numbers, first, inverse = np.unique(one.categories, return_index=True, return_inverse=True)
    votes = np.exp((one.scores - one.scores[0]) / temperature)
    shares = np.bincount(inverse, votes) / votes.sum()
    rows = [
        (one.scores[at], *features_of(float(share), _largest_other(shares, number), categories))
        for number, (at, share) in enumerate(zip(first, shares, strict=True))
    ]
    return np.array(rows, np.float64), numbers == one.own


def _largest_other(shares: NDArray[np.float64], number: int) -> float:
    return float(np.delete(shares, number).max(initial=0.0))


def nearest_confidences(model: ConfidenceModel, one: Neighborhood) -> NDArray[np.float64]:
    """What the model says of the twenty nearest matches of a query."""
    categories = [str(number) for number in one.categories]
    judgement = model.judge(one.scores.tolist(), categories, one.encoder_score)
    nearest = zip(one.scores[:NEAREST].tolist(), one.categories[:NEAREST], strict=True)
    return np.array([judgement.confidence(str(number), score) for score, number in nearest], np.float64)


def _least(chances: NDArray[np.float64], right: NDArray[np.bool_], precision: float) -> float | None:
    """The least confidence from which on the share of right pairs is at least `precision`."""
    order = np.argsort(-chances, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= precision)
    # A few lucky pairs prove nothing.
    if not len(enough) or enough[-1] + 1 < SMALLEST_HELD_OUT:
        return None
    return float(chances[order[enough[-1]]])


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
