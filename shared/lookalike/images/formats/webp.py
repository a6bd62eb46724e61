"""WebP: canvas size, orientation and profile. Structure: RFC 9649, "WebP Image Format"."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lookalike.images.header import MAX_PARTS, Header, damaged
from lookalike.images.ifd import exif_orientation


def accepts(data: bytes) -> bool:
    """Whether `data` starts like a WebP file."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read(data: bytes) -> Header:
    """The header of a WebP file. For an animation, the decoder returns the first frame on its canvas."""
    (length,) = struct.unpack_from("<L", data, 4)
    if 8 + length > len(data):
        raise damaged("WebP", f"{len(data):,} bytes of {8 + length:,}")
    size: tuple[int, int] | None = None
    exif = b""
    profile: bytes | None = None
    for kind, start, end in _chunks(data, 8 + length):
        if size is None:
            size = _size(kind, data[start : start + 10])
        if kind == b"EXIF":
            exif = data[start:end]
        elif kind == b"ICCP":
            profile = data[start:end]
    if size is None:
        raise damaged("WebP", "no image")
    return Header("WEBP", *size, data, exif_orientation(exif), profile)


def _chunks(data: bytes, length: int) -> Iterator[tuple[bytes, int, int]]:
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > length:
            return
        kind, size = struct.unpack_from("<4sL", data, position)
        yield kind, position + 8, position + 8 + size
        position += 8 + size + (size & 1)
    raise damaged("WebP", f"more than {MAX_PARTS:,} chunks")


def _size(kind: bytes, body: bytes) -> tuple[int, int]:
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L" and body[:1] == b"\x2f":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise damaged("WebP", f"it starts with {kind!r}")
