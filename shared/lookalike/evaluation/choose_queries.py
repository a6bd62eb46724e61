"""Which images of an evaluation are its queries, and which its gallery: a split without leakage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence import HELD_OUT_SPLITS
from lookalike.errors import InvalidInput
from lookalike.evaluation.queries_and_gallery import Exclude, Rows


@dataclass(frozen=True, slots=True, eq=False)
class QuerySplit:
    """Rows of the queries and of the gallery.

    Attributes:
        queries: (q,) int64.
        gallery: (g,) int64; may hold the queries.
        exclude: positions in `queries` and in `gallery` of pairs to skip.
        words: how the split was chosen, for people.
    """

    queries: Rows
    gallery: Rows
    exclude: Exclude
    words: str

    @classmethod
    def choose(
        cls,
        ids: Sequence[str],
        splits: Sequence[str | None],
        held_out: Sequence[frozenset[str]],
        *,
        near_duplicates: Callable[[], Exclude] | None = None,
        queries: int | None = None,
    ) -> QuerySplit:
        """A split in which no query is an image that an encoder was trained on.

        Queries are the images that the training of every trained encoder held out; else those that the
        metadata column `split` marks; else each image is a query against all others (leave-one-out).

        Args:
            ids: of the images.
            splits: their metadata column `split`.
            held_out: of each encoder: ids of the images that its training held out; empty if it has none.
            near_duplicates, queries: of `leave_one_out`; the first is called only for that.
        """
        trained = [known for known in held_out if known]
        if trained:
            common = frozenset.intersection(*trained)
            is_query = np.array([item_id in common for item_id in ids], bool)
            if is_query.any() and not is_query.all():
                return cls.held_out(is_query, "queries are the images that the encoder's training held out")
        named = cls.by_name(splits, HELD_OUT_SPLITS)
        if named is not None:
            return named
        found = near_duplicates() if near_duplicates else None
        return cls.leave_one_out(len(ids), near_duplicates=found, queries=queries)

    @classmethod
    def held_out(cls, queries: NDArray[np.bool_], words: str) -> QuerySplit:
        """Images marked in `queries`, (n,), are queries; the others are the gallery.

        Raises:
            InvalidInput: there are no queries, or no gallery.
        """
        if queries.all() or not queries.any():
            raise InvalidInput(
                "the split has no queries or no gallery",
                got=f"{int(queries.sum())} queries and {int((~queries).sum())} gallery images",
                fix="Mark some images as validation and others as train.",
            )
        none = np.empty(0, np.int64)
        return cls(np.flatnonzero(queries), np.flatnonzero(~queries), (none, none), words)

    @classmethod
    def leave_one_out(
        cls, count: int, *, near_duplicates: Exclude | None = None, queries: int | None = None, seed: int = 0
    ) -> QuerySplit:
        """Every image is a query against all others.

        Args:
            count: number of images.
            near_duplicates: pairs of rows that are near-duplicates, in any order; they are not compared.
            queries: maximum number of queries, sampled at random.
            seed: of the sample.
        """
        rows = np.arange(count)
        if queries is not None and queries < count:
            rows = np.sort(np.random.default_rng(seed).permutation(count)[:queries])
        left, right = near_duplicates or (np.empty(0, np.int64), np.empty(0, np.int64))
        first = np.concatenate([np.arange(count), left, right])
        second = np.concatenate([np.arange(count), right, left])
        place = np.full(count, -1, np.int64)
        place[rows] = np.arange(len(rows))
        kept = place[first] >= 0
        words = "leave-one-out" if len(rows) == count else "leave-one-out, sampled queries"
        words += ", near-duplicates excluded" if len(left) else ""
        return cls(rows, np.arange(count), (place[first[kept]], second[kept]), words)

    @classmethod
    def by_name(cls, splits: Sequence[str | None], held_out: frozenset[str]) -> QuerySplit | None:
        """The split by metadata, or None if it marks no queries or no gallery."""
        queries = np.array([str(name or "").lower() in held_out for name in splits], bool)
        if not queries.any() or queries.all():
            return None
        return cls.held_out(queries, "queries from the metadata column split")
