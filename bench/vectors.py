"""Synthetic vectors that are as hard to search as an encoder's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lookalike.types import Vectors

LATENT = 24
ITEMS_PER_CLUSTER = 100


def embedding_like(count: int, dimension: int, *, seed: int = 0) -> Vectors:
    """Clusters on a curved 24-dimensional surface, with a little noise, of unit length and zero mean.

    Embeddings vary in far fewer directions than they have dimensions, and index engines depend on that:
    plain Gaussian vectors would make every engine look bad, a few tight clusters would make it look good.
    The latent points pass a random network of one ReLU layer. Shape (count, dimension), float32.
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(20, count // ITEMS_PER_CLUSTER), LATENT), dtype=np.float32)
    first = rng.standard_normal((LATENT, 512), dtype=np.float32)
    second = rng.standard_normal((512, dimension), dtype=np.float32)
    vectors = np.empty((count, dimension), np.float32)
    for start in range(0, count, 8192):
        size = min(8192, count - start)
        latent = centres[rng.integers(0, len(centres), size)]
        latent = latent + np.float32(0.5) * rng.standard_normal((size, LATENT), dtype=np.float32)
        block = unit(np.maximum(latent @ first, 0) @ second)
        noise = rng.standard_normal(block.shape, dtype=np.float32)
        vectors[start : start + size] = block + noise * np.float32(0.1 / np.sqrt(dimension))
    vectors -= vectors.mean(axis=0)
    return unit(vectors)


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1."""
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def batches(vectors: Vectors, size: int = 4096) -> Iterator[Vectors]:
    """Views of `size` rows, in order."""
    return (vectors[start : start + size] for start in range(0, len(vectors), size))
