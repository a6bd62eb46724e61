"""Engine `exact`: every vector is compared. Always right, no build time, cost grows with the collection.

The file is `index.npy`, NumPy's own self-describing format (NEP 1), memory-mapped for reading.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lookalike.errors import Incompatible, InvalidInput
from lookalike.indexes.base import IndexSpec, check_files, check_vectors, checksum
from lookalike.indexes.distance import Distances, Rows, exact_search
from lookalike.types import Engine, Metric, Vector, Vectors

FILE = "index.npy"


class ExactIndex:
    """All vectors of an array, compared one by one; also stands for an index of no vectors.

    Args:
        spec: what was built.
        vectors: shape (size, dimension), float32, read-only.
    """

    def __init__(self, spec: IndexSpec, vectors: Vectors) -> None:
        self.engine: Engine = spec.engine
        self.metric: Metric = spec.metric
        self.dimension = spec.dimension
        self.size = spec.size
        self._vectors = vectors

    @property
    def vectors(self) -> Vectors:
        """See `Index.vectors`."""
        return self._vectors

    def search(self, query: Vector, limit: int, *, effort: int | None = None) -> tuple[Rows, Distances]:
        """See `Index.search`; `effort` has no effect here."""
        if effort is not None and effort < 1:
            raise InvalidInput("effort is out of range", got=effort, expected="at least 1")
        return exact_search(query, self._vectors, limit, self.metric)


def write_exact(batches: Iterable[Vectors], metric: Metric, dimension: int, folder: Path) -> IndexSpec:
    """Stream `batches` into `folder`; one batch at a time is in memory."""
    path = folder / FILE
    size = 0
    with path.open("wb") as file:
        _write_header(file, size, dimension)
        for batch in batches:
            file.write(batch.tobytes())
            size += len(batch)
        # NumPy pads the header so that the number of rows may grow in place.
        file.seek(0)
        _write_header(file, size, dimension)
    if not size:
        path.unlink()
        return IndexSpec("exact", metric, dimension, size)
    vectors = np.load(path, mmap_mode="r")
    return IndexSpec(
        "exact", metric, dimension, size, (FILE,), (path.stat().st_size,), checksum=checksum(vectors)
    )


def _write_header(file: BinaryIO, size: int, dimension: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (size, dimension)}
    np.lib.format.write_array_header_1_0(file, header)


def open_exact(spec: IndexSpec, folder: Path) -> ExactIndex:
    """Map the file of `spec`. Raises Incompatible when the two disagree."""
    check_files(spec, folder)
    try:
        vectors = np.load(folder / FILE, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise Incompatible(f"the index file {FILE} cannot be read: {error}") from error
    if vectors.shape != (spec.size, spec.dimension) or vectors.dtype != np.float32:
        raise Incompatible(
            f"the index file {FILE} does not have the array that its description names",
            got=f"{vectors.shape} {vectors.dtype}",
            expected=f"{(spec.size, spec.dimension)} float32",
            fix="Build a new snapshot.",
        )
    plain = np.asarray(vectors)  # a memmap subclass costs microseconds at every slice
    check_vectors(spec, plain)
    return ExactIndex(spec, plain)
