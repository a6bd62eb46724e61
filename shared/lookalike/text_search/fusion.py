"""One score from words, letters and meaning.

An item with words is found by them: by those of the query that it has, and a little by their letters, which
forgive what spelling correction does not. An item without words is found by what its image shows. Where the
query's words are in the collection, they decide; where they are not, meaning does. This finds more than
adding up ranks (reciprocal rank fusion, Cormack, Clarke & Büttcher 2009), which treats an item that has no
words as one that has the wrong ones (`python -m bench.text_search`).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.text_search.inverted_index import Scores

TextMode = Literal["auto", "words", "meaning"]

LETTERS_WEIGHT = 0.5
LEAST_MEANING = 0.05
"""What meaning adds for an item with words, if its words are those of the query."""
UNTITLED = 0.8
"""What meaning says of an item without words, where words would say 1."""
WORDS_IN_A_MIX = 0.3
"""What words add where they are mixed with images, in cosines."""
LINEAR = 0.9
"""Scores above it are squeezed to stay below 1: short texts that have every word would exceed it."""


def fused(
    words: Scores,
    letters: Scores,
    meaning: Scores | None,
    has_words: NDArray[np.bool_],
    usual_best: float,
) -> Scores:
    """The score of each item, (n,) float32, 0 to 1.

    Args:
        words: share of the query's words that each has, by their rarity.
        letters: the same of their letters.
        meaning: cosine of each image to the query in the bridge's space; None: there is no bridge.
        has_words: whether anything describes an item.
        usual_best: the best cosine that titles usually have. Words that mean nothing here stay below it.
    """
    by_words = (words + LETTERS_WEIGHT * letters) / (1 + LETTERS_WEIGHT)
    if meaning is None:
        return squeezed(by_words)
    shown = np.maximum(meaning, 0) / max(float(meaning.max(initial=0.0)), usual_best, 1e-6)
    said = float(min(1.0, words.max(initial=0.0)))
    weight = max(LEAST_MEANING, UNTITLED * (1 - said))
    return squeezed(np.where(has_words, (1 - weight) * by_words + weight * shown, UNTITLED * shown))


def mixed(words: Scores, letters: Scores, meaning: Scores) -> Scores:
    """The score of each item for words together with images: meaning, and a little for their words."""
    by_words = (words + LETTERS_WEIGHT * letters) / (1 + LETTERS_WEIGHT)
    return squeezed(meaning + WORDS_IN_A_MIX * squeezed(by_words))


def squeezed(scores: NDArray[np.floating[Any]]) -> Scores:
    """Monotone: as they are up to 0.9, then ever closer to 1."""
    room = 1 - LINEAR
    above = LINEAR + room * (1 - np.exp(-(np.maximum(scores, LINEAR) - LINEAR) / room))
    return np.asarray(np.where(scores <= LINEAR, scores, above), np.float32)
