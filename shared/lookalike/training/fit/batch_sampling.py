"""Which images make up each batch of an epoch: rare classes more often than their share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MAX_REPEATS = 4.0
"""An image of the rarest class is drawn at most this many times as often as one of the most frequent."""
CLASSES_PER_BATCH = 32

Labels = NDArray[np.int64]
Rows = NDArray[np.int64]


def epoch_batches(labels: Labels, batch: int, rng: np.random.Generator, *, pairwise: bool) -> Iterator[Rows]:
    """Row numbers in batches; about as many in total as there are rows.

    Rare classes come up more often than their share, by the square root of how rare they are and at most
    four times, as in Mahajan et al. 2018, https://arxiv.org/abs/1805.00932. For pairwise losses a batch holds
    up to 32 classes with as many images of each (Hermans et al. 2017, https://arxiv.org/abs/1703.07737).
    """
    if not pairwise:
        order = _balanced(labels, rng)
        for start in range(0, len(order), batch):
            yield order[start : start + batch]
        return
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    chances = np.sqrt([len(rows) for rows in members])
    for _ in range(max(1, len(labels) // batch)):
        count = min(CLASSES_PER_BATCH, len(members), batch // 2)
        chosen = rng.choice(len(members), count, replace=False, p=chances / chances.sum())
        each = batch // count
        yield np.concatenate(
            [rng.choice(members[label], each, replace=len(members[label]) < each) for label in chosen]
        )


def _balanced(labels: Labels, rng: np.random.Generator) -> Rows:
    counts = np.bincount(labels)
    wanted = np.minimum(np.sqrt(counts.max() / np.maximum(counts, 1)), MAX_REPEATS)
    wanted = wanted[labels]
    wanted *= len(labels) / wanted.sum()
    repeats = np.floor(wanted + rng.random(len(labels))).astype(np.int64)
    order: Rows = rng.permutation(np.repeat(np.arange(len(labels)), repeats))
    return order
