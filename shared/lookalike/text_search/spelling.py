"""Read a misspelt word as the nearest word of the collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

SHORTEST = 4
"""Letters of a word that may be misspelt: shorter ones are too near to others."""
LONG = 8
"""From here on two letters may be wrong."""
CANDIDATES = 8


def nearest_word(word: str, vocabulary: Sequence[str], count_of: Callable[[str], int]) -> str | None:
    """The word of the vocabulary that `word` was most probably meant to be; None: no word is near.

    One wrong, missing, additional or swapped letter is allowed, from eight letters on two (optimal string
    alignment distance). The nearest word wins, of equally near ones the one that most items have.
    """
    if len(word) < SHORTEST or not word.isalpha():
        return None
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    allowed = 2 if len(word) >= LONG else 1
    found = process.extract(word, vocabulary, scorer=OSA.distance, score_cutoff=allowed, limit=CANDIDATES)
    ranked = sorted((distance, -count_of(near), near) for near, distance, _ in found)
    return str(ranked[0][2]) if ranked else None
