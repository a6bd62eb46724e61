"""JPEG: segments up to the first scan, without comments and application data.

Structure: ITU-T T.81, annex B; EXIF and ICC segments: CIPA DC-008 and ICC.1 annex B.4.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from lookalike.images.header import MAX_PARTS, Header, damaged
from lookalike.images.ifd import EXIF_PREFIX, exif_orientation

MAX_SCANS = 100
"""A progressive image has about ten. Each scan processes every block of the image, however short it is,
so thousands of empty ones are an attack (libjpeg-turbo, "Two issues with the JPEG standard", 2017)."""

_SOI, _EOI, _SOS, _APP1, _APP2, _COM = 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xFE
_APPLICATION = frozenset(range(0xE0, 0xF0))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_COLOUR_MODEL = (b"JFIF\0", b"Adobe")
_PROFILE_PREFIX = b"ICC_PROFILE\0"
# Not markers: an escaped FF, a restart, a fill byte. Skip stray bytes before a marker, like decoders.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")


def accepts(data: bytes) -> bool:
    """Whether `data` starts like a JPEG file."""
    return data.startswith(b"\xff\xd8\xff")


def read(data: bytes) -> Header:
    """The header of a JPEG file; of the first image if the file has several (MPO)."""
    kept = [data[:2]]
    size: tuple[int, int] | None = None
    exif = b""
    profile: dict[int, bytes] = {}
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker == _SOS:
            if size is None:
                raise damaged("JPEG", "a scan before its frame header")
            _check_scans(data, start)
            stream = b"".join([*kept, memoryview(data)[start:]])
            whole_profile = b"".join(part for _, part in sorted(profile.items()))
            return Header("JPEG", *size, stream, exif_orientation(exif), whole_profile)
        if marker in _FRAMES:
            if size is not None:
                raise damaged("JPEG", "two frame headers")
            height, width = struct.unpack_from(">HH", body, 1)
            size = width, height
        if marker == _APP1 and body.startswith(EXIF_PREFIX):
            exif = exif or body
        elif marker == _APP2 and body.startswith(_PROFILE_PREFIX) and len(body) > 14:
            profile.setdefault(body[12], body[14:])
        elif body.startswith(_COLOUR_MODEL) or (marker not in _APPLICATION and marker != _COM):
            kept.append(data[start:end])
    raise damaged("JPEG", "it ends before the image starts")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each segment: its marker, start and end."""
    position = 2
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, position)
        if found is None or (marker := found[1][0]) in (_SOI, _EOI):
            return
        start = found.start()
        (length,) = struct.unpack_from(">H", data, start + 2)
        position = start + 2 + length
        if length < 2 or position > len(data):
            raise damaged("JPEG", "a segment that runs past the end")
        yield marker, start, position
    raise damaged("JPEG", f"more than {MAX_PARTS:,} segments")


def _check_scans(data: bytes, start: int) -> None:
    # Thumbnails and appended videos have scan markers too, so count exactly only if there are many.
    if data.count(b"\xff\xda", start) <= MAX_SCANS:
        return
    scans = sum(marker == _SOS for marker, _, _ in _segments(data))
    if scans > MAX_SCANS:
        raise damaged("JPEG", f"{scans:,} scans, expected at most {MAX_SCANS}")
