"""Which files are meant to be images, and which are leftovers of archives and desktops."""

from __future__ import annotations

from pathlib import Path

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".avif", ".heic", ".heif", ".jp2", ".svg"}
)
"""Includes formats that lookalike does not read, so that such files are rejected by name."""
LEFTOVERS = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
HEAD_BYTES = 16

# Images with another suffix are accepted too: the decoder checks the content.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*")


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or a leftover of an archive or a desktop."""
    return name.startswith(".") or name.lower() in LEFTOVERS


def begins_like_picture(head: bytes) -> bool:
    """Whether a file whose first `HEAD_BYTES` are `head` is an image; the name does not matter."""
    container = head[4:12] in (b"ftypavif", b"ftypavis") or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
    return head.startswith(_SIGNATURES) or container


def looks_like_picture(file: Path) -> bool:
    """`begins_like_picture` of a file; False for a file that cannot be read."""
    try:
        with file.open("rb") as opened:
            return begins_like_picture(opened.read(HEAD_BYTES))
    except OSError:
        return False
