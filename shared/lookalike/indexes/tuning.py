"""Measure the recall of an index against exact search, and find the least effort for a recall target.

The accuracy cannot be known beforehand, so it is measured, as Annoy's author advises (spotify/annoy #354).
Recall is that of ANN-Benchmarks (Aumüller, Bernhardsson, Faithfull 2018, §2): a result counts when its
distance is not above that of the exact k-th neighbor, so that equal distances do not depend on their order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lookalike.indexes.base import TUNED_LIMIT, Index
from lookalike.indexes.distance import Distances, Rows, exact_search_many
from lookalike.types import Metric, Vectors

SAMPLE = 200
SMALLEST_SAMPLE = 50
# For an exact search, only the latency is measured.
EXACT_SAMPLE = 20
# Multiply-adds (cosine, l2: a matrix product) and differences (l1) that the exact answers may cost: seconds.
COST_LIMIT: dict[Metric, float] = {"cosine": 2e11, "l2": 2e11, "l1": 5e9}
# Two distances closer than this are the same: they were rounded to float32.
SAME = 1e-6


@dataclass(frozen=True)
class Reference:
    """Exact answers for a sample of an index's own rows, each row itself left out.

    Attributes:
        rows: shape (s,), the sampled rows.
        distances: shape (s, k), float32, ascending: distances of the k nearest others.
    """

    rows: Rows
    distances: Distances

    @property
    def recall_at(self) -> int:
        """k: 10, or fewer when the index holds fewer others."""
        return int(self.distances.shape[1])


@dataclass(frozen=True)
class Measurement:
    """Recall and speed at one effort, over `sample` rows; `latency_ms` is the median of one search."""

    effort: int
    recall: float
    standard_error: float
    latency_ms: float
    sample: int


def sample_size(size: int, dimension: int, metric: Metric, wanted: int = SAMPLE) -> int:
    """How many exact searches a build can afford: 50 to `wanted`, but never more than `size`."""
    affordable = int(COST_LIMIT[metric] / max(1, size * dimension))
    return min(max(min(wanted, affordable), SMALLEST_SAMPLE), wanted, size)


def reference(vectors: Vectors, metric: Metric, *, seed: int, sample: int = SAMPLE) -> Reference:
    """Exact neighbors of up to `sample` random rows; fewer rows when that would cost too much.

    Args:
        vectors: shape (n, d), float32, may be a memory-mapped view; read in blocks.
        metric: of the index.
        seed: of the choice of rows.
        sample: how many rows at most.
    """
    count = sample_size(len(vectors), vectors.shape[1], metric, sample)
    rows = np.sort(np.random.default_rng(seed).choice(len(vectors), size=count, replace=False))
    if len(vectors) < 2:
        return Reference(rows, np.zeros((count, 0), np.float32))
    _, distances = exact_search_many(vectors[rows], vectors, TUNED_LIMIT, metric, exclude=rows)
    return Reference(rows, distances)


def measure(index: Index, truth: Reference, effort: int) -> Measurement:
    """Search for every row of `truth` at `effort` and compare. With nothing to find, recall is 1."""
    limit = truth.recall_at + 1
    sample = EXACT_SAMPLE if effort >= index.size else len(truth.rows)
    hits, seconds = [], []
    for row, distances in zip(truth.rows[:sample], truth.distances[:sample], strict=True):
        query = np.array(index.vectors[row])
        start = time.perf_counter()
        found, found_distances = index.search(query, limit, effort=effort)
        seconds.append(time.perf_counter() - start)
        if truth.recall_at:
            others = found_distances[found != row][: truth.recall_at]
            hits.append(float((others <= distances[-1] * (1 + SAME) + SAME).sum()) / truth.recall_at)
    recall = np.array(hits or [1.0])
    return Measurement(
        effort,
        recall=round(float(recall.mean()), 4),
        standard_error=round(float(recall.std() / np.sqrt(len(recall))), 4),
        latency_ms=round(float(np.median(seconds)) * 1e3, 4),
        sample=len(seconds),
    )


def reaches(step: Measurement, target: float) -> bool:
    """Whether recall is at `target` even one standard error below what was measured.

    The margin is there because an effort is chosen on the same sample on which it is measured.
    """
    return step.recall - step.standard_error >= target


def climb(index: Index, truth: Reference, start: int, target: float) -> Iterator[Measurement]:
    """Measure at `start` and twice as much each time until `target` is reached, then once in between.

    The ladder ends at `index.size`, where the search is exact.
    """
    effort = min(start, index.size)
    while True:
        step = measure(index, truth, effort)
        yield step
        if reaches(step, target) or effort >= index.size:
            break
        effort = min(2 * effort, index.size)
    if effort > start:
        yield measure(index, truth, round(effort / math.sqrt(2)))


def tune(
    index: Index,
    *,
    given: int | None,
    start: int,
    target: float,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Choose the effort for ten results, or measure the `given` one.

    Args:
        index: opened, of at least one vector.
        given: an effort to use unchanged.
        start: the first effort to try.
        target: recall to reach, in (0, 1].
        seed: of the choice of rows.
        progress: called with each measurement.

    Returns:
        Fields of the chosen `Measurement` (the least effort that reaches the target, or the most that was
        tried), `recall_at`, and the `ladder` of all measurements in the order of effort, as plain values.
    """
    truth = reference(index.vectors, index.metric, seed=seed)
    steps = [measure(index, truth, given)] if given else climb(index, truth, start, target)
    ladder: list[Measurement] = []
    for step in steps:
        ladder.append(step)
        if progress:
            progress(
                f"effort {step.effort}: recall@{truth.recall_at} {step.recall:.3f}, {step.latency_ms:.2f} ms"
            )
    ladder.sort(key=lambda step: step.effort)
    chosen = next((step for step in ladder if reaches(step, target)), ladder[-1])
    return {
        **asdict(chosen),
        "recall_at": truth.recall_at,
        "ladder": [asdict(step) for step in ladder],
    }
