"""The directory of tags that TIFF files and EXIF blocks share, read with bounded work.

Layout: Adobe, "TIFF Revision 6.0", 1992, section 2; BigTIFF as in libtiff's "The BigTIFF File Format".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

ORIENTATION = 0x0112
EXIF_PREFIX = b"Exif\0\0"
MAX_TAGS = 4_096
"""Real files have some hundreds."""
_TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_INTEGERS = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag. `raw` is its directory entry; `data` is the range of its value in the file."""

    type: int
    count: int
    raw: bytes
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Directory:
    """The first directory of a file, at byte `start`. `order` is struct's byte-order character."""

    order: str
    big: bool
    start: int
    entries: Mapping[int, Entry]
    data: bytes

    def value(self, tag: int) -> bytes | None:
        """The bytes of `tag`; None if it is absent or outside the file."""
        entry = self.entries.get(tag)
        if entry is None or entry.start + entry.size > len(self.data):
            return None
        return self.data[entry.start : entry.start + entry.size]

    def integer(self, tag: int, default: int) -> int:
        """The first number of `tag`; `default` if it is absent or not a whole number."""
        value, entry = self.value(tag), self.entries.get(tag)
        if not value or entry is None or entry.type not in _INTEGERS:
            return default
        number: int = struct.unpack_from(self.order + _INTEGERS[entry.type], value)[0]
        return number


def read_directory(data: bytes) -> Directory:
    """The first directory of a TIFF file or of an EXIF block without its prefix.

    Reads only this directory and follows no links. Raises ValueError or struct.error if there is none.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ValueError("no byte order mark")
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version not in (42, 43):
        raise ValueError(f"TIFF version {version}")
    big = version == 43
    (start,) = struct.unpack_from(order + ("Q" if big else "L"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    first = start + (8 if big else 2)
    row = struct.Struct(order + ("HHQ8s" if big else "HHL4s"))
    if count > MAX_TAGS or first + count * row.size > len(data):
        raise ValueError(f"a directory of {count:,} tags in {len(data):,} bytes")
    entries: dict[int, Entry] = {}
    for position in range(first, first + count * row.size, row.size):
        tag, kind, length, inline = row.unpack_from(data, position)
        size = _TYPE_BYTES.get(kind, 0) * length
        where = position + row.size - len(inline)
        if size > len(inline):
            (where,) = struct.unpack(order + ("Q" if big else "L"), inline)
        entries.setdefault(tag, Entry(kind, length, data[position : position + row.size], where, size))
    return Directory(order, big, start, entries, data)


def exif_orientation(exif: bytes | None) -> int:
    """EXIF orientation, 1 to 8, of an EXIF block; 1 if it is absent, damaged or out of range."""
    if not exif:
        return 1
    try:
        orientation = read_directory(exif.removeprefix(EXIF_PREFIX)).integer(ORIENTATION, 1)
    except (ValueError, struct.error):
        return 1
    return orientation if 1 <= orientation <= 8 else 1
