"""Logistic regression whose weights may be required not to be negative."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RIDGE = 1.0
"""Penalty on squared weights of standardised features: keeps them finite where classes separate."""
STEPS = 50
CONVERGED = 1e-9

Features = NDArray[np.float64]


def fit_logistic(features: Features, outcomes: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
    """Intercept and weights, (k,), all ≥ 0, of P(outcome) = σ(intercept + features · weights).

    Iteratively reweighted least squares (Hastie, Tibshirani & Friedman 2009, "The Elements of Statistical
    Learning", §4.4.1) on standardised features. A feature whose weight would be negative is left out and the
    rest is fitted again, so that a higher feature never lowers the probability.

    Args:
        features: shape (n, k).
        outcomes: shape (n,), with both values among them.
    """
    center, scale = features.mean(axis=0), features.std(axis=0)
    used = np.flatnonzero(scale > 0)
    while True:
        standard = (features[:, used] - center[used]) / scale[used]
        intercept, weights = _solve(standard, outcomes.astype(np.float64))
        if not (weights < 0).any():
            break
        used = np.delete(used, int(weights.argmin()))
    full = np.zeros(features.shape[1])
    full[used] = weights / scale[used]
    return float(intercept - center @ full), full


def _solve(features: Features, outcomes: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    design = np.column_stack([np.ones(len(features)), features])
    penalty = np.full(design.shape[1], RIDGE)
    penalty[0] = 0
    weights = np.zeros(design.shape[1])
    rate = float(np.clip(outcomes.mean(), 1e-6, 1 - 1e-6))
    weights[0] = np.log(rate / (1 - rate))
    loss = _loss(design, outcomes, weights, penalty)
    for _ in range(STEPS):
        chances = sigmoid(design @ weights)
        slope = design.T @ (chances - outcomes) + penalty * weights
        curvature = (design * (chances * (1 - chances))[:, None]).T @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, slope)
        before = loss
        while True:  # Newton's step may overshoot
            loss = _loss(design, outcomes, weights - step, penalty)
            if loss <= before or np.abs(step).max() < CONVERGED:
                break
            step = step / 2
        weights = weights - step
        if np.abs(step).max() < CONVERGED:
            break
    return float(weights[0]), weights[1:]


def _loss(
    design: Features,
    outcomes: NDArray[np.float64],
    weights: NDArray[np.float64],
    penalty: NDArray[np.float64],
) -> float:
    logits = design @ weights
    return float((np.logaddexp(0, logits) - outcomes * logits).sum() + (penalty * weights**2).sum() / 2)


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(−x)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits)), np.float64)
