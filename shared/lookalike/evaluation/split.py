"""Which pictures ask and which may be found, so that nobody finds what they should not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.evaluation.sides import Exclude, Rows


@dataclass(frozen=True, slots=True, eq=False)
class QuerySplit:
    """Rows of a set of pictures.

    Attributes:
        queries: (q,) int64.
        gallery: (g,) int64; may hold the queries.
        exclude: positions in `queries` and in `gallery` of pairs that are not compared.
        words: how it came about, for people.
    """

    queries: Rows
    gallery: Rows
    exclude: Exclude
    words: str

    @classmethod
    def held_out(cls, asks: NDArray[np.bool_], words: str) -> QuerySplit:
        """Pictures marked in `asks`, (n,), ask; the others are the gallery.

        Raises:
            InvalidInput: one of the sides is empty.
        """
        if asks.all() or not asks.any():
            raise InvalidInput(
                "the split leaves one side empty",
                got=f"{int(asks.sum())} queries and {int((~asks).sum())} gallery pictures",
                fix="Mark some pictures as validation and others as train.",
            )
        none = np.empty(0, np.int64)
        return cls(np.flatnonzero(asks), np.flatnonzero(~asks), (none, none), words)

    @classmethod
    def leave_one_out(
        cls, count: int, *, alike: Exclude | None = None, queries: int | None = None, seed: int = 0
    ) -> QuerySplit:
        """Every picture asks all the others.

        Args:
            count: how many pictures there are.
            alike: pairs of rows that show the same picture, in any order; neither finds the other.
            queries: at most so many ask, drawn at random.
            seed: of the draw.
        """
        rows = np.arange(count)
        if queries is not None and queries < count:
            rows = np.sort(np.random.default_rng(seed).permutation(count)[:queries])
        left, right = alike or (np.empty(0, np.int64), np.empty(0, np.int64))
        first = np.concatenate([np.arange(count), left, right])
        second = np.concatenate([np.arange(count), right, left])
        place = np.full(count, -1, np.int64)
        place[rows] = np.arange(len(rows))
        kept = place[first] >= 0
        words = "every picture asks all the others" if len(rows) == count else f"{len(rows)} pictures ask all"
        words += ", near-duplicates of itself left out" if len(left) else ""
        return cls(rows, np.arange(count), (place[first[kept]], second[kept]), words)

    @classmethod
    def by_name(cls, splits: Sequence[str | None], held_out: frozenset[str]) -> QuerySplit | None:
        """The split that metadata names, or None where it names no side. Others are the gallery."""
        asks = np.array([str(name or "").lower() in held_out for name in splits], bool)
        if not asks.any() or asks.all():
            return None
        return cls.held_out(asks, "queries are those whose metadata says so in the column split")
