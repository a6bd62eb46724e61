"""Confidence intervals of metrics by the bootstrap over queries.

Efron & Tibshirani 1993, "An introduction to the bootstrap": resample the queries with replacement many times
and compute the metric each time. Two encoders on the same queries use the same resamples, and the interval is
that of their difference (the paired bootstrap; Koehn 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.evaluation.pairs import PairCounts, binned
from lookalike.evaluation.queries_and_gallery import QueriesAndGallery

Replicates = NDArray[np.float64]
"""(REPLICATES,): the metric in each draw."""
Verdict = Literal["better", "worse", "noise"]

REPLICATES = 1_000
GROUPS = 1_000
LEVEL = 0.95
COARSE_BINS = 1_000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval (percentile method)."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, draws: Replicates) -> Interval:
        """The interval of `value` from its `draws`. NaN draws are ignored."""
        known = draws[~np.isnan(draws)]
        if not len(known):
            return cls(value, float("nan"), float("nan"))
        low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        # Draws use coarse bins, so the exact value may lie just outside them.
        return cls(value, min(float(low), value), max(float(high), value))


@dataclass(frozen=True, slots=True)
class Difference:
    """The metric of one encoder minus that of another, on the same queries.

    `verdict` is "noise" when the interval contains 0: these queries show no difference.
    """

    change: Interval
    verdict: Verdict

    @classmethod
    def of(cls, new: tuple[float, Replicates], old: tuple[float, Replicates]) -> Difference:
        """Compare (value, draws) of two encoders. Both must come from the same `Draws`."""
        change = Interval.of(new[0] - old[0], new[1] - old[1])
        if change.low > 0:
            return cls(change, "better")
        return cls(change, "worse" if change.high < 0 else "noise")


class Draws:
    """The bootstrap resamples: how often each draw contains each query. All encoders share them.

    More than 1,000 queries are put into 1,000 random groups, and groups are drawn. The expected spread is the
    same, and memory stays bounded.
    """

    def __init__(self, queries: int, *, seed: int = 0) -> None:
        if queries < 1:
            raise InvalidInput("there are no queries to resample", got=queries, expected="1 or more")
        rng = np.random.default_rng(seed)
        groups = min(queries, GROUPS)
        self.group: NDArray[np.int64] = rng.permutation(queries) % groups
        """(q,): the group of each query."""
        self.times: NDArray[np.float32] = rng.multinomial(
            groups, np.full(groups, 1 / groups), size=REPLICATES
        ).astype(np.float32)
        """(REPLICATES, groups): how often each group is drawn."""

    def mean(self, values: NDArray[np.float64]) -> Replicates:
        """The mean over queries in every draw. `values`: (q,), NaN for queries to ignore."""
        known = ~np.isnan(values)
        groups = self.times.shape[1]
        sums = np.bincount(self.group, weights=np.where(known, values, 0.0), minlength=groups)
        counts = np.bincount(self.group, weights=known, minlength=groups)
        total = self.times @ counts
        draws: Replicates = np.full(len(total), np.nan)
        np.divide(self.times @ sums, total, out=draws, where=total > 0)
        return draws

    def recall_at_precision(self, sides: QueriesAndGallery, counts: PairCounts, wanted: float) -> Replicates:
        """`PairCounts.at_precision(wanted).recall` in every draw, in steps of a thousandth of the recall."""
        edges = _coarse(counts)
        width = int(edges[-1]) + 1
        groups = self.times.shape[1]
        same, everything = (np.zeros(groups * width, np.int64) for _ in range(2))
        for bins, right, queries in binned(sides):
            cells = self.group[queries] * width + edges[bins]
            everything += np.bincount(cells, minlength=groups * width)
            same += np.bincount(cells[right], minlength=groups * width)
        right_sum = self._from_the_top(same.reshape(groups, width))
        taken = self._from_the_top(everything.reshape(groups, width))
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = right_sum / right_sum[:, -1:]
            enough = right_sum / taken >= wanted
        draws: Replicates = np.max(np.where(enough, recall, 0.0), axis=1)
        return np.where(right_sum[:, -1] > 0, draws, np.nan)

    def _from_the_top(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Pairs with at least each coarse bin's score, bins falling: (REPLICATES, bins)."""
        drawn = self.times @ counts[:, ::-1].astype(np.float32)
        return np.cumsum(drawn, axis=1, dtype=np.float64)


def _coarse(counts: PairCounts) -> NDArray[np.int64]:
    """(BINS,): the coarse bin of each fine one, rising with the score.

    Each holds about a thousandth of the same-class pairs, so that the resolution in recall is even. Its
    lowest pair is a same-class pair, because the best threshold is just below one.
    """
    total = max(1, int(counts.same.sum()))
    above = total - np.cumsum(counts.same)
    _, edges = np.unique(-(above * COARSE_BINS // total), return_inverse=True)
    return np.asarray(edges, np.int64)
