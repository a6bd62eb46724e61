"""Measure how well confidence is calibrated, on queries that it was not learned from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence import ERROR_BINS, NEIGHBOURS, Pairs, expected_calibration_error, learn
from lookalike.evaluation.queries_and_gallery import QueriesAndGallery, Rows
from lookalike.evaluation.report import Reliability, ReliabilityBin
from lookalike.evaluation.retrieval import best

RANDOM_PAIRS = 1_000
FOLDS = 10


def judge_confidence(sides: QueriesAndGallery, *, seed: int = 0) -> Reliability | None:
    """Measure calibration by ten-fold cross-validation over queries.

    A snapshot with held-out items learns confidence in the same way: from queries outside the gallery.

    Returns:
        None if there are too few labels; see `lookalike.confidence.learn`.
    """
    pairs = nearest_pairs(sides)
    chance = _unrelated(sides, np.random.default_rng(seed))
    fold = (np.random.default_rng(seed).permutation(len(sides.queries)) % FOLDS)[pairs.queries]
    confidence = np.empty(len(pairs.scores))
    for number in np.unique(fold):
        others = fold != number
        learned = learn(Pairs(pairs.scores[others], pairs.same[others], pairs.queries[others]), chance)
        if learned is None:
            return None
        confidence[~others] = learned.many(pairs.scores[~others])
    if not len(confidence):
        return None
    first = np.append(True, np.diff(pairs.queries) != 0)
    return Reliability(
        expected_calibration_error=round(expected_calibration_error(confidence, pairs.same), 6),
        nearest_error=round(expected_calibration_error(confidence[first], pairs.same[first]), 6),
        separation=_separation(confidence, pairs.same),
        pairs=len(pairs.scores),
        bins=_bins(confidence, pairs.same),
    )


def nearest_pairs(sides: QueriesAndGallery, rows: Rows | None = None) -> Pairs:
    """Each query with its ten nearest gallery images, best first."""
    scores, same, queries = [np.empty(0)], [np.empty(0, bool)], [np.empty(0, np.int64)]
    for block, similar in sides.blocks(rows):
        columns, found = best(similar, min(NEIGHBOURS, similar.shape[1]))
        compared = np.isfinite(found)
        right = sides.gallery_classes[columns] == sides.query_classes[block][:, None]
        scores.append(found[compared].astype(np.float64))
        same.append(right[compared])
        queries.append(np.broadcast_to(block[:, None], found.shape)[compared])
    return Pairs(np.concatenate(scores), np.concatenate(same), np.concatenate(queries))


def _unrelated(sides: QueriesAndGallery, rng: np.random.Generator) -> tuple[float, float]:
    """Median score of random query/gallery pairs, and how often their classes match."""
    left = rng.integers(0, len(sides.queries), RANDOM_PAIRS)
    right = rng.integers(0, len(sides.gallery), RANDOM_PAIRS)
    scores = np.einsum("ij,ij->i", sides.queries[left], sides.gallery[right])
    same = sides.query_classes[left] == sides.gallery_classes[right]
    return float(np.median(scores)), (int(same.sum()) + 1) / (RANDOM_PAIRS + 2)


def _separation(confidence: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (Mann & Whitney 1947)."""
    right, wrong = int(same.sum()), int((~same).sum())
    if not right or not wrong:
        return float("nan")
    _, place, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[same].sum() - right * (right + 1) / 2) / (right * wrong))


def _bins(confidence: NDArray[np.float64], same: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    place = np.minimum((confidence * ERROR_BINS).astype(np.int64), ERROR_BINS - 1)
    return tuple(
        ReliabilityBin(
            low=number / ERROR_BINS,
            high=(number + 1) / ERROR_BINS,
            pairs=int((place == number).sum()),
            confidence=float(confidence[place == number].mean()),
            right=float(same[place == number].mean()),
        )
        for number in np.unique(place).tolist()
    )
