"""BMP: the two headers. Structure: Microsoft, "Bitmap Storage"."""

from __future__ import annotations

import struct

from lookalike.errors import ImageTooLarge
from lookalike.images.header import Header, damaged

MAX_RUN_LENGTH_BYTES = 4 * 1024 * 1024
"""Pillow expands run lengths in Python: 4 MB take one second, which blocks all other threads."""

_CORE_HEADER = 12
_RUN_LENGTH = (1, 2)


def accepts(data: bytes) -> bool:
    """Whether `data` starts like a BMP file."""
    return data.startswith(b"BM")


def read(data: bytes) -> Header:
    """The header of a BMP file."""
    (header_bytes,) = struct.unpack_from("<L", data, 14)
    if header_bytes == _CORE_HEADER:
        width, height = struct.unpack_from("<HH", data, 18)
        return Header("BMP", width, height, data)
    width, height = struct.unpack_from("<ll", data, 18)
    (compression,) = struct.unpack_from("<L", data, 30)
    if compression in _RUN_LENGTH and len(data) > MAX_RUN_LENGTH_BYTES:
        raise ImageTooLarge(
            "too_many_bytes",
            "the run-length encoded BMP file is too large",
            got=f"{len(data):,} bytes",
            expected=f"at most {MAX_RUN_LENGTH_BYTES:,}",
            fix="Convert it to PNG.",
        )
    if width < 0:
        raise damaged("BMP", f"a width of {width}")
    return Header("BMP", width, abs(height), data)  # a negative height means that the top row comes first
