"""Encode texts: word vectors beside the letters of their words.

Letters know names that no table of words has, and misspelt words: each run of three or four letters is hashed
to one of 8,192 columns, weighted by how rare it is, and all columns are reduced to 256 numbers by a truncated
SVD over the collection's own texts (latent semantic analysis, Deerwester et al. 1990).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import Incompatible
from lookalike.text_search.sparse_rows import SparseRows, right_singular_vectors
from lookalike.text_search.word_vectors import WordVectors, word_vectors, word_vectors_id
from lookalike.types import Vectors
from lookalike.words import folded, plain_text, words

COLUMNS = 8_192
LENGTHS = (3, 4)
MOST_LETTERS = 256
"""Numbers that the letters are reduced to."""
FIT_TEXTS = 20_000
MAX_WORDS = 64
"""Words of a text that are encoded."""
Wide = NDArray[np.float32]


@dataclass(frozen=True)
class TextEncoder:
    """Texts → vectors. Thread-safe.

    Attributes:
        rarity: (columns,) float32: the weight of each.
        letters: (columns, k) float32: what reduces them.
        table: word vectors; None: letters alone.
        table_id: which table.
    """

    rarity: Wide
    letters: Wide
    table: WordVectors | None
    table_id: str | None

    @property
    def dimension(self) -> int:
        """Of the vector of a text."""
        return int(self.letters.shape[1]) + (self.table.dimension if self.table else 0)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(n, d) float32; each part of unit length, or zeros where a text says nothing to it."""
        plain = [normal_text(text) for text in texts]
        letters = _units(_rows(map(ngrams, plain), self.rarity).times(self.letters))
        return np.hstack([self.table.encode_all(plain), letters]) if self.table else letters

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """What `of` needs, to be stored."""
        used = np.flatnonzero(self.letters.any(axis=1))
        return {"rarity": self.rarity, "used": used, "letters": self.letters[used].astype(np.float16)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]], table_id: str | None) -> TextEncoder:
        """Inverse of `arrays`. Raises Incompatible: its table of words is not installed here."""
        if table_id != word_vectors_id() and table_id is not None:
            raise Incompatible(
                "the index was built with a table of words that is not installed here",
                got=word_vectors_id() or "none",
                expected=table_id,
                fix="Run: pip install 'lookalike[text]'. Or: lookalike snapshot build --force",
            )
        stored = np.asarray(arrays["letters"], np.float32)
        letters = np.zeros((COLUMNS, stored.shape[1]), np.float32)
        letters[arrays["used"]] = stored
        table = word_vectors() if table_id else None
        return cls(np.asarray(arrays["rarity"], np.float32), letters, table, table_id)


def fit_text_encoder(texts: Iterable[str]) -> TextEncoder:
    """Learn the letters of a collection from its texts; equal texts count once, the first 20,000 of them."""
    distinct = list(dict.fromkeys(map(normal_text, texts)))[:FIT_TEXTS]
    counts: Counter[int] = Counter()
    for text in distinct:
        counts.update(set(ngrams(text)))
    found = np.array([counts[column] for column in range(COLUMNS)], np.float32)
    rarity = (np.log((1 + len(distinct)) / (1 + found)) + 1).astype(np.float32)
    matrix = _rows(map(ngrams, distinct), rarity)
    letters = right_singular_vectors(matrix, min(MOST_LETTERS, max(1, len(distinct) // 2)))
    # As it is read back, so that a text has the same vector before and after it was stored.
    letters = letters.astype(np.float16).astype(np.float32)
    return TextEncoder(rarity, letters, word_vectors(), word_vectors_id())


def normal_text(text: str) -> str:
    """The words of a text in the form in which they are compared, the first 64."""
    return " ".join(words(plain_text(text))[:MAX_WORDS])


def ngrams(text: str) -> Counter[int]:
    """How often each column occurs in a text of `normal_text`; words are apart."""
    found: Counter[int] = Counter()
    for word in text.split():
        marked = f"^{word}$"
        for length in LENGTHS:
            found.update(_hash(marked[at : at + length]) for at in range(len(marked) - length + 1))
    return found


def _hash(letters: str) -> int:
    return zlib.crc32(folded(letters).encode()) % COLUMNS


def _rows(counts: Iterable[Counter[int]], rarity: Wide) -> SparseRows:
    """Weighted rows of unit length; counts are dampened to 1 + log."""
    rows = []
    for one in counts:
        row = {column: (1 + np.log(count)) * float(rarity[column]) for column, count in one.items()}
        norm = float(np.sqrt(sum(value * value for value in row.values()))) or 1.0
        rows.append({column: value / norm for column, value in row.items()})
    return SparseRows.of(rows, COLUMNS)


def _units(vectors: Wide) -> Wide:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-9), np.float32)
