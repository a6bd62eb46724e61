"""Word vectors that were learned from general text: so that "sneaker" is near "trainer".

The table is a file of the package `wordllama`, read where it lies; nothing of the package is imported.
docs/text-search.md says what its licence is. Without the package, texts are compared by their letters alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.text_search.word_pieces import WordPieces
from lookalike.types import Vectors

PACKAGE = "wordllama"
TABLE = "weights/l2_supercat_256.safetensors"
PIECES = "tokenizers/l2_supercat_tokenizer_config.json"


@dataclass(frozen=True)
class WordVectors:
    """A vector for each piece of a word. Thread-safe.

    Attributes:
        pieces: how texts are split.
        table: (pieces, d) float16, memory-mapped.
    """

    pieces: WordPieces
    table: NDArray[np.float16]

    @property
    def dimension(self) -> int:
        """Of the vector of a text."""
        return int(self.table.shape[1])

    def encode(self, text: str) -> NDArray[np.float32]:
        """The mean vector of a text's pieces, (d,), of unit length; zeros for a text without any."""
        numbers = self.pieces.ids(text)
        if not numbers:
            return np.zeros(self.dimension, np.float32)
        mean = self.table[numbers].astype(np.float32).mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)

    def encode_all(self, texts: list[str]) -> Vectors:
        """That of each text, (n, d) float32."""
        found = [self.encode(text) for text in texts]
        return np.stack(found) if found else np.empty((0, self.dimension), np.float32)


@cache
def word_vectors() -> WordVectors | None:
    """The table, if its package is installed."""
    folder = _folder()
    if folder is None:
        return None
    return WordVectors(WordPieces.read(folder / PIECES), read_table(folder / TABLE))


@cache
def word_vectors_id() -> str | None:
    """Which table `word_vectors` has; None: none."""
    folder = _folder()
    if folder is None:
        return None
    with (folder / TABLE).open("rb") as file:
        start = file.read(1 << 16)
    return f"{PACKAGE}-{hashlib.sha256(start).hexdigest()[:8]}"


def read_table(path: Path) -> NDArray[np.float16]:
    """The only table of a safetensors file of 16-bit numbers, mapped, not read.

    The format: 8 bytes of length, so many bytes of JSON, the numbers
    (https://huggingface.co/docs/safetensors).
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        (entry,) = (value for name, value in json.loads(file.read(length)).items() if name != "__metadata__")
    start = 8 + length + entry["data_offsets"][0]
    return np.memmap(path, np.float16, "r", offset=start, shape=tuple(entry["shape"]))


def _folder() -> Path | None:
    spec = find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    folder = Path(next(iter(places))) if places else None
    return folder if folder and (folder / TABLE).is_file() and (folder / PIECES).is_file() else None
