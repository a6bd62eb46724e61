"""Improve a bridge by contrast: each image should be nearer to its own text than to those of others, and each
text to its own image (InfoNCE, van den Oord, Li & Vinyals 2018; both ways, Radford et al. 2021).

It starts from the ridge regression and stays linear. With a few thousand titles it finds less than the ridge
regression, with more of them more; so held-out titles decide (`fit_bridge`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.text_search.bridge import Bridge, units
from lookalike.types import Vectors

TEMPERATURE = 0.07
BATCH = 512
EPOCHS = 12
LEARNING_RATE = 1e-2
"""Of Adam (Kingma & Ba 2015), relative to the root mean square of the map that it changes; falls to 0."""
MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-12
Wide = NDArray[np.float32]


def improved(bridge: Bridge, images: Vectors, texts: Vectors, titles: Sequence[str], seed: int = 0) -> Bridge:
    """A bridge that was learned further.

    Args:
        bridge: to start from.
        images: (n, d) float32.
        texts: (n, t) float32: that of each image.
        titles: of each; equal ones are not held against each other.
        seed: of the order of the pairs.
    """
    left, right = units(images) - bridge.image_mean, texts - bridge.text_mean
    _, groups = np.unique(np.asarray(titles), return_inverse=True)
    maps = [_Adam.of(bridge.image_map), _Adam.of(bridge.text_map)]
    draw = np.random.default_rng(seed)
    batches = max(1, len(left) // BATCH)
    for epoch in range(EPOCHS):
        order = draw.permutation(len(left))
        for number, rows in enumerate(np.array_split(order, batches)):
            rate = LEARNING_RATE * (1 - (epoch + number / batches) / EPOCHS)
            gradients = _gradients(left[rows], right[rows], groups[rows], maps[0].values, maps[1].values)
            for one, gradient in zip(maps, gradients, strict=True):
                one.step(gradient, rate)
    return Bridge(bridge.image_mean, maps[0].values, bridge.text_mean, maps[1].values)


def _gradients(
    images: Wide, texts: Wide, groups: NDArray[np.int64], image_map: Wide, text_map: Wide
) -> tuple[Wide, Wide]:
    """Of the mean loss of a batch, by both maps."""
    shown, shown_lengths = _projected(images, image_map)
    said, said_lengths = _projected(texts, text_map)
    logits = shown @ said.T / np.float32(TEMPERATURE)
    same = groups[:, None] == groups[None, :]
    # Another image of the same title is neither right nor wrong.
    logits[same & ~np.eye(len(groups), dtype=bool)] = -np.inf
    by_image, by_text = _softmax(logits, 1), _softmax(logits, 0)
    wrong = (by_image + by_text) / 2 - np.eye(len(groups), dtype=np.float32)
    errors: Wide = np.asarray(wrong / (TEMPERATURE * len(groups)), np.float32)
    return (
        images.T @ _through_length(errors @ said, shown, shown_lengths),
        texts.T @ _through_length(errors.T @ shown, said, said_lengths),
    )


def _projected(vectors: Wide, projection: Wide) -> tuple[Wide, Wide]:
    moved = vectors @ projection
    lengths = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return np.asarray(moved / lengths, np.float32), np.asarray(lengths, np.float32)


def _through_length(gradient: Wide, unit: Wide, lengths: Wide) -> Wide:
    """The gradient before vectors were scaled to unit length."""
    along = (gradient * unit).sum(axis=1, keepdims=True)
    return np.asarray((gradient - along * unit) / lengths, np.float32)


def _softmax(logits: Wide, axis: int) -> Wide:
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True), np.float32)


@dataclass
class _Adam:
    """A map and its moments."""

    values: Wide
    mean: Wide
    square: Wide
    scale: float
    steps: int = 0

    @classmethod
    def of(cls, values: Wide) -> _Adam:
        scale = float(np.sqrt(np.mean(values**2)))
        return cls(values.copy(), np.zeros_like(values), np.zeros_like(values), scale)

    def step(self, gradient: Wide, rate: float) -> None:
        self.steps += 1
        self.mean += (1 - MEAN_DECAY) * (gradient - self.mean)
        self.square += (1 - SQUARE_DECAY) * (gradient**2 - self.square)
        mean = self.mean / (1 - MEAN_DECAY**self.steps)
        square = self.square / (1 - SQUARE_DECAY**self.steps)
        self.values -= np.float32(rate * self.scale) * mean / (np.sqrt(square) + np.float32(EPSILON))
