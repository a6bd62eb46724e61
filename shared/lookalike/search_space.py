"""The space in which a collection is searched: its vectors, by their own principal components.

An encoder's numbers describe everything that it was trained on, and a collection has little of that. Most of
what its vectors have in common is their mean; most of the rest lies in a few directions. So vectors are
centred and projected onto the collection's first principal components (Pearson 1901), and for cosine scaled
to unit length again. That takes a fifth of the memory, and more of what is found is right; but confidence is
less exact in a collection of a few thousand items (`python -m bench.compact`, `python -m bench.confidence`).
So large collections have a space by default, and others if they ask for one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import Incompatible
from lookalike.types import Metric, Vectors

SPACE_FILE = "space.npy"
FEWEST_ITEMS = 200
"""From here on, components of the collection itself find no worse than the encoder's numbers; 50 are too
few."""
FEWEST_BY_DEFAULT = 20_000
"""Without the option `dimensions`. From here on the vectors of the default encoder take 100 MB and more."""
FIT_ROWS = 20_000
"""Items that the components are computed from. More change nothing but the time."""
MOST_DIMENSIONS = 256
STEP = 64
"""The dimension is a multiple of this, so that it does not depend on a few items."""
KEPT_VARIANCE = 0.97
"""Share of the variance that the components keep, if `MOST_DIMENSIONS` suffice. Trained encoders need fewer:
their vectors lie near those of their categories."""
GROWTH = 2
"""How many times more or fewer items than it was computed from make a space outdated."""
BLOCK_ROWS = 2_048
FLAT = 1e-12
"""Variance below which a direction is rounding, relative to the first, or to a vector of length 1."""

Wide = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """What a snapshot's manifest says about its search space.

    Attributes:
        file: in the snapshot's folder.
        encoder_dimension: of the vectors that are projected.
        fitted_on: items that the collection had when the space was computed.
        kept_variance: share of the variance of these items that the components keep.
        spread: root of the variance that the components keep.
        wanted: the collection's option `dimensions` at that time.
    """

    file: str
    encoder_dimension: int
    fitted_on: int
    kept_variance: float
    spread: float
    wanted: int | None = None

    def fits(self, count: int, encoder_dimension: int, wanted: int | None) -> bool:
        """Whether a snapshot of `count` items keeps the space, so that scores stay comparable."""
        same = (self.encoder_dimension, self.wanted) == (encoder_dimension, wanted)
        return same and self.fitted_on < GROWTH * count and count < GROWTH * self.fitted_on


@dataclass(frozen=True, slots=True)
class EncoderScore:
    """What the score of a query's match would be by the encoder's own numbers, about.

    In its space a collection is all there is: a query that resembles nothing in it has high scores too. What
    the projection drops tells them apart, and it is known of the query.

    For cosine, q · g ≈ q · mean + spread · |projection of q| · score. For l2, the query's distance from the
    space is added as a right angle.
    """

    offset: float = 0.0
    slope: float = 1.0
    apart: float = 0.0

    def of(self, score: float) -> float:
        """The score by the encoder's numbers, from a score in the space."""
        if self.apart > 0:
            score = 1 / (1 + math.hypot(1 / score - 1, self.apart))
        return self.offset + self.slope * score


SAME_SCORE = EncoderScore()


@dataclass(frozen=True, slots=True)
class Projected:
    """Vectors in a space: (n, k) float32; and the numbers of the `EncoderScore` of each, (n, 3) float64."""

    vectors: Vectors
    scores: Wide


@dataclass(frozen=True)
class SearchSpace:
    """A projection of an encoder's vectors. Thread-safe.

    Attributes:
        metric: cosine or l2.
        mean: (d,) float32; of the collection's vectors.
        components: (k, d) float32; orthonormal rows, the one with the largest variance first.
        kept_variance: share of the variance that the components keep.
        spread: root of the variance that they keep.
    """

    metric: Metric
    mean: NDArray[np.float32]
    components: Vectors
    kept_variance: float
    spread: float

    @property
    def encoder_dimension(self) -> int:
        """Length of the vectors that are projected."""
        return int(self.components.shape[1])

    @property
    def dimension(self) -> int:
        """Length of the projected vectors."""
        return int(self.components.shape[0])

    def project(self, vectors: Vectors) -> Vectors:
        """Vectors of the encoder in this space.

        In float64, then rounded: a vector becomes the same numbers in a batch and alone, so that the distance
        of an image to its own copy is exactly 0.

        Args:
            vectors: (n, encoder_dimension) float32, of any length for cosine.

        Returns:
            (n, dimension) float32. For cosine of unit length; a zero vector stays zero.
        """
        return self.describe(vectors).vectors

    def describe(self, vectors: Vectors) -> Projected:
        """`project`, and how the scores of each vector as a query compare with the encoder's."""
        projected = np.empty((len(vectors), self.dimension), np.float32)
        scores = np.zeros((len(vectors), 3))
        for start in range(0, len(vectors), BLOCK_ROWS):
            block = vectors[start : start + BLOCK_ROWS].astype(np.float64)
            some = slice(start, start + len(block))
            if self.metric == "cosine":
                block, lengths = _scaled(block)
                moved, reach = _scaled((block - self._mean) @ self._axes)
                moved[lengths == 0] = 0
                scores[some, 0] = block @ self._mean
                scores[some, 1] = self.spread * reach
            else:
                moved = (block - self._mean) @ self._axes
                beyond = np.square(block - self._mean).sum(axis=1) - np.square(moved).sum(axis=1)
                scores[some, 1] = 1
                scores[some, 2] = np.sqrt(np.maximum(beyond, 0))
            projected[some] = moved
        return Projected(projected, scores)

    @cached_property
    def usual_score(self) -> EncoderScore:
        """That of an ordinary item of the collection."""
        if self.metric == "cosine":
            return EncoderScore(float(self._mean @ self._mean), self.spread**2)
        return EncoderScore(apart=self.spread * math.sqrt(max(1 / self.kept_variance - 1, 0)))

    @cached_property
    def _mean(self) -> Wide:
        return self.mean.astype(np.float64)

    @cached_property
    def _axes(self) -> Wide:
        return np.ascontiguousarray(self.components.T, np.float64)

    def write(self, path: Path) -> None:
        """As a `.npy` file: the mean, then the components, (1 + k, d) float32."""
        with path.open("wb") as file:
            np.save(file, np.concatenate([self.mean[None], self.components]), allow_pickle=False)

    @classmethod
    def read(cls, data: bytes, metric: Metric, info: SpaceInfo, dimension: int) -> SearchSpace:
        """Inverse of `write`.

        Args:
            data: the file.
            metric: of the snapshot.
            info: what its manifest says.
            dimension: of its vectors.

        Raises:
            Incompatible: the file holds something else.
        """
        try:
            stored = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise Incompatible(f"the file {info.file} cannot be read: {error}") from error
        expected = (1 + dimension, info.encoder_dimension)
        if stored.shape != expected or stored.dtype != np.float32:
            raise Incompatible(
                f"the file {info.file} holds another projection than its description says",
                got=f"{stored.shape} {stored.dtype}",
                expected=f"{expected} float32",
                fix="Build a new snapshot.",
            )
        return cls(metric, stored[0], stored[1:], info.kept_variance, info.spread)


def has_space(metric: Metric, encoder_dimension: int, count: int, wanted: int | None = None) -> bool:
    """Whether a collection is searched in a space of its own.

    Not by l1, whose distances change under rotation; not with few items, or few numbers to begin with.

    Args:
        metric: of the collection.
        encoder_dimension: of its encoder's vectors.
        count: items.
        wanted: the collection's option `dimensions`; 0: never; None: only with many items.
    """
    if metric == "l1" or wanted == 0 or count < (FEWEST_ITEMS if wanted else FEWEST_BY_DEFAULT):
        return False
    return encoder_dimension > (wanted or STEP)


def fit_space(batches: Iterable[Vectors], metric: Metric, wanted: int | None = None) -> SearchSpace | None:
    """The space of a collection. The same batches give the same space.

    Args:
        batches: (any, d) float32; all vectors of the collection, or an even sample of them.
        metric: cosine or l2.
        wanted: number of components; None: the least multiple of 64 that keeps 97 % of the variance, 256 at
            most.

    Returns:
        None if the vectors do not differ.
    """
    count, total, products = _moments(batches, metric)
    if not count:
        return None
    mean = total / count
    variances, axes = np.linalg.eigh(products / count - np.outer(mean, mean))
    variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
    if variances[0] <= FLAT * max(1.0, float(mean @ mean)):
        return None
    rank = int(np.count_nonzero(variances > FLAT * variances[0]))
    kept = np.cumsum(variances) / variances.sum()
    # Fewer than the encoder makes: by that, versions before this one know that they cannot read the index.
    dimension = min(rank, wanted or _enough(kept), len(mean) - 1)
    components = axes[:, :dimension].T
    # The sign of an eigenvector is arbitrary: its largest number is made positive.
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    components = np.ascontiguousarray(components * np.sign(largest), np.float32)
    share = round(float(kept[dimension - 1]), 6)
    spread = round(math.sqrt(variances[:dimension].sum()), 6)
    return SearchSpace(metric, mean.astype(np.float32), components, share, spread)


def in_search_space(queries: Vectors, gallery: Vectors, wanted: int | None = None) -> tuple[Vectors, Vectors]:
    """Queries and gallery as a collection of the gallery would be searched by cosine.

    Args:
        queries: (q, d) float32, by one encoder.
        gallery: (g, d) float32, by the same.
        wanted: the collection's option `dimensions`.
    """
    if not has_space("cosine", gallery.shape[1], len(gallery), wanted):
        return queries, gallery
    rows = even_rows(len(gallery), FIT_ROWS)
    sample = (gallery[rows[start : start + BLOCK_ROWS]] for start in range(0, len(rows), BLOCK_ROWS))
    space = fit_space(sample, "cosine", wanted)
    return (queries, gallery) if space is None else (space.project(queries), space.project(gallery))


def even_rows(count: int, most: int) -> NDArray[np.int64]:
    """All of `count` rows, or `most` of them, evenly spaced."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def _enough(kept: Wide) -> int:
    needed = int(np.searchsorted(kept, KEPT_VARIANCE)) + 1
    return min(-(-needed // STEP) * STEP, MOST_DIMENSIONS)


def _moments(batches: Iterable[Vectors], metric: Metric) -> tuple[int, Wide, Wide]:
    """Number of vectors, their sum (d,), and the sum of their outer products (d, d)."""
    count = 0
    total: Any = 0.0
    products: Any = 0.0
    for batch in batches:
        for start in range(0, len(batch), BLOCK_ROWS):
            block = batch[start : start + BLOCK_ROWS].astype(np.float64)
            if metric == "cosine":
                block, _ = _scaled(block)
            total = total + block.sum(axis=0)
            products = products + block.T @ block
            count += len(block)
    return count, total, products


def _scaled(rows: Wide) -> tuple[Wide, Wide]:
    """Rows scaled to unit length, zero rows left as they are; and their lengths, (n,)."""
    lengths = np.sqrt(np.square(rows).sum(axis=1))
    scaled = np.divide(rows, lengths[:, None], out=np.zeros_like(rows), where=lengths[:, None] > 0)
    return scaled, lengths
