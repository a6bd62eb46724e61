"""Measure how well confidence is calibrated, on queries that it was not learned from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence import (
    ERROR_BINS,
    NEAREST,
    NEIGHBORS,
    Neighborhood,
    expected_calibration_error,
    learn,
    nearest_confidences,
)
from lookalike.evaluation.queries_and_gallery import QueriesAndGallery
from lookalike.evaluation.report import Reliability, ReliabilityBin
from lookalike.evaluation.retrieval import best

FOLDS = 10


def judge_confidence(sides: QueriesAndGallery, *, seed: int = 0) -> Reliability | None:
    """Measure calibration by ten-fold cross-validation over queries.

    A snapshot with held-out items learns confidence in the same way: from queries outside the gallery.

    Returns:
        None if there are too few labels; see `lookalike.confidence.learn`.
    """
    found = neighborhoods(sides)
    fold = np.random.default_rng(seed).permutation(len(found)) % FOLDS
    said: list[NDArray[np.float64]] = [np.empty(0)] * len(found)
    for number in np.unique(fold):
        model = learn([found[row] for row in np.flatnonzero(fold != number)], len(sides.classes))
        if model is None:
            return None
        for row in np.flatnonzero(fold == number):
            said[row] = nearest_confidences(model, found[row])
    confidence = np.concatenate([np.empty(0), *said])
    if not len(confidence):
        return None
    same = np.concatenate([one.categories[:NEAREST] == one.own for one in found])
    counts = np.array([len(one) for one in said])
    first = (np.cumsum(counts) - counts)[counts > 0]
    return Reliability(
        expected_calibration_error=round(expected_calibration_error(confidence, same), 6),
        nearest_error=round(expected_calibration_error(confidence[first], same[first]), 6),
        separation=_separation(confidence, same),
        pairs=len(confidence),
        bins=_bins(confidence, same),
    )


def neighborhoods(sides: QueriesAndGallery) -> list[Neighborhood]:
    """Each query with its nearest gallery images; without those of categories that the gallery lacks."""
    found = []
    known = np.unique(sides.gallery_classes)
    for block, similar in sides.blocks():
        columns, scores = best(similar, min(NEIGHBORS, similar.shape[1]))
        for row, near, score in zip(block.tolist(), columns, scores, strict=True):
            compared = np.isfinite(score)
            own = int(sides.query_classes[row])
            if compared.any() and own in known:
                found.append(
                    Neighborhood(
                        score[compared].astype(np.float64), sides.gallery_classes[near[compared]], own
                    )
                )
    return found


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
