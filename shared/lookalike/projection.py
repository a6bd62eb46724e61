"""Projection of vectors onto a map of two dimensions, on which neighbors are near each other.

A few vectors, the anchors, are laid out by t-SNE (van der Maaten & Hinton 2008, "Visualizing data using
t-SNE"); every other vector is placed among its nearest anchors. So the cost grows linearly with the number
of vectors, and a later one, of an upload or a query, is placed in the same way.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Vectors

if TYPE_CHECKING:
    from pathlib import Path

Positions = NDArray[np.float32]
"""Shape (n, 2), each coordinate in [0, 1]."""

POSITIONS_FILE = "places.npy"
FEWEST_ANCHORS = 300  # laid out in a tenth of a second
MOST_ANCHORS = 600  # in a second, for collections whose build takes longer anyway
ITEMS_PER_ANCHOR = 16
COMPONENTS = 32
NEAREST = 4
BLOCK_ROWS = 4_096
ITERATIONS = 200
EARLY = 50
PERPLEXITY = 30.0
TINY = 1e-12


def project(vectors: Vectors, *, seed: int = 0) -> Positions:
    """A position for every row of `vectors`, shape (n, d); the same for the same vectors and seed."""
    count = len(vectors)
    if count < 3:
        return np.linspace((0.3, 0.5), (0.7, 0.5), count, dtype=np.float32).reshape(count, 2)
    most = min(MOST_ANCHORS, max(FEWEST_ANCHORS, count // ITEMS_PER_ANCHOR))
    anchors = np.sort(np.random.default_rng(seed).permutation(count)[:most])
    sample = np.asarray(vectors[anchors], np.float32)
    mean = sample.mean(axis=0)
    axes = _principal_axes(sample - mean)
    reduced = (sample - mean) @ axes
    laid_out = _laid_out(reduced)
    placed = np.empty((count, 2), np.float32)
    for start in range(0, count, BLOCK_ROWS):
        rows = (np.asarray(vectors[start : start + BLOCK_ROWS], np.float32) - mean) @ axes
        placed[start : start + len(rows)] = project_among(rows, reduced, laid_out)
    low = placed.min(axis=0)
    return np.asarray((placed - low) / np.maximum(np.ptp(placed, axis=0), TINY), np.float32)


def project_among(rows: Vectors, known: Vectors, places: Positions) -> Positions:
    """Positions of `rows`: means of the positions of the nearest `known` vectors, weighted by nearness.

    Args:
        rows: (n, d).
        known: (m, d), at least one.
        places: (m, 2), positions of the known vectors.
    """
    squares = np.maximum(
        (rows**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * (rows @ known.T), np.float32(0)
    )
    count = min(NEAREST, len(known))
    nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
    near = np.take_along_axis(squares, nearest, axis=1)
    # A known vector keeps its own position: at a distance of 0 all others have no weight.
    weights = 1 / np.maximum(near, 1e-6 * (squares.mean() + TINY)) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray((weights[:, :, None] * places[nearest]).sum(axis=1), np.float32)


def write_positions(places: Positions, path: Path) -> None:
    """As a `.npy` file (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
    with path.open("wb") as file:
        np.save(file, places, allow_pickle=False)


def read_positions(data: bytes) -> Positions:
    """Inverse of `write_positions`. Raises ValueError if it is not such a file."""
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False), np.float32).reshape(-1, 2)


def _principal_axes(centred: Vectors) -> Vectors:
    """The first principal components, (d, k), of (n, d), by the n × n matrix because d is larger."""
    strengths, sides = np.linalg.eigh(centred @ centred.T)
    first = np.argsort(-strengths)[: min(COMPONENTS, *centred.shape)]
    lengths = np.sqrt(np.maximum(strengths[first], TINY))
    return np.ascontiguousarray((centred.T @ sides[:, first]) / lengths, np.float32)


def _laid_out(points: Vectors) -> Positions:
    """t-SNE of a few points, (n, 2), begun at their two principal components."""
    count = len(points)
    start = np.zeros((count, 2), np.float32)
    start[:, : points.shape[1]] = points[:, :2]
    spread = start.std(axis=0).max()
    if spread < TINY:  # all equal: there is nothing to lay out
        return start
    affinities = _affinities(points)
    places = start * np.float32(1e-4 / spread)
    speed, gains = np.zeros_like(places), np.ones_like(places)
    rate = np.float32(max(50.0, count / 12))
    for step in range(ITERATIONS):
        early = step < EARLY
        force = _force(places, affinities * np.float32(12 if early else 1))
        gains = np.maximum(np.where((force > 0) == (speed > 0), gains * 0.8, gains + 0.2), 0.01)
        speed = np.float32(0.5 if early else 0.8) * speed - rate * gains.astype(np.float32) * force
        places = places + speed
    return np.asarray(places - places.mean(axis=0), np.float32)


def _force(places: Positions, affinities: NDArray[np.float32]) -> Positions:
    squares = (places**2).sum(axis=1)
    near = 1 / (1 + np.maximum(squares[:, None] + squares - 2 * (places @ places.T), 0))
    np.fill_diagonal(near, 0)
    pull = (affinities - near / max(float(near.sum()), TINY)) * near
    return np.asarray(4 * (pull.sum(axis=1)[:, None] * places - pull @ places), np.float32)


def _affinities(points: Vectors) -> NDArray[np.float32]:
    """Affinities of points, (n, n), sum 1; each point has about as many neighbors as the others."""
    count = len(points)
    squares = (points**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * (points @ points.T), 0)
    distances /= max(float(distances.mean()), TINY)
    wanted = np.log(max(1.5, min(PERPLEXITY, (count - 1) / 3)))
    low, high = np.zeros(count, np.float32), np.full(count, 1e6, np.float32)
    for _ in range(32):
        beta = np.where(high >= 1e6, np.maximum(low * 2, 1), (low + high) / 2).astype(np.float32)
        weights = np.exp(-distances * beta[:, None])
        np.fill_diagonal(weights, 0)
        total = np.maximum(weights.sum(axis=1), TINY)
        entropy = np.log(total) + beta * (weights * distances).sum(axis=1) / total
        wide = entropy > wanted
        low, high = np.where(wide, beta, low), np.where(wide, high, beta)
    chances = weights / total[:, None]
    return np.asarray((chances + chances.T) / (2 * count), np.float32)
