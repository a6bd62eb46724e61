"""A map of labelled images in two dimensions, for the report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lookalike.evaluation.report import MapPoint
from lookalike.projection import project
from lookalike.types import Vectors

LARGEST = 1_500
FEWEST = 5


def map_of(
    vectors: Vectors, labels: Sequence[str], *, most: int = LARGEST, seed: int = 0
) -> tuple[MapPoint, ...]:
    """Positions of at most `most` images; see `projection`. Distances between far groups mean nothing.

    Args:
        vectors: (n, d) float32, unit length.
        labels: (n,).
        most: images on the map, drawn at random.
        seed: of the draw and of the map.
    """
    if len(vectors) < FEWEST:
        return ()
    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:most])
    placed = project(np.asarray(vectors[rows], np.float32), seed=seed)
    return tuple(
        MapPoint(round(float(x), 4), round(float(y), 4), labels[row])
        for (x, y), row in zip(placed, rows.tolist(), strict=True)
    )
