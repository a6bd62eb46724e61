"""Which items have which terms, and how much that says: BM25 (Robertson & Zaragoza 2009, equation 3.15).

The index is part of a snapshot, so it never changes. Newer items get one of their own, which takes over what
is known of the terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

SATURATION = 1.2
"""k1: how soon a repeated term adds nothing."""
LENGTH_PENALTY = 0.75
"""b: how much less a term says in a long text."""
ENDS = "\n"
"""Between two terms in the stored form."""
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class InvertedIndex:
    """The items of each term. Thread-safe.

    Attributes:
        terms: sorted.
        rarity: (terms,) float32: the inverse document frequency of each.
        starts: (terms + 1,) int64: where the items of each start in the others, and the end.
        rows: (entries,) int32: items.
        weights: (entries,) float32: what the term says of the item, around 1 for one occurrence.
        size: number of items.
        mean_length: of the texts, in terms.
    """

    terms: tuple[str, ...]
    rarity: Scores
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    weights: Scores
    size: int
    mean_length: float

    @classmethod
    def build(cls, texts: Sequence[Mapping[str, float]], like: InvertedIndex | None = None) -> InvertedIndex:
        """From the terms of each item and how often it has them.

        Args:
            texts: of every item; empty where it has none.
            like: whose lengths and rarities to take over.
        """
        entries: dict[str, list[tuple[int, float]]] = {}
        lengths = np.array([sum(text.values()) for text in texts], np.float32)
        for row, text in enumerate(texts):
            for term, count in text.items():
                entries.setdefault(term, []).append((row, count))
        filled = int(np.count_nonzero(lengths))
        mean = like.mean_length if like else float(lengths.sum()) / max(1, filled)
        terms = tuple(sorted(entries))
        counts = np.array([len(entries[term]) for term in terms], np.int64)
        rows = np.fromiter((row for term in terms for row, _ in entries[term]), np.int32, int(counts.sum()))
        often = np.fromiter((n for term in terms for _, n in entries[term]), np.float32, int(counts.sum()))
        damped = SATURATION * (1 - LENGTH_PENALTY + LENGTH_PENALTY * lengths[rows] / max(mean, 1e-9))
        if like is None:
            rarity = np.log1p((filled - counts + 0.5) / (counts + 0.5)).astype(np.float32)
        else:
            rarity = np.array([like.rarity_of(term) for term in terms], np.float32)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        weights = (often * (SATURATION + 1) / (often + damped)).astype(np.float32)
        return cls(terms, rarity, starts, rows, weights, len(texts), mean)

    def scores(self, query: Mapping[str, float], like: InvertedIndex | None = None) -> Scores:
        """How much of a query each item has, (size,) float32: 0 for nothing, around 1 for all of it.

        Args:
            query: terms and their weights. A term that no item has counts as one that hardly any has.
            like: whose rarities to use.
        """
        scores = np.zeros(self.size, np.float32)
        known = like or self
        whole = sum(weight * known.rarity_of(term) for term, weight in query.items())
        for term, weight in query.items():
            place = self._places.get(term)
            if place is not None:
                entries = slice(int(self.starts[place]), int(self.starts[place + 1]))
                scores[self.rows[entries]] += (
                    np.float32(weight * known.rarity_of(term)) * self.weights[entries]
                )
        return scores / np.float32(max(whole, 1e-9))

    def rarity_of(self, term: str) -> float:
        """The inverse document frequency of a term, also of one that no item has."""
        place = self._places.get(term)
        return self._rarest if place is None else float(self.rarity[place])

    def count_of(self, term: str) -> int:
        """How many items have a term."""
        place = self._places.get(term)
        return 0 if place is None else int(self.starts[place + 1] - self.starts[place])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {term: place for place, term in enumerate(self.terms)}

    @cached_property
    def _rarest(self) -> float:
        return float(self.rarity.max()) if len(self.rarity) else 1.0

    def arrays(self, prefix: str) -> dict[str, NDArray[np.generic]]:
        """What `of` needs, to be stored."""
        return {
            f"{prefix}_terms": np.frombuffer(ENDS.join(self.terms).encode(), np.uint8),
            f"{prefix}_rarity": self.rarity,
            f"{prefix}_starts": self.starts,
            f"{prefix}_rows": self.rows,
            f"{prefix}_weights": self.weights.astype(np.float16),
            f"{prefix}_sizes": np.array([self.size, self.mean_length], np.float64),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> InvertedIndex:
        """Inverse of `arrays`."""
        text = arrays[f"{prefix}_terms"].tobytes().decode()
        size, mean = np.asarray(arrays[f"{prefix}_sizes"], np.float64).tolist()
        return cls(
            tuple(text.split(ENDS)) if text else (),
            np.asarray(arrays[f"{prefix}_rarity"], np.float32),
            np.asarray(arrays[f"{prefix}_starts"], np.int64),
            np.asarray(arrays[f"{prefix}_rows"], np.int32),
            np.asarray(arrays[f"{prefix}_weights"], np.float32),
            int(size),
            mean,
        )


def trigrams(terms: Iterable[str]) -> Counter[str]:
    """Runs of three letters of each word, its ends marked."""
    found: Counter[str] = Counter()
    for term in terms:
        marked = f"^{term}$"
        found.update(marked[at : at + 3] for at in range(len(marked) - 2))
    return found
