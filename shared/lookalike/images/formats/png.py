"""PNG: the header, palette, transparency and data chunks, with their checksums verified.

Structure: W3C, "Portable Network Graphics (PNG) Specification (Third Edition)". An animation's own frames
are skipped, so that its default image counts. Checksums of pixel chunks are verified, like in libpng.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from lookalike.images.header import MAX_PARTS, MAX_PROFILE_BYTES, Header, damaged
from lookalike.images.ifd import exif_orientation

_MAGIC = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_TRUECOLOUR = 2


def accepts(data: bytes) -> bool:
    """Whether `data` starts like a PNG file."""
    return data.startswith(_MAGIC)


def read(data: bytes) -> Header:
    """The header of a PNG file."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [_MAGIC]
    width = height = 0
    deep = False
    exif = b""
    profile: bytes | None = None
    for kind, start, end in _chunks(data):
        body = view[start + 8 : end - 4]
        if kind in _PIXEL_CHUNKS:
            (checksum,) = struct.unpack_from(">L", data, end - 4)
            if zlib.crc32(view[start + 4 : end - 4]) != checksum:
                raise damaged("PNG", f"a wrong checksum of {kind.decode()}")
            kept.append(_narrow_transparency(body) if deep and kind == b"tRNS" else view[start:end])
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">LLBB", body)
            deep = depth == 16 and colour == _TRUECOLOUR
        elif kind == b"eXIf":
            exif = bytes(body)
        elif kind == b"iCCP":
            profile = _profile(bytes(body))
        elif kind == b"IEND":
            break
    return Header("PNG", width, height, b"".join(kept), exif_orientation(exif), profile)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk: its type, start and end."""
    position = len(_MAGIC)
    for number in range(MAX_PARTS):
        if position == len(data):  # no end chunk, but the chunks before may be complete
            return
        (length,) = struct.unpack_from(">L", data, position)
        end = position + 12 + length
        kind = data[position + 4 : position + 8]
        if end > len(data):
            raise damaged("PNG", f"it ends within {kind!r}")
        if (number == 0) != (kind == b"IHDR"):
            raise damaged("PNG", f"chunk {number} is {kind!r}")
        yield kind, position, end
        position = end
    raise damaged("PNG", f"more than {MAX_PARTS:,} chunks")


def _profile(body: bytes) -> bytes | None:
    """The inflated profile; None if it is damaged or too large."""
    _, _, rest = body.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else profile


def _narrow_transparency(body: memoryview) -> bytes:
    """The transparent colour in 8 bits: Pillow reduces 16-bit colours to 8 bits, but not this one."""
    chunk = b"tRNS" + struct.pack(">3H", *(value >> 8 for value in struct.unpack(">3H", body)))
    return struct.pack(">L", 6) + chunk + struct.pack(">L", zlib.crc32(chunk))
