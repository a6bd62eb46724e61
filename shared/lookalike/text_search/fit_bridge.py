"""Learn the bridge of a collection, and judge it on titles that it has not seen.

Items of the same title are one group, and a group is on one side: learned from, used to choose the strength
of the ridge, or used to judge. What is served was learned from all of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.search_space import even_rows
from lookalike.text_search.bridge import PENALTIES, Bridge, Moments, dimensions_for, scores
from lookalike.text_search.contrastive import improved
from lookalike.text_search.item_text import ItemText
from lookalike.text_search.text_encoder import TextEncoder, fit_text_encoder, normal_text
from lookalike.types import Vectors

FEWEST_ITEMS = 100
FEWEST_TITLES = 40
"""Distinct titles, of which a quarter must judge the others."""
FIT_ITEMS = 20_000
FOLDS, CHOOSING, LEARNED = 8, 0, 3
"""Of the groups, one eighth chooses the strength, two eighths judge, and the others are learned from."""
FEWEST_FOR_CONTRAST = 5_000
"""Distinct titles from which on learning by contrast is tried as well: it takes half a minute."""
MOST_ASKED = 1_000
Z = 1.96
Objective = Literal["ridge", "contrast"]


@dataclass(frozen=True, slots=True)
class BridgeQuality:
    """How well held-out titles find their own images, among the images of all held-out titles.

    Attributes:
        titles: that asked.
        images: that they were asked among.
        recall_1, recall_5, recall_10: share of titles with a image of theirs among the first 1, 5, 10.
        chance_1, chance_10: what `recall_1` and `recall_10` would be if images were drawn blindly.
        lower_1, lower_10: lower ends of their 95 % intervals (Wilson 1927).
        penalty: strength of the ridge that was chosen.
        usual_best: median of the best cosine of each title.
        objective: what the bridge was learned by.
    """

    titles: int
    images: int
    recall_1: float
    recall_5: float
    recall_10: float
    chance_1: float
    chance_10: float
    lower_1: float
    lower_10: float
    penalty: float
    usual_best: float
    objective: Objective = "ridge"

    @property
    def is_useful(self) -> bool:
        """Whether it finds more than chance does, beyond doubt: at the first rank, or among the first ten."""
        return self.lower_1 > self.chance_1 or self.lower_10 > self.chance_10


@dataclass(frozen=True)
class FittedBridge:
    """A bridge, the encoder of its texts, and what it was judged to be worth."""

    encoder: TextEncoder
    bridge: Bridge
    quality: BridgeQuality


def fit_bridge(vectors: Vectors, texts: Sequence[ItemText]) -> tuple[FittedBridge | None, str | None]:
    """Learn from the items that have words.

    Args:
        vectors: (n, d) float32: of all items.
        texts: of all items.

    Returns:
        The bridge, or None and why there is none.
    """
    rows = np.flatnonzero([bool(text.short) for text in texts])
    groups = {row: normal_text(texts[row].title) for row in rows.tolist()}
    distinct = len(set(groups.values()))
    if len(rows) < FEWEST_ITEMS or distinct < FEWEST_TITLES:
        return None, (
            f"searching images by the meaning of words needs {FEWEST_ITEMS} items with words and "
            f"{FEWEST_TITLES} different titles; there are {len(rows)} and {distinct}"
        )
    rows = rows[even_rows(len(rows), FIT_ITEMS)]
    images = np.asarray(vectors[rows], np.float32)
    short = [texts[row].short for row in rows.tolist()]
    titles = [groups[row] for row in rows.tolist()]
    folds = np.array([_fold(title) for title in titles])
    dimensions = dimensions_for(len(vectors))
    quality = _judge(images, short, titles, folds, dimensions)
    if not quality.is_useful:
        return None, (
            f"images cannot be searched by meaning: {quality.titles} titles that were held out found their "
            f"own images no better than by chance (recall@10 {quality.recall_10:.2f})"
        )
    encoder = fit_text_encoder(short)
    vectors = encoder.encode(short)
    bridge = Moments.of(images, vectors).bridge(quality.penalty, dimensions)
    if quality.objective == "contrast":
        bridge = improved(bridge, images, vectors, titles)
    return FittedBridge(encoder, bridge, quality), None


def _judge(
    images: Vectors, texts: list[str], titles: list[str], folds: NDArray[np.int64], dimensions: int
) -> BridgeQuality:
    """Learn without the held-out groups, choose the strength on some of them, judge on the others."""
    learned = np.flatnonzero(folds >= LEARNED)
    known = [texts[row] for row in learned.tolist()]
    encoder = fit_text_encoder(known)
    vectors = encoder.encode(known)
    moments = Moments.of(images[learned], vectors)
    choosing = _Asked.of(np.flatnonzero(folds == CHOOSING), titles, encoder)
    bridges = {penalty: moments.bridge(penalty, dimensions) for penalty in PENALTIES}
    worth = {one: float(np.mean(1 / choosing.ranks(bridges[one], images))) for one in PENALTIES}
    penalty = max(PENALTIES, key=worth.__getitem__)
    bridge = bridges[penalty]
    objective: Objective = "ridge"
    if len(set(titles)) >= FEWEST_FOR_CONTRAST:
        other = improved(bridge, images[learned], vectors, [titles[row] for row in learned.tolist()])
        if float(np.mean(1 / choosing.ranks(other, images))) > worth[penalty]:
            bridge, objective = other, "contrast"
    judging = _Asked.of(np.flatnonzero((folds > CHOOSING) & (folds < LEARNED)), titles, encoder)
    ranks = judging.ranks(bridge, images)
    hit_10 = float(np.mean(ranks <= 10))
    return BridgeQuality(
        titles=len(ranks),
        images=len(judging.rows),
        recall_1=round(float(np.mean(ranks <= 1)), 4),
        recall_5=round(float(np.mean(ranks <= 5)), 4),
        recall_10=round(hit_10, 4),
        chance_1=round(judging.chance(1), 4),
        chance_10=round(judging.chance(10), 4),
        lower_1=round(_wilson(float(np.mean(ranks <= 1)), len(ranks)), 4),
        lower_10=round(_wilson(hit_10, len(ranks)), 4),
        penalty=penalty,
        usual_best=round(judging.usual_best(bridge, images), 4),
        objective=objective,
    )


@dataclass(frozen=True)
class _Asked:
    """Held-out titles that ask among their own images.

    Attributes:
        rows: of the images.
        vectors: (q, t) of the titles.
        right: (q, rows) whether a image is of a title.
    """

    rows: NDArray[np.int64]
    vectors: Vectors
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: NDArray[np.int64], titles: list[str], encoder: TextEncoder) -> _Asked:
        names = [titles[row] for row in rows.tolist()]
        distinct = list(dict.fromkeys(names))[:MOST_ASKED]
        numbers = {name: number for number, name in enumerate(distinct)}
        own = np.array([numbers.get(name, -1) for name in names])
        return cls(rows, encoder.encode(distinct), own[None, :] == np.arange(len(distinct))[:, None])

    def ranks(self, bridge: Bridge, images: Vectors) -> NDArray[np.int64]:
        """The rank of the best right image of each title, from 1."""
        found = scores(bridge, self.vectors, images[self.rows])
        best = np.where(self.right, found, -np.inf).max(axis=1)
        return np.asarray((found > best[:, None]).sum(axis=1) + 1)

    def usual_best(self, bridge: Bridge, images: Vectors) -> float:
        """The median of the best cosine of each title."""
        found = scores(bridge, self.vectors, images[self.rows])
        return float(np.median(found.max(axis=1))) if found.size else 1.0

    def chance(self, among: int) -> float:
        """The share of titles with a right image among so many drawn blindly."""
        count = len(self.rows)
        if count <= among:
            return 1.0
        misses = [
            math.comb(count - own, among) / math.comb(count, among) if count - own >= among else 0.0
            for own in self.right.sum(axis=1).tolist()
        ]
        return 1 - float(np.mean(misses))


def _fold(title: str) -> int:
    return hashlib.sha256(title.encode()).digest()[0] % FOLDS


def _wilson(share: float, count: int) -> float:
    """Lower end of the 95 % interval of a share (Wilson 1927)."""
    if not count:
        return 0.0
    spread = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return (share + Z * Z / (2 * count) - spread) / (1 + Z * Z / count)
