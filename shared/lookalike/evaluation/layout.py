"""Lay out images on a two-dimensional map that keeps neighbours close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lookalike.errors import Incompatible
from lookalike.evaluation.report import MapPoint
from lookalike.types import Vectors

LARGEST = 1_500
ITERATIONS = 500
COMPONENTS = 50
FEWEST = 5


def map_of(
    vectors: Vectors, labels: Sequence[str], *, most: int = LARGEST, seed: int = 0
) -> tuple[MapPoint, ...]:
    """Map positions of at most `most` images: principal components, then t-SNE.

    van der Maaten & Hinton 2008, "Visualizing data using t-SNE". Distances between groups mean nothing.

    Args:
        vectors: (n, d) float32, unit length.
        labels: (n,).
        most: sample size.
        seed: of the sample and of t-SNE.

    Raises:
        Incompatible: scikit-learn is not installed.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise Incompatible(
            "the map needs scikit-learn", got=str(error), fix='Install it: pip install "lookalike[train]"'
        ) from error
    if len(vectors) < FEWEST:
        return ()
    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:most])
    sample = np.asarray(vectors[rows], np.float32)
    if not np.ptp(sample, axis=0).any():  # all vectors are equal
        return tuple(MapPoint(0.5, 0.5, labels[row]) for row in rows.tolist())
    perplexity = min(30.0, (len(sample) - 1) / 3)
    # One thread: on a busy machine, threads that wait for each other take ten times as long.
    with threadpool_limits(1):
        sample = PCA(min(COMPONENTS, *sample.shape), random_state=seed).fit_transform(sample)
        mapping = TSNE(2, perplexity=perplexity, init="pca", max_iter=ITERATIONS, random_state=seed)
        placed = mapping.fit_transform(sample)
    span = np.maximum(np.ptp(placed, axis=0), 1e-9)
    placed = (placed - placed.min(axis=0)) / span
    return tuple(
        MapPoint(round(float(x), 4), round(float(y), 4), labels[row])
        for (x, y), row in zip(placed, rows.tolist(), strict=True)
    )
