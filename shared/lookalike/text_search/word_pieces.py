"""Split a text into the pieces of a byte-pair vocabulary (Sennrich, Haddow & Birch 2016), as a
`tokenizer.json` of SentencePiece's kind describes it.

The library `tokenizers` does the same, but brings 30 MB of packages that a query function has no room for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

SPACE = "\u2581"
"""What the vocabulary has in place of a space; also put before a text."""
CACHED_WORDS = 50_000


class WordPieces:
    """A vocabulary with its merges. Thread-safe."""

    def __init__(self, ids: Mapping[str, int], ranks: Mapping[tuple[str, str], int]) -> None:
        self._ids = ids
        self._ranks = ranks
        self._of_word = lru_cache(CACHED_WORDS)(self._split)

    @classmethod
    def read(cls, path: Path) -> WordPieces:
        """The vocabulary of a `tokenizer.json`."""
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        return cls(model["vocab"], {(left, right): rank for rank, (left, right) in enumerate(pairs)})

    def ids(self, text: str) -> list[int]:
        """The number of each piece of a text, in order."""
        # No merge joins the letter before a space with it, so words can be split one by one.
        return [number for word in text.split() for number in self._of_word(SPACE + word)]

    def is_word(self, word: str) -> bool:
        """Whether a whole word is one piece, so that it is no misspelling."""
        return SPACE + word in self._ids

    def _split(self, word: str) -> tuple[int, ...]:
        pieces = list(word)
        while len(pieces) > 1:
            pairs = pairwise(pieces)
            rank, at = min((self._ranks.get(pair, len(self._ranks)), at) for at, pair in enumerate(pairs))
            if rank == len(self._ranks):
                break
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        return tuple(number for piece in pieces for number in self._numbers(piece))

    def _numbers(self, piece: str) -> list[int]:
        """The piece's own number, or those of its bytes."""
        if piece in self._ids:
            return [self._ids[piece]]
        names = (f"<0x{byte:02X}>" for byte in piece.encode("utf-8", "replace"))
        return [self._ids[name] for name in names if name in self._ids]
