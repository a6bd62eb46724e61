"""The words of a snapshot's items, the bridge to their images, and how sure a search by words may be."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence import ConfidenceModel
from lookalike.confidence.fit import NEIGHBORS, SMALLEST_LABELLED, Neighborhood, learn
from lookalike.errors import Incompatible, ObjectNotFound
from lookalike.integrity import check_bytes
from lookalike.search_space import SpaceInfo
from lookalike.snapshots.manifest import SnapshotManifest
from lookalike.snapshots.snapshot import snapshot_folder
from lookalike.storage import Store
from lookalike.text_search.fit_bridge import FittedBridge, fit_bridge
from lookalike.text_search.fusion import fused
from lookalike.text_search.item_text import ItemText
from lookalike.text_search.text_encoder import normal_text
from lookalike.text_search.text_index import (
    IMAGES_FILE,
    TEXT_FILE,
    TextIndex,
    TextInfo,
    read_bridge,
    write_text_index,
)
from lookalike.types import Vectors

logger = logging.getLogger(__name__)

KEPT_FROM, GROWTH = 2_000, 1.25
"""With so many items and more, what was learned is kept until their number has changed by a quarter."""
SAMPLE = 400
"""Titles that ask, to learn how sure their matches are."""


@dataclass(frozen=True, slots=True)
class BuiltText:
    """What the manifest says about words: see `SnapshotManifest`."""

    info: TextInfo
    confidence: ConfidenceModel | None
    confidence_reason: str | None


def build_text(
    folder: Path,
    vectors: Vectors,
    texts: Sequence[ItemText],
    labels: Sequence[str | None],
    say: Callable[[str], None],
    kept: Learned | None = None,
) -> BuiltText | None:
    """Write what a search by words needs; None: no item has any.

    Args:
        folder: of the snapshot's files.
        vectors: (n, d) float32, as the index compares them.
        texts: of every item.
        labels: category of every item.
        say: called before each step.
        kept: what the current snapshot learned; see `learned_before`.
    """
    count = sum(1 for text in texts if text.short)
    if not count and not any(text.further for text in texts):
        return None
    say("learning the words")
    if kept is not None and kept.fits(count):
        info = write_text_index(folder, texts, kept.bridge, kept.reason, vectors, kept.fitted_on)
        return BuiltText(info, kept.confidence, kept.confidence_reason)
    fitted, reason = fit_bridge(vectors, texts)
    info = write_text_index(folder, texts, fitted, reason, vectors, count)
    images = folder / IMAGES_FILE if info.images_file else None
    index = TextIndex.open(info, (folder / TEXT_FILE).read_bytes(), images)
    say("learning how sure words are")
    return BuiltText(info, *_confidence(index, texts, labels))


@dataclass(frozen=True, slots=True)
class Learned:
    """What a snapshot learned from words."""

    bridge: FittedBridge | None
    reason: str | None
    fitted_on: int
    confidence: ConfidenceModel | None
    confidence_reason: str | None

    def fits(self, count: int) -> bool:
        """Whether it is kept for `count` items with words, so that a build of many takes less time and scores
        stay comparable."""
        return self.fitted_on >= KEPT_FROM and self.fitted_on / GROWTH <= count <= self.fitted_on * GROWTH


def learned_before(
    artifacts: Store, serving: SnapshotManifest | None, encoder_id: str, space: SpaceInfo | None
) -> Learned | None:
    """What the current snapshot learned; None: it is of other vectors, or cannot be read."""
    if serving is None or serving.text is None:
        return None
    if serving.encoder_id != encoder_id or serving.space != space:
        return None
    info, path = serving.text, f"{snapshot_folder(serving.collection, serving.id)}/{serving.text.file}"
    try:
        data = artifacts.get(path).data
        check_bytes(data, serving.hashes.get(info.file), path)
        bridge = read_bridge(info, data)
    except (ObjectNotFound, Incompatible) as error:
        logger.warning("%s: the words are learned anew: %s", serving.collection, error)
        return None
    if bridge is None and info.images_file is not None:
        return None  # of another table of words
    return Learned(
        bridge, info.bridge_reason, info.fitted_on, serving.text_confidence, serving.text_confidence_reason
    )


def _confidence(
    index: TextIndex, texts: Sequence[ItemText], labels: Sequence[str | None]
) -> tuple[ConfidenceModel | None, str | None]:
    """Some items' titles ask, in whole or in part, without the items of that title."""
    asking = [row for row, text in enumerate(texts) if text.title and labels[row] is not None]
    names, numbers = np.unique([label or "" for label in labels], return_inverse=True)
    categories = len(names) - int("" in names)
    if len(asking) < SMALLEST_LABELLED or categories < 2:
        return None, (
            f"confidence in words needs {SMALLEST_LABELLED} items with words and a category, and two "
            f"categories; there are {len(asking)} and {categories}"
        )
    codes = np.where([label is not None for label in labels], numbers, -1)
    titles = np.array([normal_text(text.title) for text in texts])
    drawn = random.Random(0)  # noqa: S311  # the same titles in every build
    found = []
    for row in drawn.sample(asking, min(SAMPLE, len(asking))):
        words = texts[row].title.split()
        asked = " ".join(drawn.sample(words, drawn.randint(1, len(words))))
        found.append(_neighborhood(index, asked, codes, titles != titles[row], int(codes[row])))
    model = learn(found, categories)
    return (
        model,
        None if model else "like words do not mean the same category more often than others",
    )


def _neighborhood(
    index: TextIndex, asked: str, codes: NDArray[np.int64], others: NDArray[np.bool_], own: int
) -> Neighborhood:
    read = index.index.read(asked)
    scores = fused(*index.index.scores(read), index.meaning(asked, read), index.has_words, index.usual_best)
    rows = np.flatnonzero(others & (codes >= 0) & (scores > 0))
    best = rows[np.argsort(-scores[rows], kind="stable")[: NEIGHBORS + 1]]
    return Neighborhood(scores[best].astype(np.float64), codes[best], own)
