"""Losses against their formulas, written out one pair and one triplet at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from lookalike.training.fit import losses

LABELS = np.array([0, 0, 1, 1, 2, 2, 2, 3])
CLASSES = 4


@pytest.fixture
def embeddings() -> NDArray[np.float32]:
    return np.random.default_rng(3).standard_normal((len(LABELS), 6)).astype(np.float32)


@pytest.fixture
def weights() -> NDArray[np.float32]:
    return np.random.default_rng(4).standard_normal((6, CLASSES)).astype(np.float32)


def units(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float64)


def cross_entropy(logits: NDArray[np.float64]) -> float:
    lines = [
        math.log(sum(math.exp(v) for v in row)) - row[own] for row, own in zip(logits, LABELS, strict=True)
    ]
    return float(np.mean(lines))


def value(name: str, embeddings: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    function = losses.LOSSES[name]  # type: ignore[index]
    return float(function(tf.constant(embeddings), tf.constant(LABELS), tf.constant(weights)))


def test_softmax(embeddings: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
    assert value("softmax", embeddings, weights) == pytest.approx(
        cross_entropy(embeddings @ weights), rel=1e-4
    )


@pytest.mark.parametrize("name", ["cosface", "arcface"])
def test_cosine_softmax_with_margin(
    name: str, embeddings: NDArray[np.float32], weights: NDArray[np.float32]
) -> None:
    cosines = units(embeddings) @ units(weights.T).T
    for row, own in enumerate(LABELS):
        if name == "cosface":
            cosines[row, own] -= losses.COSFACE_MARGIN
        else:
            cosines[row, own] = math.cos(math.acos(cosines[row, own]) + losses.ARCFACE_MARGIN)
    assert value(name, embeddings, weights) == pytest.approx(cross_entropy(losses.SCALE * cosines), rel=1e-3)


def test_arcface_does_not_turn_back() -> None:
    """The more opposite an embedding is to its class, the more it costs, also beyond π − m."""
    weights = tf.eye(3)[:, :2]
    costs = [
        float(
            losses.arcface(
                tf.constant([[-math.cos(t), 0.0, math.sin(t)]], tf.float32), tf.constant([0]), weights
            )
        )
        for t in (0.0, 0.1, 0.25, 0.5, 1.0)
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]


def test_contrastive(embeddings: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
    embeddings = embeddings + 1.0  # in one half of space, so that some pairs are nearer than the margin
    rows = units(embeddings)
    same, different = [], []
    for a in range(len(rows)):
        for b in range(len(rows)):
            distance = float(np.linalg.norm(rows[a] - rows[b]))
            if a != b and LABELS[a] == LABELS[b]:
                same.append(distance**2)
            elif LABELS[a] != LABELS[b] and distance < losses.CONTRASTIVE_MARGIN:
                different.append((losses.CONTRASTIVE_MARGIN - distance) ** 2)
    assert 0 < len(different) < len(rows) ** 2 / 2
    expected = 0.5 * (np.mean(same) + np.mean(different))
    assert value("contrastive", embeddings, weights) == pytest.approx(expected, rel=1e-4)


def test_triplet_takes_the_semi_hard_negative(
    embeddings: NDArray[np.float32], weights: NDArray[np.float32]
) -> None:
    rows = units(embeddings)
    squared = ((rows[:, None] - rows[None]) ** 2).sum(2)
    hinges = []
    for anchor in range(len(rows)):
        others = [squared[anchor, n] for n in range(len(rows)) if LABELS[n] != LABELS[anchor]]
        for positive in range(len(rows)):
            if positive == anchor or LABELS[positive] != LABELS[anchor]:
                continue
            farther = [distance for distance in others if distance > squared[anchor, positive]]
            negative = min(farther) if farther else max(others)
            hinges.append(max(0.0, squared[anchor, positive] - negative + losses.TRIPLET_MARGIN))
    assert value("triplet", embeddings, weights) == pytest.approx(float(np.mean(hinges)), rel=1e-4)


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_gradients_are_finite_where_pictures_coincide(name: str, weights: NDArray[np.float32]) -> None:
    """Two equal pictures of one class are at distance 0, where a plain square root has no gradient."""
    rows = tf.Variable(np.tile(np.random.default_rng(5).standard_normal(6).astype(np.float32), (8, 1)))
    with tf.GradientTape() as tape:
        loss = losses.LOSSES[name](rows, tf.constant(LABELS), tf.constant(weights))  # type: ignore[index]
    assert np.isfinite(tape.gradient(loss, rows).numpy()).all()
