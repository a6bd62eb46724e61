"""What is known of an image before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.errors import ImageRejected

Box = tuple[float, float, float, float]
"""left, top, right, bottom, in pixels; right and bottom are outside."""

MAX_PARTS = 50_000
"""Segments, chunks or blocks that are walked before a file counts as hostile; walking them takes 0.2 s."""
MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""Larger colour profiles are ignored; those of printing houses have up to 3 MB."""


@dataclass(frozen=True, slots=True)
class Header:
    """An image's header, and the bytes that its decoder may see.

    Attributes:
        format: Pillow's name of the format.
        width: pixels in a row as stored, before orientation; 0 if only the decoder can tell (AVIF).
        height: rows as stored.
        stream: the file without what carries no pixels; the decoder gets this.
        orientation: EXIF orientation, 1 to 8.
        profile: ICC colour profile.
        frame: the part of the image that the file paints, if not the whole (GIF).
        frames: width and height of all that is decoded, where that is more than one thing (AVIF).
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
    """The error for a file of a known format that does not decode."""
    return ImageRejected(
        "undecodable",
        f"the {kind} file is damaged, or of a variety that lookalike does not read",
        got=str(detail)[:200],
        fix="Save it again from an image editor, or leave it out.",
    )
