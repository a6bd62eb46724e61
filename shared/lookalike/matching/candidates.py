"""Pairs that may be the same product, found without comparing all with all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lookalike.types import Vectors

NEAREST = 10
"""Candidates of each product by each kind of evidence."""
BLOCK_ROWS = 256
MOST_COMMON = 2_000
"""A term in more products than that says little about which one it is, and would make the cost quadratic."""

Pairs = NDArray[np.int64]
Matrices = tuple[sparse.csr_matrix, sparse.csr_matrix]


def candidate_pairs(by_terms: Sequence[Matrices], by_vectors: Sequence[tuple[Vectors, Vectors]]) -> Pairs:
    """The ten nearest of every product on the other side, by each kind of evidence, in both directions.

    Args:
        by_terms: (left, right) sparse rows of unit length over the same terms.
        by_vectors: (left, right) dense rows; a row with NaN has no candidates.

    Returns:
        (p, 2) int64: rows of the left and of the right side, without repetition, ascending.
    """
    found: list[Pairs] = [np.empty((0, 2), np.int64)]
    for sides in by_terms:
        left, right = _without_common_terms(*sides)
        found += _nearest_by_terms(left, right)
        found += [pairs[:, ::-1] for pairs in _nearest_by_terms(right, left)]
    for one, other in by_vectors:
        found += _nearest_by_vectors(one, other)
        found += [pairs[:, ::-1] for pairs in _nearest_by_vectors(other, one)]
    return np.unique(np.concatenate(found), axis=0)


def _without_common_terms(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Matrices:
    kept = np.flatnonzero((left.getnnz(axis=0) <= MOST_COMMON) & (right.getnnz(axis=0) <= MOST_COMMON))
    return left[:, kept].tocsr(), right[:, kept].tocsr()


def _nearest_by_terms(queries: sparse.csr_matrix, others: sparse.csr_matrix) -> Iterator[Pairs]:
    transposed = others.T.tocsr()
    for start in range(0, queries.shape[0], BLOCK_ROWS):
        scores = (queries[start : start + BLOCK_ROWS] @ transposed).tocsr()
        lengths = np.diff(scores.indptr)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        order = np.lexsort((scores.indices, -scores.data, rows))
        rank = np.arange(len(order)) - scores.indptr[rows]
        best = order[rank < NEAREST]
        yield np.column_stack([rows[best] + start, scores.indices[best]]).astype(np.int64)


def _nearest_by_vectors(queries: Vectors, others: Vectors) -> Iterator[Pairs]:
    known = np.flatnonzero(~np.isnan(others).any(axis=1))
    count = min(NEAREST, len(known))
    for start in range(0, len(queries) if count else 0, BLOCK_ROWS):
        block = queries[start : start + BLOCK_ROWS]
        rows = np.flatnonzero(~np.isnan(block).any(axis=1))
        scores = block[rows] @ others[known].T
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        yield np.column_stack([np.repeat(rows + start, count), known[best].ravel()]).astype(np.int64)
