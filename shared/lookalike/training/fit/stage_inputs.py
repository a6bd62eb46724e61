"""Inputs of the trained stages: stored activations, or images that are decoded again in every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.images import ImageLimits, Preprocess, decode
from lookalike.settings import Settings
from lookalike.training.fit import views
from lookalike.training.fit.feature_cache import ActivationCache
from lookalike.training.fit.training_input import Material, Rows
from lookalike.types import Pixels

RANDOM_VIEWS = range(3, 1 << 16)
"""Numbers of the views that are random crops; see `views`."""


class StageInputs(Protocol):
    """Inputs of the trained stages, by row of a `Material`."""

    def sample(self, rows: Rows, rng: np.random.Generator) -> NDArray[Any]:
        """A random view of each image, for training: (n, h, w, channels)."""

    def view(self, rows: Rows, number: int) -> NDArray[Any]:
        """One view of each image: (n, h, w, channels)."""


@dataclass(frozen=True, slots=True)
class StoredActivations:
    """Cached outputs of the frozen part of the backbone: float16.

    Attributes:
        material: whose images.
        cache: where they are.
        shape: of one.
    """

    material: Material
    cache: ActivationCache
    shape: tuple[int, ...]

    def sample(self, rows: Rows, rng: np.random.Generator) -> NDArray[Any]:
        """See `StageInputs`."""
        return self._read(rows, rng.integers(0, self.material.features.shape[1], len(rows)))

    def view(self, rows: Rows, number: int) -> NDArray[Any]:
        """See `StageInputs`."""
        return self._read(rows, np.full(len(rows), number))

    def _read(self, rows: Rows, numbers: NDArray[np.int64]) -> NDArray[Any]:
        wanted = [(self.material.digests[row], int(view)) for row, view in zip(rows, numbers, strict=True)]
        return self.cache.read("activations", wanted, self.shape)


class DecodedPictures:
    """The images themselves: uint8 pixels. Every epoch uses new crops.

    Args:
        material: whose images.
        preprocess: of the backbone.
        threads: images processed in parallel.
    """

    def __init__(self, material: Material, preprocess: Preprocess, threads: int) -> None:
        self._material = material
        self._preprocess = preprocess
        self._limits = ImageLimits.from_settings(Settings())
        self._pool = ThreadPoolExecutor(threads)

    def sample(self, rows: Rows, rng: np.random.Generator) -> NDArray[Any]:
        """See `StageInputs`."""
        return self._read(rows, rng.integers(RANDOM_VIEWS.start, RANDOM_VIEWS.stop, len(rows)).tolist())

    def view(self, rows: Rows, number: int) -> NDArray[Any]:
        """See `StageInputs`."""
        return self._read(rows, [number] * len(rows))

    def _read(self, rows: Rows, numbers: Sequence[int]) -> NDArray[Any]:
        return np.stack(list(self._pool.map(self._pixels, rows.tolist(), numbers)))

    def _pixels(self, row: int, number: int) -> Pixels:
        data = self._material.examples[row].path.read_bytes()
        picture = decode(data, self._limits, min_side=self._preprocess.min_side)
        return views.view(picture, self._preprocess, number, self._material.digests[row])
