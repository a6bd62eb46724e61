"""The images that an encoder was trained on: the first bytes of their SHA-256; 100,000 take 0.8 MB of
text."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from pathlib import Path

from lookalike.errors import Incompatible

PREFIX_BYTES = 6
"""Any two of a million images share 48 bits with a probability of 0.2 %; one more image is then not a
query."""


def pack_learnt(files: Iterable[Path]) -> str:
    """The images of a training as base64 text."""
    return base64.b64encode(b"".join(sorted({_prefix(file) for file in files}))).decode()


def _prefix(file: Path) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()[:PREFIX_BYTES]


class Learnt:
    """The images that an encoder was trained on. `in` takes a hexadecimal SHA-256."""

    def __init__(self, packed: str = "") -> None:
        try:
            data = base64.b64decode(packed, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Incompatible(
                "the list of images that an encoder was trained on cannot be read", expected="base64 text"
            ) from error
        steps = range(0, len(data), PREFIX_BYTES)
        self._prefixes = frozenset(data[at : at + PREFIX_BYTES] for at in steps)

    def __contains__(self, content: str) -> bool:
        return bytes.fromhex(content[: 2 * PREFIX_BYTES]) in self._prefixes

    def __len__(self) -> int:
        return len(self._prefixes)
