"""The header of an image: what is known before decoding."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.errors import ImageRejected

Box = tuple[float, float, float, float]
"""left, top, right, bottom, in pixels; right and bottom are exclusive."""

MAX_PARTS = 50_000
"""Maximum number of segments, chunks or blocks in a file; parsing this many takes 0.2 s."""
MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""Larger colour profiles are ignored; profiles for printing have up to 3 MB."""


@dataclass(frozen=True, slots=True)
class Header:
    """An image's header, and the bytes that its decoder may see.

    Attributes:
        format: Pillow's name of the format.
        width: pixels per row as stored, before orientation; 0 if only the decoder knows (AVIF).
        height: rows as stored.
        stream: the parts of the file with pixels, for the decoder.
        orientation: EXIF orientation, 1 to 8.
        profile: ICC colour profile.
        frame: the part of the image that the file paints, if not the whole (GIF).
        frames: width and height of everything that is decoded, if there are several frames (AVIF).
    """

    format: str
    width: int
    height: int
    stream: bytes
    orientation: int = 1
    profile: bytes | None = None
    frame: tuple[int, int, int, int] | None = None
    frames: tuple[tuple[int, int], ...] = ()


def damaged(kind: str, detail: object) -> ImageRejected:
    """The error for a file of a known format that cannot be decoded."""
    return ImageRejected(
        "undecodable",
        f"the {kind} file is damaged, or uses an unsupported feature",
        got=str(detail)[:200],
        fix="Save it again with an image editor, or leave it out.",
    )
