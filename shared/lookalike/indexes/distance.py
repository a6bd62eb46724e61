"""Exact distances. Every engine takes its final distances from here.

Two steps. A scan in float32 at memory speed finds the candidates; `refined` then recomputes those few in
float64, so that the distance of a vector to itself is exactly 0, near-duplicates keep their order, and
equal distances are ordered by row, for every engine and however BLAS splits the work.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput, UnsupportedMetric
from lookalike.types import METRICS, Metric, Vector, Vectors, score_from_distance

__all__ = [
    "check_query",
    "exact_distances",
    "exact_search",
    "exact_search_many",
    "known_metric",
    "refined",
    "score_from_distance",
]

Rows = NDArray[np.int64]
Distances = NDArray[np.float32]

# Numbers of a scratch block: small enough to stay in a core's cache, where |a − b| is summed.
BLOCK_NUMBERS = 1 << 17
# Numbers of a block of the many-queries scan (float64: 32 MB).
MANY_BLOCK_NUMBERS = 1 << 22
# Relative error that float32 sums of a few thousand terms may carry, with a margin: every row this close to
# the last place is passed to the float64 step.
ROUNDING = 2e-5
# Extra candidates that the many-queries scan keeps for the same reason.
SLACK = 8


def known_metric(metric: str) -> Metric:
    """`metric`, if it is one. Raises UnsupportedMetric."""
    for known in METRICS:
        if known == metric:
            return known
    raise UnsupportedMetric("no such metric", got=metric, expected=" | ".join(METRICS))


def check_query(query: NDArray[np.floating], dimension: int) -> Vector:
    """`query` as a contiguous float32 vector of shape (dimension,).

    Raises:
        InvalidInput: another shape, or a value that is not finite.
    """
    vector = np.ascontiguousarray(query, dtype=np.float32)
    if vector.shape != (dimension,):
        raise InvalidInput(
            "the query vector has the wrong dimension",
            got=vector.shape[0] if vector.ndim == 1 else f"shape {vector.shape}",
            expected=dimension,
            fix="Encode the query with the collection's own encoder.",
        )
    if not np.isfinite(vector).all():
        raise InvalidInput("the query vector has values that are not finite")
    return vector


def exact_distances(query: Vector, vectors: Vectors, metric: Metric) -> Distances:
    """Distance of `query` to every row of `vectors`, in float32 arithmetic.

    Args:
        query: shape (d,), float32; any length, for cosine too.
        vectors: shape (n, d), float32, rows may be strided (a view into an index file); of unit length or
            zero for cosine. A zero vector has cosine 0 to everything, so distance 1.
        metric: cosine → 1 − cos, clipped to [0, 2]; l2 → Euclidean; l1 → sum of absolute differences.

    Returns:
        shape (n,), float32. No copy of `vectors` is made; scratch memory is bounded.

    Raises:
        InvalidInput: the dimensions differ, or the query is not finite.
        UnsupportedMetric: no such metric.
    """
    return _distances(check_query(query, vectors.shape[1]), vectors, known_metric(metric))


def exact_search(
    query: Vector,
    vectors: Vectors,
    limit: int,
    metric: Metric,
    rows: NDArray[np.integer] | None = None,
) -> tuple[Rows, Distances]:
    """The `limit` nearest rows of `vectors`, or of its subset `rows`; fewer when there are fewer.

    Args:
        query: shape (d,), float32.
        vectors: shape (n, d), float32, may be a strided memory-mapped view.
        limit: how many to return, at least 1.
        metric: see `exact_distances`.
        rows: distinct row numbers to search, for example those that pass a filter; all when None.

    Returns:
        Rows (int64) and distances (float32), nearest first, equal distances in the order of rows.

    Raises:
        InvalidInput: the dimensions differ, or `limit` is below 1.
    """
    if limit < 1:
        raise InvalidInput("limit is out of range", got=limit, expected="at least 1")
    query, metric = check_query(query, vectors.shape[1]), known_metric(metric)
    if rows is None:
        distances = _distances(query, vectors, metric)
        return refined(query, vectors, _close_to_best(distances, limit, metric), metric, limit)
    rows = np.asarray(rows, dtype=np.int64)
    distances = np.empty(len(rows), np.float32)
    step = max(1, BLOCK_NUMBERS // vectors.shape[1])
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        distances[start : start + step] = _distances(query, vectors[block], metric)
    return refined(query, vectors, rows[_close_to_best(distances, limit, metric)], metric, limit)


def refined(
    query: Vector, vectors: Vectors, rows: NDArray[np.integer], metric: Metric, limit: int
) -> tuple[Rows, Distances]:
    """Candidate `rows` with distances recomputed in float64, sorted by (distance, row) and cut to `limit`.

    For cosine, 1 − cos(a, b) = ½ ‖a/‖a‖ − b/‖b‖‖²: the difference keeps the digits that 1 − a·b loses
    when the vectors are close, and the distance of a vector to itself is exactly 0.
    """
    candidates: Rows = np.asarray(rows, dtype=np.int64)
    exact = np.empty(len(candidates), np.float64)
    step = max(1, BLOCK_NUMBERS // vectors.shape[1])
    for start in range(0, len(candidates), step):
        block = vectors[candidates[start : start + step]].astype(np.float64)
        exact[start : start + step] = _precise(query, block, metric)
    # Cut to float32 first: rows whose distances differ only by rounding are equal for users.
    distances = exact.astype(np.float32)
    order = np.lexsort((candidates, distances))[:limit]
    return candidates[order], distances[order]


def exact_search_many(
    queries: Vectors,
    vectors: Vectors,
    limit: int,
    metric: Metric,
    exclude: NDArray[np.integer] | None = None,
) -> tuple[Rows, Distances]:
    """The `limit` nearest rows of each query in one pass over `vectors`: all pairs, and ground truth.

    Args:
        queries: shape (q, d), float32.
        vectors: shape (n, d), float32, may be a strided memory-mapped view.
        limit: results per query, at least 1.
        metric: see `exact_distances`.
        exclude: shape (q,): one row that query i must not find (itself), or −1.

    Returns:
        Rows (q, k) int64 and distances (q, k) float32, nearest first, k = min(limit, n, or n − 1 with
        `exclude`). Memory is bounded by a block. If more than `limit` rows tie at the last place, any of them
        may be returned.

    Raises:
        InvalidInput: the dimensions differ, or `limit` is below 1.
    """
    if limit < 1:
        raise InvalidInput("limit is out of range", got=limit, expected="at least 1")
    known_metric(metric)
    for query in queries:
        check_query(query, vectors.shape[1])
    width = max(0, min(limit, len(vectors) - (exclude is not None)))
    found = np.empty((len(queries), width), np.int64)
    distances = np.empty((len(queries), width), np.float32)
    for start in range(0, len(queries), 256):
        part = slice(start, start + 256)
        left_out = None if exclude is None else np.asarray(exclude)[part]
        for i, candidates in enumerate(_scan(queries[part], vectors, limit + SLACK, metric, left_out)):
            query = queries[start + i]
            found[start + i], distances[start + i] = refined(query, vectors, candidates, metric, width)
    return found, distances


def _scan(
    queries: Vectors, vectors: Vectors, keep: int, metric: Metric, exclude: NDArray[np.integer] | None
) -> list[Rows]:
    """Per query, the `keep` best candidate rows, kept while walking over `vectors` block by block."""
    count, dimension = queries.shape
    best = np.full((count, 0), np.inf)
    best_rows = np.zeros((count, 0), np.int64)
    step = max(1, MANY_BLOCK_NUMBERS // max(dimension, count))
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step]
        distances = _pairwise(queries, block, metric)
        if exclude is not None:
            here = np.flatnonzero((exclude >= start) & (exclude < start + len(block)))
            distances[here, exclude[here] - start] = np.inf
        rows = np.broadcast_to(np.arange(start, start + len(block)), distances.shape)
        best, best_rows = _keep_best(
            np.concatenate([best, distances], axis=1), np.concatenate([best_rows, rows], axis=1), keep
        )
    return [rows[np.isfinite(d)] for rows, d in zip(best_rows, best, strict=True)]


def _keep_best(distances: NDArray[np.float64], rows: Rows, keep: int) -> tuple[NDArray[np.float64], Rows]:
    if distances.shape[1] <= keep:
        return distances, rows
    chosen = np.argpartition(distances, keep - 1, axis=1)[:, :keep]
    return np.take_along_axis(distances, chosen, axis=1), np.take_along_axis(rows, chosen, axis=1)


def _pairwise(queries: Vectors, block: Vectors, metric: Metric) -> NDArray[np.float64]:
    """Numbers that order rows as the metric does, (q, b). In float64, because ‖a‖² + ‖b‖² − 2 a·b cancels."""
    if metric == "l1":
        return np.stack([_difference_norms(query, block, metric) for query in queries]).astype(np.float64)
    left, right = queries.astype(np.float64), block.astype(np.float64)
    if metric == "cosine":
        return np.asarray(1.0 - _units(left) @ right.T)
    squares = np.einsum("ij,ij->i", right, right)
    return np.asarray(np.einsum("ij,ij->i", left, left)[:, None] + squares - 2.0 * (left @ right.T))


def _distances(query: Vector, vectors: Vectors, metric: Metric) -> Distances:
    if metric != "cosine":
        return _difference_norms(query, vectors, metric)
    # BLAS walks the strides itself, so that one product over a memory-mapped view copies nothing.
    similarity = vectors @ _unit(query).astype(np.float32)
    np.subtract(1.0, similarity, out=similarity)
    return np.clip(similarity, 0.0, 2.0, out=similarity)


def _difference_norms(query: Vector, vectors: Vectors, metric: Metric) -> Distances:
    """l2 or l1 norm of `vectors − query` per row, through a scratch block that stays in cache."""
    distances = np.empty(len(vectors), np.float32)
    step = max(1, BLOCK_NUMBERS // vectors.shape[1])
    scratch = np.empty((min(step, max(1, len(vectors))), vectors.shape[1]), np.float32)
    ones = np.ones(vectors.shape[1], np.float32)
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step]
        difference = np.subtract(block, query, out=scratch[: len(block)])
        target = distances[start : start + step]
        if metric == "l1":
            # A product with ones sums rows twice as fast as sum(axis=1) does.
            np.dot(np.abs(difference, out=difference), ones, out=target)
        else:
            np.einsum("ij,ij->i", difference, difference, out=target)
    return np.sqrt(distances, out=distances) if metric == "l2" else distances


def _precise(query: Vector, block: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """Distances in float64; uses `block` as scratch space."""
    if metric == "l1":
        return np.asarray(np.abs(block - query).sum(axis=1))
    if metric == "l2":
        return np.asarray(np.linalg.norm(block - query, axis=1))
    lengths = np.sqrt(np.square(block).sum(axis=1, keepdims=True))
    np.divide(block, lengths, out=block, where=lengths > 0)
    unit_query = _unit(query)
    np.subtract(block, unit_query, out=block)
    halves = 0.5 * np.square(block, out=block).sum(axis=1)
    return np.where((lengths[:, 0] > 0) & unit_query.any(), np.minimum(halves, 2.0), 1.0)


def _unit(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """`vector` scaled to length 1 in float64; a zero vector stays zero."""
    return np.asarray(_units(vector[None])[0])


def _units(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows scaled to length 1 in float64, each as if it were alone, so that equal rows stay equal."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    units: NDArray[np.float64] = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    return units


def _close_to_best(distances: Distances, limit: int, metric: Metric) -> Rows:
    """Positions that may belong to the best `limit` without rounding errors."""
    if len(distances) <= limit:
        return np.arange(len(distances))
    last = float(np.partition(distances, limit - 1)[limit - 1])
    margin = ROUNDING if metric == "cosine" else ROUNDING * last
    return np.flatnonzero(distances <= last + 2 * margin)
