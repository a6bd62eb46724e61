"""The words of a snapshot's items, the bridge to their images, and how sure a search by words may be."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.confidence import ConfidenceModel
from lookalike.confidence.fit import NEIGHBORS, SMALLEST_LABELLED, Neighborhood, learn
from lookalike.text_search.fit_bridge import fit_bridge
from lookalike.text_search.fusion import fused
from lookalike.text_search.item_text import ItemText
from lookalike.text_search.text_encoder import normal_text
from lookalike.text_search.text_index import (
    IMAGES_FILE,
    TEXT_FILE,
    TextIndex,
    TextInfo,
    write_text_index,
)
from lookalike.types import Vectors

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
) -> BuiltText | None:
    """Write what a search by words needs; None: no item has any.

    Args:
        folder: of the snapshot's files.
        vectors: (n, d) float32, as the index compares them.
        texts: of every item.
        labels: category of every item.
        say: called before each step.
    """
    if not any(text.short or text.further for text in texts):
        return None
    say("learning the words")
    fitted, reason = fit_bridge(vectors, texts)
    info = write_text_index(folder, texts, fitted, reason, vectors)
    images = folder / IMAGES_FILE if info.images_file else None
    index = TextIndex.open(info, (folder / TEXT_FILE).read_bytes(), images)
    say("learning how sure words are")
    return BuiltText(info, *_confidence(index, texts, labels))


def _confidence(
    index: TextIndex, texts: Sequence[ItemText], labels: Sequence[str | None]
) -> tuple[ConfidenceModel | None, str | None]:
    """Some items' titles ask, in whole or in part, without the items of that title."""
    asking = [row for row, text in enumerate(texts) if text.title and labels[row] is not None]
    names, numbers = np.unique([label or "" for label in labels], return_inverse=True)
    categories = len(names) - int("" in names)
    if len(asking) < SMALLEST_LABELLED or categories < 2:
        return None, (
            f"{len(asking)} items have words and a category; confidence needs {SMALLEST_LABELLED}, of two "
            "categories"
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
