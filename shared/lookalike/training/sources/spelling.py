"""Decode file names of folders and zip files.

A name of unknown encoding is read as UTF-8 if it is valid UTF-8. All other names are read in one encoding,
code page 437 (old zip programs) or Latin-1: the one that gives more letters. Names are converted to Unicode's
composed form (NFC), so that names from a Mac match names in a table.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence
from typing import Literal

OldEncoding = Literal["cp437", "latin-1"]


def spelled(raw: Sequence[str | bytes]) -> tuple[list[str], list[str]]:
    """The names in order, with printable characters only, and notes on how they were decoded or changed.

    Two different names may become equal: `free_name` makes them unique.
    """
    odd = [name for name in raw if isinstance(name, bytes) and not _is_utf8(name)]
    old = _old_encoding(odd)
    names, changed = [], 0
    for given in raw:
        name = unicodedata.normalize("NFC", given if isinstance(given, str) else _decoded(given, old))
        plain = "".join(letter if letter.isprintable() else "_" for letter in name)
        changed += plain != name
        names.append(plain)
    notes = []
    if odd:
        known = "code page 437" if old == "cp437" else "Latin-1"
        notes.append(f"names that are not in UTF-8 were read as {known}: {len(odd):,}")
    if changed:
        notes.append(f"names with characters that cannot be shown, which became _: {changed:,}")
    return names, notes


def free_name(name: str, taken: Container[str]) -> str:
    """The name, or a numbered one if it is taken: `shoes/1.jpg` → `shoes/1 (2).jpg`."""
    if name not in taken:
        return name
    stem, dot, suffix = name.rpartition(".")
    stem, end = (stem, f".{suffix}") if dot and "/" not in suffix else (name, "")
    number = 2
    while f"{stem} ({number}){end}" in taken:
        number += 1
    return f"{stem} ({number}){end}"


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoded(name: bytes, old: OldEncoding) -> str:
    return name.decode("utf-8") if _is_utf8(name) else name.decode(old)


def _old_encoding(names: Sequence[bytes]) -> OldEncoding:
    high = bytes(byte for name in names for byte in name if byte >= 0x80)
    return "latin-1" if _letters(high.decode("latin-1")) > _letters(high.decode("cp437")) else "cp437"


def _letters(text: str) -> int:
    return sum(unicodedata.name(letter, "").startswith("LATIN ") for letter in text)
