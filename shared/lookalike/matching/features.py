"""Evidence for and against a pair: how its titles, codes, numbers, prices and images compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from lookalike.matching.candidates import Matrices, Pairs, candidate_pairs
from lookalike.matching.listing import Listing
from lookalike.words import codes, folded, numbers, words

ALL_PAIRS = 2_500
"""Up to so many pairs all are compared: what does not match at all is learned from too."""
RANKED = ("words", "trigrams", "texts", "together", "image")
"""Features by which a pair is compared with its rivals."""
FARTHEST_PRICE = 2.0
"""Largest difference of the logarithms of two prices; beyond it nothing changes."""
Column = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Candidate pairs with their evidence.

    Attributes:
        pairs: (p, 2) rows of the left and the right listing.
        values: (p, f) float64, one column for each of `names`.
        names: of the features.
    """

    pairs: Pairs
    values: NDArray[np.float64]
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> Column:
        """One feature of all pairs."""
        return self.values[:, self.names.index(name)]

    @classmethod
    def of(cls, pairs: Pairs, columns: Mapping[str, Column]) -> Evidence:
        """The given features, and how each pair compares with its rivals."""
        found = dict(columns)
        for name in RANKED:
            found |= {f"{name} {kind}": values for kind, values in standing(pairs, columns[name]).items()}
        return cls(pairs, np.column_stack(list(found.values())), tuple(found))

    def only(self, kept: NDArray[np.bool_]) -> Evidence:
        """The evidence that there would be if the other pairs did not exist; `kept` has shape (p,)."""
        alone = [name for name in self.names if not name.endswith((" lead", " rank"))]
        return Evidence.of(self.pairs[kept], {name: self[name][kept] for name in alone})


def gather(left: Listing, right: Listing) -> Evidence:
    """Find the candidate pairs of two listings (of small ones, all pairs), and compare each."""
    terms = _Terms.of(left, right)
    images = [(left.vectors, right.vectors)] if left.vectors is not None and right.vectors is not None else []
    if len(left) * len(right) <= ALL_PAIRS:
        pairs = np.argwhere(np.ones((len(left), len(right)), bool))
    else:
        pairs = candidate_pairs([terms.words, terms.trigrams, terms.texts, terms.codes], images)
    columns = _similarities(pairs, terms) | _codes(pairs, left, right) | _numbers(pairs, left, right)
    columns |= _prices(pairs, left, right) | _brands(pairs, left, right) | _images(pairs, left, right)
    columns["together"] = columns["words"] + columns["trigrams"] + columns["texts"] + 1.5 * columns["codes"]
    return Evidence.of(pairs, columns)


@dataclass(frozen=True)
class _Terms:
    """TF-IDF rows of unit length (Salton & Buckley 1988) of both listings, over the terms of both."""

    words: Matrices
    trigrams: Matrices
    texts: Matrices
    codes: Matrices

    @classmethod
    def of(cls, left: Listing, right: Listing) -> _Terms:
        sides = (left, right)
        titles = [list(side.titles) for side in sides]
        texts = [[f"{t} {d}" for t, d in zip(side.titles, side.descriptions, strict=True)] for side in sides]
        return cls(
            _weighted(titles, analyzer=words),
            _weighted([[folded(t) for t in side] for side in titles], analyzer="char_wb", ngram_range=(3, 3)),
            _weighted(texts, analyzer=words),
            _weighted(texts, analyzer=lambda text: sorted(codes(text))),
        )


def _weighted(sides: Sequence[Sequence[str]], **options: Any) -> Matrices:
    vectorizer = TfidfVectorizer(sublinear_tf=True, lowercase=False, **options)
    try:
        vectorizer.fit([*sides[0], *sides[1]])
    except ValueError:  # there is no term at all
        empty = [sparse.csr_matrix((len(side), 1)) for side in sides]
        return empty[0], empty[1]
    return vectorizer.transform(sides[0]).tocsr(), vectorizer.transform(sides[1]).tocsr()


def _similarities(pairs: Pairs, terms: _Terms) -> dict[str, Column]:
    columns = {name: _cosine(pairs, getattr(terms, name)) for name in ("words", "trigrams", "texts", "codes")}
    one, other = terms.words[0][pairs[:, 0]], terms.words[1][pairs[:, 1]]
    shared = [_squared(a.multiply(b.sign())) for a, b in ((one, other), (other, one))]
    columns["contained"] = np.maximum(*shared)
    columns["overlap"] = np.minimum(*shared)
    return columns


def _cosine(pairs: Pairs, sides: Matrices) -> Column:
    product = sides[0][pairs[:, 0]].multiply(sides[1][pairs[:, 1]])
    return np.asarray(product.sum(axis=1), np.float64).ravel()


def _squared(rows: sparse.csr_matrix) -> Column:
    return np.asarray(rows.multiply(rows).sum(axis=1), np.float64).ravel()


def _codes(pairs: Pairs, left: Listing, right: Listing) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for name, texts in (
        ("title code", lambda side: side.titles),
        ("code", lambda side: [f"{t} {d}" for t, d in zip(side.titles, side.descriptions, strict=True)]),
    ):
        one, other = ([codes(text) for text in texts(side)] for side in (left, right))
        compared = np.array([_compare_codes(one[i], other[j]) for i, j in pairs.tolist()], np.float64)
        compared = compared.reshape(-1, 3)
        columns |= {f"{name} {kind}": compared[:, n] for n, kind in enumerate(("equal", "part", "other"))}
    return columns


def _compare_codes(one: frozenset[str], other: frozenset[str]) -> tuple[bool, bool, bool]:
    """Whether a code is the same, whether one is part of another, and whether all differ."""
    if not one or not other:
        return False, False, False
    equal = not one.isdisjoint(other)
    part = equal or any(a in b or b in a for a in one for b in other)
    return equal, part, not part


def _numbers(pairs: Pairs, left: Listing, right: Listing) -> dict[str, Column]:
    one, other = ([numbers(title) for title in side.titles] for side in (left, right))
    both = [(one[i], other[j]) for i, j in pairs.tolist()]
    return {
        "numbers shared": np.array([len(a & b) / max(1, len(a | b)) for a, b in both], np.float64),
        "numbers differ": np.array([bool(a) and bool(b) and a.isdisjoint(b) for a, b in both], np.float64),
    }


def _prices(pairs: Pairs, left: Listing, right: Listing) -> dict[str, Column]:
    one, other = left.prices[pairs[:, 0]], right.prices[pairs[:, 1]]
    known = (one > 0) & (other > 0)
    ratio = np.log(np.where(known, one, 1) / np.where(known, other, 1))
    return {
        "price difference": np.minimum(np.abs(ratio), FARTHEST_PRICE),
        "price unknown": (~known).astype(np.float64),
    }


def _brands(pairs: Pairs, left: Listing, right: Listing) -> dict[str, Column]:
    def named(side: Listing) -> list[str]:
        first = [next(iter(words(title)), "") for title in side.titles]
        return [folded(brand) or word for brand, word in zip(side.brands, first, strict=True)]

    one, other = named(left), named(right)
    same = [bool(one[i]) and one[i] == other[j] for i, j in pairs.tolist()]
    return {"brand": np.array(same, np.float64)}


def _images(pairs: Pairs, left: Listing, right: Listing) -> dict[str, Column]:
    if left.vectors is None or right.vectors is None:
        return {"image": np.zeros(len(pairs)), "image unknown": np.ones(len(pairs))}
    scores = np.einsum("ij,ij->i", left.vectors[pairs[:, 0]], right.vectors[pairs[:, 1]]).astype(np.float64)
    unknown = np.isnan(scores)
    return {"image": np.where(unknown, 0, scores), "image unknown": unknown.astype(np.float64)}


def standing(pairs: Pairs, scores: Column) -> dict[str, Column]:
    """How a pair compares with the other candidates of its left and of its right product.

    Returns:
        For either side `lead` (score minus that of the best other candidate) and `rank` (1 / rank).
    """
    found: dict[str, Column] = {}
    for side, own in (("left", pairs[:, 0]), ("right", pairs[:, 1])):
        order = np.lexsort((-scores, own))
        ordered, group = scores[order], own[order]
        begins = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.empty(0, np.int64)
        sizes = np.diff(np.r_[begins, len(group)])
        place = np.arange(len(group)) - np.repeat(begins, sizes)
        second = np.where(sizes > 1, ordered[np.minimum(begins + 1, max(0, len(group) - 1))], 0.0)
        best_other = np.where(place == 0, np.repeat(second, sizes), np.repeat(ordered[begins], sizes))
        lead, rank = np.empty(len(scores)), np.empty(len(scores))
        lead[order] = ordered - best_other
        rank[order] = 1 / (1 + place)
        found |= {f"{side} lead": lead, f"{side} rank": rank}
    return found
