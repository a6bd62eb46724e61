"""AVIF: nothing but the box of metadata is touched; libavif reads sizes and turns without decoding.

Structure: ISO/IEC 14496-12 (boxes) and 23008-12 (items); AOMedia, "AV1 Image File Format".
"""

from __future__ import annotations

import struct

from lookalike.images.header import MAX_PARTS, Header, damaged

_BRANDS = (b"avif", b"avis")


def accepts(data: bytes) -> bool:
    """Whether `data` starts like an AVIF file: its first box names the brand, as major or compatible."""
    if data[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(data[:4]), 256)
    return any(data[start : start + 4] in _BRANDS for start in (8, *range(16, length, 4)))


def read(data: bytes) -> Header:
    """The header of an AVIF file, without its size: libavif knows it before it decodes.

    EXIF items are renamed in place, so that nobody parses them. AVIF's own rotation and mirror properties
    say how to turn the picture, and win over EXIF (23008-12, 6.5.10).
    """
    start, end = _metadata_box(data)
    stream = b"".join([data[:start], data[start:end].replace(b"Exif", b"skip"), memoryview(data)[end:]])
    return Header("AVIF", 0, 0, stream)


def _metadata_box(data: bytes) -> tuple[int, int]:
    position = 0
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            break
        size, kind = struct.unpack_from(">L4s", data, position)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
        end = position + size if size else len(data)
        if size in range(1, 8) or end > len(data):
            raise damaged("AVIF", f"a box {kind!r} that runs past the end")
        if kind == b"meta":
            return position, end
        position = end
    raise damaged("AVIF", "no box of metadata")
