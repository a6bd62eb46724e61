"""How far a number could be off, had other pictures been the queries: the bootstrap over queries.

Efron & Tibshirani 1993, "An introduction to the bootstrap": the queries are drawn again with replacement,
many times, and the number is computed each time. Where two encoders are judged on the same queries, they
are drawn alike for both, and the difference is what is looked at (the paired bootstrap; Koehn 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.evaluation.pairs import PairCounts, binned
from lookalike.evaluation.sides import Sides

Replicates = NDArray[np.float64]
"""(REPLICATES,): one number as each draw gives it."""
Verdict = Literal["better", "worse", "noise"]

REPLICATES = 1_000
GROUPS = 1_000
LEVEL = 0.95
COARSE_BINS = 1_000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and the interval that holds the middle 95 % of its draws (percentile method)."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, draws: Replicates) -> Interval:
        """The interval of `value`, whose draws are `draws`; NaN draws are passed over."""
        known = draws[~np.isnan(draws)]
        if not len(known):
            return cls(value, float("nan"), float("nan"))
        low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        # Coarse bins may put the value of the full curve just outside of its draws.
        return cls(value, min(float(low), value), max(float(high), value))


@dataclass(frozen=True, slots=True)
class Difference:
    """One number of an encoder minus that of another, on the same queries.

    `verdict` is "noise" when the interval holds 0: these queries cannot tell the two apart.
    """

    change: Interval
    verdict: Verdict

    @classmethod
    def of(cls, new: tuple[float, Replicates], old: tuple[float, Replicates]) -> Difference:
        """Compare (value, draws) of two encoders; both draws must come from one `Draws`."""
        change = Interval.of(new[0] - old[0], new[1] - old[1])
        if change.low > 0:
            return cls(change, "better")
        return cls(change, "worse" if change.high < 0 else "noise")


class Draws:
    """Which queries each draw holds, how often. The same for every encoder that is judged on them.

    More than 1,000 queries are put into 1,000 groups at random, and groups are drawn: the spread is the
    same in expectation, and memory stays bounded.
    """

    def __init__(self, queries: int, *, seed: int = 0) -> None:
        if queries < 1:
            raise InvalidInput("there are no queries to draw from", got=queries, expected="1 or more")
        rng = np.random.default_rng(seed)
        groups = min(queries, GROUPS)
        self.group: NDArray[np.int64] = rng.permutation(queries) % groups
        """(q,): the group of each query."""
        self.times: NDArray[np.float32] = rng.multinomial(
            groups, np.full(groups, 1 / groups), size=REPLICATES
        ).astype(np.float32)
        """(REPLICATES, groups): how often each group is drawn."""

    def mean(self, values: NDArray[np.float64]) -> Replicates:
        """The mean over queries in every draw; `values` (q,), NaN for queries that do not count."""
        known = ~np.isnan(values)
        groups = self.times.shape[1]
        sums = np.bincount(self.group, weights=np.where(known, values, 0.0), minlength=groups)
        counts = np.bincount(self.group, weights=known, minlength=groups)
        total = self.times @ counts
        draws: Replicates = np.full(len(total), np.nan)
        np.divide(self.times @ sums, total, out=draws, where=total > 0)
        return draws

    def recall_at_precision(self, sides: Sides, counts: PairCounts, wanted: float) -> Replicates:
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

    Each holds about a thousandth of the pairs of one class, so that recall is resolved alike everywhere;
    and ends at the bottom with such a pair, because a threshold is best put just below one.
    """
    total = max(1, int(counts.same.sum()))
    above = total - np.cumsum(counts.same)
    _, edges = np.unique(-(above * COARSE_BINS // total), return_inverse=True)
    return np.asarray(edges, np.int64)
