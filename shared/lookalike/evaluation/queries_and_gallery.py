"""The queries and the gallery of an evaluation, with their classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.types import Vectors

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]
Labels = Sequence[str] | Sequence[int] | NDArray[np.str_] | NDArray[np.integer]
Exclude = tuple[NDArray[np.integer], NDArray[np.integer]]
"""Pairs to skip: query rows and gallery rows, both (p,)."""

# Scores per block (16 MB of float32), for any number of images.
BLOCK_NUMBERS = 1 << 22
SMALLEST_LENGTH = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class QueriesAndGallery:
    """Validated queries and gallery.

    Attributes:
        queries: (q, d) float32, unit length.
        gallery: (g, d) float32, unit length.
        query_classes: (q,) int64, numbers into `classes`.
        gallery_classes: (g,) int64, numbers into `classes`.
        classes: names, sorted.
        excluded_queries: (p,) query rows of the pairs to skip, ascending.
        excluded_gallery: (p,) their gallery rows.
    """

    queries: Vectors
    gallery: Vectors
    query_classes: Rows
    gallery_classes: Rows
    classes: tuple[str, ...]
    excluded_queries: Rows
    excluded_gallery: Rows

    @classmethod
    def of(
        cls,
        queries: Vectors,
        query_labels: Labels,
        gallery: Vectors,
        gallery_labels: Labels,
        *,
        exclude: Exclude | None = None,
    ) -> QueriesAndGallery:
        """Validate queries and gallery, and number their classes.

        Args:
            queries: (q, d), any norm; compared by cosine.
            query_labels: (q,).
            gallery: (g, d).
            gallery_labels: (g,).
            exclude: pairs to skip, such as an image and itself; repeats are allowed.

        Raises:
            InvalidInput: queries or gallery are empty, or rows, dimensions and labels do not match.
        """
        _check(queries, query_labels, gallery, gallery_labels)
        names, numbers = np.unique(
            np.concatenate([np.asarray(query_labels), np.asarray(gallery_labels)]), return_inverse=True
        )
        left, right = _pairs(exclude)
        return cls(
            queries=_unit_length(queries),
            gallery=_unit_length(gallery),
            query_classes=numbers[: len(queries)].astype(np.int64),
            gallery_classes=numbers[len(queries) :].astype(np.int64),
            classes=tuple(str(name) for name in names.tolist()),
            excluded_queries=left,
            excluded_gallery=right,
        )

    def relevant(self) -> Rows:
        """(q,): the number of relevant gallery images of each query."""
        counts = np.bincount(self.gallery_classes, minlength=len(self.classes))[self.query_classes]
        same = self.query_classes[self.excluded_queries] == self.gallery_classes[self.excluded_gallery]
        lost = np.bincount(self.excluded_queries[same], minlength=len(self.queries))
        return np.asarray(counts - lost, np.int64)

    def blocks(self, rows: Rows | None = None) -> Iterator[tuple[Rows, Scores]]:
        """Cosines of queries (None: all) to the whole gallery, block by block.

        Yields:
            Query rows (b,), and scores (b, g), float32; skipped pairs have −inf. The array is reused.
        """
        rows = np.arange(len(self.queries)) if rows is None else rows
        step = max(1, BLOCK_NUMBERS // len(self.gallery))
        scratch = np.empty((min(step, len(rows)), len(self.gallery)), np.float32)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            scores = np.matmul(self.queries[part], self.gallery.T, out=scratch[: len(part)])
            self._leave_out(part, scores)
            yield part, scores

    def _leave_out(self, rows: Rows, scores: Scores) -> None:
        begin = np.searchsorted(self.excluded_queries, rows, side="left")
        counts = np.searchsorted(self.excluded_queries, rows, side="right") - begin
        at = np.repeat(begin - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        scores[np.repeat(np.arange(len(rows)), counts), self.excluded_gallery[at]] = -np.inf


def each_itself(count: int) -> Exclude:
    """Every row paired with itself, to skip when the queries are the gallery (leave-one-out)."""
    rows = np.arange(count)
    return rows, rows


def _check(queries: Vectors, query_labels: Labels, gallery: Vectors, gallery_labels: Labels) -> None:
    for name, vectors, labels in (("query", queries, query_labels), ("gallery", gallery, gallery_labels)):
        if vectors.ndim != 2 or not len(vectors):
            raise InvalidInput(f"there are no {name} vectors", got=f"shape {vectors.shape}")
        if len(vectors) != len(labels):
            raise InvalidInput(f"every {name} vector needs a label", got=len(labels), expected=len(vectors))
        if not np.isfinite(vectors).all():
            raise InvalidInput(f"{name} vectors have values that are not finite")
    if queries.shape[1] != gallery.shape[1]:
        raise InvalidInput(
            "queries and gallery have different dimensions",
            got=f"dimension {queries.shape[1]}",
            expected=gallery.shape[1],
        )


def _pairs(exclude: Exclude | None) -> tuple[Rows, Rows]:
    if exclude is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    pairs = np.unique(np.stack([np.asarray(side, np.int64) for side in exclude], axis=1), axis=0)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def _unit_length(vectors: Vectors) -> Vectors:
    vectors = np.ascontiguousarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if np.abs(lengths - 1).max() < 1e-5:
        return vectors
    scaled: Vectors = vectors / np.maximum(lengths, SMALLEST_LENGTH)
    return scaled
