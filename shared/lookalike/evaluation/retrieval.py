"""Retrieval metrics by query: recall@k and mAP@R."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.queries_and_gallery import Exclude, Labels, QueriesAndGallery, Rows, Scores
from lookalike.types import Vectors

DEPTHS = (1, 5, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """The outcome of each query.

    A query whose class is not in the gallery cannot succeed. The means exclude it, and its entries in `hits`
    and `average_precision` are NaN.

    Attributes:
        hits: for each depth k, (q,) float64: 1 if one of the k nearest is of the query's class, else 0.
        average_precision: (q,) float64: average precision at R (see `map_at_r`), in [0, 1].
        nearest: (q,) int64: gallery row of the nearest image; −1 if all were excluded.
        nearest_score: (q,) float32: its cosine; NaN if there is none.
        relevant: (q,) int64: R, gallery images of the query's class.
    """

    hits: Mapping[int, NDArray[np.float64]]
    average_precision: NDArray[np.float64]
    nearest: Rows
    nearest_score: NDArray[np.float32]
    relevant: Rows

    def recall(self, k: int) -> float:
        """Mean of `hits[k]`; NaN when no query can succeed."""
        return mean_of(self.hits[k])

    def of(self, queries: NDArray[np.bool_]) -> Retrieval:
        """The outcome of some of the queries; (q,)."""
        return Retrieval(
            hits={k: hits[queries] for k, hits in self.hits.items()},
            average_precision=self.average_precision[queries],
            nearest=self.nearest[queries],
            nearest_score=self.nearest_score[queries],
            relevant=self.relevant[queries],
        )

    @property
    def map_at_r(self) -> float:
        """Mean of `average_precision`; NaN when no query can succeed."""
        return mean_of(self.average_precision)


def retrieval(
    queries: Vectors,
    query_labels: Labels,
    gallery: Vectors,
    gallery_labels: Labels,
    *,
    exclude: Exclude | None = None,
) -> Retrieval:
    """Rank the gallery by cosine for every query and score each ranking by class.

    Args:
        queries: (q, d) float32.
        query_labels: (q,) classes, strings or numbers.
        gallery: (g, d) float32.
        gallery_labels: (g,).
        exclude: (query rows, gallery rows) of pairs to skip. If the queries are the gallery, use
            `each_itself(q)`.

    Memory use is one block of scores. 3,000 × 3,000 take 0.2 s on one core.

    Raises:
        InvalidInput: see `QueriesAndGallery.of`.
    """
    return rank(QueriesAndGallery.of(queries, query_labels, gallery, gallery_labels, exclude=exclude))


def recall_at_k(
    queries: Vectors,
    query_labels: Labels,
    gallery: Vectors,
    gallery_labels: Labels,
    k: int = 1,
    *,
    exclude: Exclude | None = None,
) -> float:
    """Share of queries with an image of their class among their `k` (1, 5 or 10) nearest."""
    return retrieval(queries, query_labels, gallery, gallery_labels, exclude=exclude).recall(k)


def map_at_r(
    queries: Vectors,
    query_labels: Labels,
    gallery: Vectors,
    gallery_labels: Labels,
    *,
    exclude: Exclude | None = None,
) -> float:
    """Mean average precision at R, in [0, 1].

    For a query with R gallery images of its class: (1 / R) · Σ_{i ≤ R} precision(i) · [i-th is of its
    class]. 1 means that the R nearest are all of its class. Musgrave, Belongie & Lim 2020, "A metric
    learning reality check", §3.2 (https://arxiv.org/abs/2003.08505).
    """
    return retrieval(queries, query_labels, gallery, gallery_labels, exclude=exclude).map_at_r


def rank(sides: QueriesAndGallery) -> Retrieval:
    """`retrieval` for validated sides."""
    count = len(sides.queries)
    relevant = sides.relevant()
    found = Retrieval(
        hits={k: np.full(count, np.nan) for k in DEPTHS},
        average_precision=np.full(count, np.nan),
        nearest=np.full(count, -1, np.int64),
        nearest_score=np.full(count, np.nan, np.float32),
        relevant=relevant,
    )
    for rows in _by_depth(relevant):
        depth = min(max(int(relevant[rows].max()), *DEPTHS), len(sides.gallery))
        for block, scores in sides.blocks(rows):
            _judge(sides, block, *best(scores, depth), found)
    return found


def mean_of(values: NDArray[np.float64]) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _by_depth(relevant: Rows) -> Iterator[Rows]:
    """Groups of queries whose R differ by less than a quarter, so that none is ranked too deep."""
    order = np.argsort(relevant, kind="stable")
    start = 0
    while start < len(order):
        limit = max(16, int(relevant[order[start]] * 1.25))
        end = int(np.searchsorted(relevant[order], limit, side="right"))
        yield order[start:end]
        start = end


def best(scores: Scores, depth: int) -> tuple[Rows, Scores]:
    """The `depth` best columns of each row, best first, and their scores."""
    if depth < scores.shape[1]:
        columns = np.argpartition(scores, scores.shape[1] - depth, axis=1)[:, -depth:]
    else:
        columns = np.broadcast_to(np.arange(depth), scores.shape)
    found = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(found, order, axis=1)


def _judge(sides: QueriesAndGallery, rows: Rows, columns: Rows, scores: Scores, found: Retrieval) -> None:
    """Record the rankings of `rows` in `found`: `columns` and `scores`, (b, depth), best first."""
    compared = np.isfinite(scores)
    found.nearest[rows] = np.where(compared[:, 0], columns[:, 0], -1)
    found.nearest_score[rows] = np.where(compared[:, 0], scores[:, 0], np.nan)
    possible = found.relevant[rows] > 0
    rows, columns, compared = rows[possible], columns[possible], compared[possible]
    right = (sides.gallery_classes[columns] == sides.query_classes[rows][:, None]) & compared
    for k in DEPTHS:
        found.hits[k][rows] = right[:, :k].any(axis=1)
    places = np.arange(1, right.shape[1] + 1)
    counted = right & (places <= found.relevant[rows][:, None])
    precision = np.cumsum(right, axis=1) / places
    found.average_precision[rows] = (precision * counted).sum(axis=1) / found.relevant[rows]
