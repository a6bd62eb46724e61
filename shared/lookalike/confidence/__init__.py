"""Confidence: the probability that a match is of the query's category, from a collection's own labels."""

from lookalike.confidence.fit import (
    ERROR_BINS,
    HELD_OUT_SPLITS,
    NEAREST,
    NEIGHBORS,
    Neighborhood,
    expected_calibration_error,
    fit_confidence,
    learn,
    nearest_confidences,
)
from lookalike.confidence.model import CategoryEstimate, ConfidenceModel, Judgement

__all__ = [
    "ERROR_BINS",
    "HELD_OUT_SPLITS",
    "NEAREST",
    "NEIGHBORS",
    "CategoryEstimate",
    "ConfidenceModel",
    "Judgement",
    "Neighborhood",
    "expected_calibration_error",
    "fit_confidence",
    "learn",
    "nearest_confidences",
]
