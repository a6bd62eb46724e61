"""Rows with few values that are not zero, with the two products that a truncated SVD needs.

scipy has them too, but the functions that build and query indexes do without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float32]
BLOCK_FLOATS = 1 << 23
OVERSAMPLING = 10
POWER_STEPS = 1
FLAT = 1e-9
"""Variance below which a direction is rounding, relative to the first."""


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A matrix in compressed rows.

    Attributes:
        starts: (rows + 1,) int64; where each row starts in the others, and the end.
        columns: (values,) int32.
        values: (values,) float32.
        width: number of columns.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: Wide
    width: int

    @classmethod
    def of(cls, rows: Sequence[Mapping[int, float]], width: int) -> SparseRows:
        """From the values of each row by column."""
        starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        columns = np.fromiter((column for row in rows for column in row), np.int32, int(starts[-1]))
        values = np.fromiter((value for row in rows for value in row.values()), np.float32, int(starts[-1]))
        return cls(starts, columns, values, width)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def transposed(self) -> SparseRows:
        """Rows as columns."""
        order = np.argsort(self.columns, kind="stable")
        starts = np.searchsorted(self.columns[order], np.arange(self.width + 1))
        rows = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))
        return SparseRows(starts.astype(np.int64), rows[order], self.values[order], len(self))

    def times(self, dense: Wide) -> Wide:
        """The product with a dense matrix (width, k): (rows, k)."""
        product = np.zeros((len(self), dense.shape[1]), np.float32)
        for first, last in self._blocks(dense.shape[1]):
            start, stop = int(self.starts[first]), int(self.starts[last])
            terms = dense[self.columns[start:stop]] * self.values[start:stop, None]
            filled = first + np.flatnonzero(np.diff(self.starts[first : last + 1]))
            if len(filled):
                product[filled] = np.add.reduceat(terms, self.starts[filled] - start)
        return product

    def _blocks(self, k: int) -> Iterator[tuple[int, int]]:
        """Rows whose terms fit into memory together."""
        first = 0
        while first < len(self):
            fitting = int(self.starts[first]) + max(1, BLOCK_FLOATS // k)
            last = max(first + 1, int(np.searchsorted(self.starts, fitting, "right")) - 1)
            yield first, min(last, len(self))
            first = last


def right_singular_vectors(matrix: SparseRows, count: int, seed: int = 0) -> Wide:
    """The first right singular vectors as columns, (width, count), by a randomised SVD.

    Halko, Martinsson & Tropp 2011, "Finding structure with randomness", algorithms 4.4 and 5.1.
    """
    across = matrix.transposed()
    wide = min(count + OVERSAMPLING, len(matrix), matrix.width)
    random = np.random.default_rng(seed).standard_normal((matrix.width, wide)).astype(np.float32)
    basis = orthonormal(matrix.times(random))
    for _ in range(POWER_STEPS):
        basis = orthonormal(matrix.times(orthonormal(across.times(basis))))
    return orthonormal(across.times(basis))[:, :count]


def orthonormal(tall: NDArray[np.floating[Any]]) -> Wide:
    """Orthonormal columns that span those of `tall`, (n, k), in the order of their singular values.

    From the eigenvectors of the k × k products of its columns: much less work than QR for a tall matrix, and
    exact enough for singular values that are not tiny.
    """
    wide = tall.astype(np.float64)
    values, vectors = np.linalg.eigh(wide.T @ wide)
    kept = values > max(float(values[-1]), 1e-12) * FLAT
    turned = vectors[:, kept][:, ::-1] / np.sqrt(values[kept][::-1])
    return np.asarray(wide @ turned, np.float32)
