"""The bridge between images and words: a linear map from the vectors of images to those of their texts.

Ridge regression (Hoerl & Kennard 1970) from image to text; the other direction finds far less. What the map
says of the collection's images lies in few directions (principal components): both sides are compared by
these alone, 384 at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.text_search.sparse_rows import orthonormal
from lookalike.types import Vectors

PENALTIES = (0.03, 0.1, 0.3, 1.0)
"""Strengths of the ridge, in units of the images' mean variance per direction × images."""
MOST_DIMENSIONS, FEWEST_DIMENSIONS = 384, 64
SCANNED_FLOATS = 8_000_000
"""Numbers that a query is compared with, about: 4 ms. So large collections have fewer for each item."""
Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Bridge:
    """Pictures and texts in one space. Thread-safe.

    Attributes:
        image_mean: (d,) float32; of the images' vectors, each of unit length.
        image_map: (d, k) float32.
        text_mean: (t,) float32.
        text_map: (t, k) float32; orthonormal columns.
    """

    image_mean: NDArray[np.float32]
    image_map: NDArray[np.float32]
    text_mean: NDArray[np.float32]
    text_map: NDArray[np.float32]

    @property
    def dimension(self) -> int:
        """Of both sides."""
        return int(self.image_map.shape[1])

    def images(self, vectors: Vectors) -> Vectors:
        """Vectors of images, (n, d), in the common space: (n, k) float32 of unit length."""
        return units((units(vectors) - self.image_mean) @ self.image_map)

    def texts(self, vectors: Vectors) -> Vectors:
        """Vectors of texts, (n, t), in the common space: (n, k) float32 of unit length."""
        return units((vectors - self.text_mean) @ self.text_map)

    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """What `of` needs, to be stored."""
        return {
            "image_mean": self.image_mean,
            "image_map": self.image_map,
            "text_mean": self.text_mean,
            "text_map": self.text_map,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Bridge:
        """Inverse of `arrays`."""
        names = ("image_mean", "image_map", "text_mean", "text_map")
        return cls(*(np.asarray(arrays[name], np.float32) for name in names))


@dataclass(frozen=True)
class Moments:
    """Sums over pairs of a image and its text; from them a bridge of any strength follows.

    Attributes:
        count: pairs.
        image_mean, text_mean: (d,), (t,) float64.
        image_image: (d, d) float64: covariance of the images' vectors × pairs.
        image_text: (d, t) float64: with their texts' vectors.
    """

    count: int
    image_mean: Wide
    text_mean: Wide
    image_image: Wide
    image_text: Wide

    @classmethod
    def of(cls, images: Vectors, texts: Vectors) -> Moments:
        """Those of vectors in rows that belong together."""
        left, right = units(images), texts
        left_mean, right_mean = left.mean(axis=0), right.mean(axis=0)
        left, right = left - left_mean, right - right_mean
        return cls(
            len(left),
            left_mean.astype(np.float64),
            right_mean.astype(np.float64),
            (left.T @ left).astype(np.float64),
            (left.T @ right).astype(np.float64),
        )

    def solved(self, penalty: float) -> Wide:
        """The ridge regression of this strength, (d, t)."""
        side = len(self.image_image)
        strength = penalty * np.trace(self.image_image) / side
        return np.asarray(np.linalg.solve(self.image_image + strength * np.eye(side), self.image_text))

    def bridge(self, penalty: float, dimensions: int) -> Bridge:
        """The ridge regression of this strength, in so many of its most important directions."""
        solved = self.solved(penalty)
        kept = _directions(solved, self.image_image)[:, :dimensions]
        return Bridge(
            self.image_mean.astype(np.float32),
            (solved @ kept).astype(np.float32),
            self.text_mean.astype(np.float32),
            kept.astype(np.float32),
        )


def _directions(solved: Wide, image_image: Wide) -> Wide:
    """Directions of what a regression says of its images, the one with the largest variance first."""
    images, texts = solved.shape
    if images >= texts:
        return np.asarray(np.linalg.eigh(solved.T @ image_image @ solved)[1][:, ::-1])
    values, vectors = np.linalg.eigh(image_image)
    said = (vectors * np.sqrt(np.maximum(values, 0))).T @ solved
    return orthonormal(said.T).astype(np.float64)


def scores(bridge: Bridge, texts: Vectors, images: Vectors) -> Vectors:
    """Cosines of texts, (q, t), to images, (n, d): (q, n) float32."""
    return bridge.texts(texts) @ bridge.images(images).T


def dimensions_for(count: int) -> int:
    """How many numbers each of `count` images has in the common space."""
    return min(MOST_DIMENSIONS, max(FEWEST_DIMENSIONS, SCANNED_FLOATS // max(1, count)))


def units(vectors: NDArray[np.floating[Any]]) -> Vectors:
    """Each of length 1; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-9), np.float32)
