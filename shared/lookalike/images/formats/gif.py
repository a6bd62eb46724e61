"""GIF: the screen, its palette and the first frame. Structure: CompuServe, "GIF89a Specification", 1990."""

from __future__ import annotations

import struct

from lookalike.images.header import MAX_PARTS, Header, damaged

_EXTENSION, _FRAME, _TRAILER, _CONTROL = 0x21, 0x2C, 0x3B, 0xF9


def accepts(data: bytes) -> bool:
    """Whether `data` starts like a GIF file."""
    return data.startswith((b"GIF87a", b"GIF89a"))


def read(data: bytes) -> Header:
    """The header of a GIF file. The image is the screen, with the first frame painted on it.

    A screen smaller than its frame is widened to hold it, as browsers do.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    screen_end = 13 + _palette_bytes(flags)
    control, start = _find_frame(data, screen_end)
    left, top, frame_width, frame_height = struct.unpack_from("<4H", data, start + 1)
    right, bottom = left + frame_width, top + frame_height
    if frame_width == 0 or frame_height == 0:
        raise damaged("GIF", "a frame without pixels")
    width, height = max(width, right), max(height, bottom)
    if max(width, height) > 0xFFFF:
        raise damaged("GIF", "a frame outside the screen")
    screen = data[:6] + struct.pack("<HH", width, height) + data[10:screen_end]
    stream = b"".join([screen, control, memoryview(data)[start:]])
    # Without a transparent colour, Pillow fills the area outside the frame with colour 0.
    whole = (left, top, right, bottom) == (0, 0, width, height)
    frame = None if whole or control else (left, top, right, bottom)
    return Header("GIF", width, height, stream, frame=frame)


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _find_frame(data: bytes, position: int) -> tuple[bytes, int]:
    """The graphic control extension, if it has a transparent colour, and the start of the first frame."""
    control = b""
    for _ in range(MAX_PARTS):
        block = data[position]
        if block == _FRAME:
            return control, position
        if block == _TRAILER:
            break
        if block == 0:  # a stray block terminator
            position += 1
        elif block == _EXTENSION:
            end = _skip_blocks(data, position + 2)
            if data[position + 1] == _CONTROL and data[position + 2] == 4:
                control = data[position : position + 8] if data[position + 3] & 1 else b""
            position = end
        else:
            raise damaged("GIF", f"an unknown block {block:#04x}")
    raise damaged("GIF", "no frame")


def _skip_blocks(data: bytes, position: int) -> int:
    while length := data[position]:
        position += 1 + length
    return position + 1
