"""Blend trained features with the backbone's own features.

A layer trained on "shoes" loses colours: images of one category get nearly the same vector. The vector
therefore concatenates two unit-length parts, √w × trained and √(1 − w) × frozen, whose cosine is w × the
trained cosine + (1 − w) × the frozen one: categories decide first, and the backbone's features order images
within a category. The frozen part is standardised and reduced by principal components, with no measurable
loss.

The share w is chosen on held-out images. Detail is measured without labels: another view of an image must
find that same image among all of its category (instance discrimination, Wu et al. 2018,
https://arxiv.org/abs/1805.01978). The w that keeps the most detail is taken among those that cost at most one
point of mAP@R, and at most a tenth of the distance to 1: where held-out images resemble the training images
and are nearly always found, a whole point is too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.retrieval import retrieval
from lookalike.types import Vectors

SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.3, 0.0)
COST = 0.01
"""Largest loss of mAP@R for keeping detail."""
COST_SHARE = 0.1
"""The same, as a fraction of the distance from the best share's mAP@R to 1."""
COMPONENTS = 256
SMALLEST = 1e-6
SMALLEST_DEVIATION = 1e-3
"""Least deviation by which a feature is divided, as a share of the features' root mean square deviation. A
feature that is almost always 0 would get a weight of a million; int8 cannot express such a weight (XNNPACK
refuses a layer in which one step of the input moves the output by 256 of its steps or more)."""
SMALLEST_VARIANCE = float(np.finfo(np.float32).eps)
"""Least variance of a component that is kept, as a share of the largest. Smaller variances are rounding
errors of the features. n images have at most n − 1 components; the directions of the others are arbitrary,
and differ by processor."""
SAMPLE = 5_000


@dataclass(frozen=True, slots=True)
class Trade:
    """Metrics of one share of trained features on held-out images.

    Attributes:
        share: w.
        recall_at_1: of categories.
        map_at_r: of categories.
        detail: share of the held-out images for which another view finds that same image first, among all
            images of its category.
    """

    share: float
    recall_at_1: float
    map_at_r: float
    detail: float

    def to_json(self) -> dict[str, float]:
        """By name."""
        return {name: round(float(value), 4) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Frozen:
    """The affine map from frozen features to their part of the vector, before scaling to unit length.

    Attributes:
        kernel: (features, components) float32.
        bias: (components,) float32.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def fit(cls, features: Vectors) -> Frozen:
        """Standardise and reduce to at most 256 principal components.

        Args:
            features: (n, d) float32, of training images; at most 5,000 of them, evenly spaced, are used.
        """
        sample = features[:: max(1, -(-len(features) // SAMPLE))].astype(np.float64)
        mean, deviation = sample.mean(axis=0), sample.std(axis=0)
        floor = SMALLEST_DEVIATION * float(np.sqrt(np.mean(deviation**2)))
        deviation = np.maximum(deviation, max(floor, SMALLEST))
        standard = (sample - mean) / deviation
        variances, directions = _components(standard)
        kept = int(np.sum(variances > SMALLEST_VARIANCE * variances[0]))
        directions = directions[:, : max(1, min(COMPONENTS, kept))]
        kernel = directions / deviation[:, np.newaxis]
        return cls(kernel.astype(np.float32), (-mean @ kernel).astype(np.float32))

    def __call__(self, features: Vectors) -> Vectors:
        """(n, d) → (n, components) of unit length."""
        return unit(features @ self.kernel + self.bias)


def _components(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances of the principal components (not divided by n), largest first, and directions (d, count)."""
    if len(rows) < rows.shape[1]:  # few images: 4 s less than the eigenvectors of (1280, 1280)
        _, deviations, directions = np.linalg.svd(rows, full_matrices=False)
        return deviations**2, directions.T
    variances, directions = np.linalg.eigh(rows.T @ rows)
    return variances[::-1], directions[:, ::-1]


def blended(trained: Vectors, frozen: Vectors, share: float) -> Vectors:
    """Both parts concatenated, with unit length in total; only one part if the share is 0 or 1."""
    if share in (0.0, 1.0):
        return trained if share else frozen
    return np.hstack([np.sqrt(share) * trained, np.sqrt(1 - share) * frozen]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Side:
    """Images with both parts of their vectors, and their classes."""

    trained: Vectors
    frozen: Vectors
    labels: NDArray[np.int64]

    def at(self, share: float) -> Vectors:
        """The vectors at one share."""
        return blended(self.trained, self.frozen, share)


def trades(queries: Side, others: Side, gallery: Side) -> list[Trade]:
    """The metrics of each share.

    Args:
        queries: held-out images.
        others: another view of each of them.
        gallery: training images.
    """
    lines = []
    for share in SHARES:
        vectors, rest = queries.at(share), gallery.at(share)
        found = retrieval(vectors, queries.labels, rest, gallery.labels)
        detail = _detail(others.at(share), vectors, rest, queries.labels, gallery.labels)
        lines.append(Trade(share, found.recall(1), found.map_at_r, detail))
    return lines


def choose(lines: Sequence[Trade]) -> float:
    """The share that keeps the most detail at an acceptable cost; of equal ones the larger."""
    best = max(line.map_at_r for line in lines)
    cost = min(COST, COST_SHARE * (1 - best))
    affordable = [line for line in lines if line.map_at_r >= best - cost]
    return max(affordable, key=lambda line: (line.detail, line.share)).share


def _detail(
    others: Vectors,
    originals: Vectors,
    gallery: Vectors,
    labels: NDArray[np.int64],
    gallery_labels: NDArray[np.int64],
) -> float:
    hits: list[Any] = []
    for label in np.unique(labels):
        mine = labels == label
        among = np.vstack([originals[mine], gallery[gallery_labels == label]])
        hits.append((others[mine] @ among.T).argmax(axis=1) == np.arange(mine.sum()))
    return float(np.concatenate(hits).mean())


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1, float32."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SMALLEST)
    return scaled.astype(np.float32)
