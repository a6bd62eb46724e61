"""AVIF: locate the bitstreams in the boxes and check their frame sizes.

Structure: ISO/IEC 14496-12 (boxes; `iinf`, `iloc` in 8.11), 23008-12 (items); AOMedia, "AV1 Image File
Format". The size of the whole image comes from libavif, which knows it before it decodes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lookalike.images.formats import av1
from lookalike.images.header import MAX_PARTS, Header, damaged

_BRANDS = (b"avif", b"avis")


def accepts(data: bytes) -> bool:
    """Whether `data` starts like an AVIF file: its first box names the brand, as major or compatible."""
    if data[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(data[:4]), 256)
    return any(data[start : start + 4] in _BRANDS for start in (8, *range(16, length, 4)))


def read(data: bytes) -> Header:
    """The header of an AVIF file, without its size. For an animation, the still image next to it.

    EXIF items are renamed in place, so that no decoder parses them: AVIF's own rotation and mirror properties
    take precedence over EXIF (23008-12, 6.5.10). The major brand is set to that of still images, so that
    libavif does not read tracks.
    """
    boxes = [box for box in _boxes(data, 0, len(data)) if box[0] == b"meta"]
    if len(boxes) != 1:
        raise damaged("AVIF", f"{len(boxes)} boxes of metadata, expected 1")
    _, start, end = boxes[0]
    frames = tuple(_frame_sizes(data, start, end))
    quiet = data[start:end].replace(b"Exif", b"skip")
    stream = b"".join([data[:8], b"avif", data[12:start], quiet, memoryview(data)[end:]])
    return Header("AVIF", 0, 0, stream, frames=frames)


def _boxes(data: bytes, position: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Each box from `position` to `stop`: its type, and the start and end of its body."""
    for _ in range(MAX_PARTS):
        if position + 8 > stop:
            return
        size, kind = struct.unpack_from(">L4s", data, position)
        body = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        end = position + size if size else stop
        if end < body or end > stop:
            raise damaged("AVIF", f"a box {kind!r} that runs past the end")
        yield kind, body, end
        position = end
    raise damaged("AVIF", f"more than {MAX_PARTS:,} boxes")


def _frame_sizes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Width and height of every coded frame: the image, its tiles, its transparency, its thumbnails."""
    boxes = {kind: (body, stop) for kind, body, stop in _boxes(data, start + 4, end)}
    if b"iinf" not in boxes or b"iloc" not in boxes:
        raise damaged("AVIF", "no table of items")
    coded = set(_coded_items(data, *boxes[b"iinf"]))
    inline = boxes.get(b"idat", (0, 0))[0]
    for item, in_idat, extents in _locations(data, boxes[b"iloc"][0]):
        if item in coded:
            base = inline if in_idat else 0
            parts = [data[base + offset : base + offset + length] for offset, length in extents]
            yield from av1.frame_sizes(b"".join(parts))


def _coded_items(data: bytes, start: int, end: int) -> Iterator[int]:
    first = start + (6 if data[start] == 0 else 8)
    for kind, body, _ in _boxes(data, first, end):
        version = data[body]
        if kind == b"infe" and version in (2, 3):
            item, _, item_type = struct.unpack_from(">HH4s" if version == 2 else ">LH4s", data, body + 4)
            if item_type == b"av01":
                yield item


def _locations(data: bytes, position: int) -> Iterator[tuple[int, bool, list[tuple[int, int]]]]:
    """Each item: its number, whether it is in `idat`, and the (offset, length) of its parts."""
    reader = _Numbers(data, position)
    version = reader.take(1)
    reader.take(3)
    offset_bytes, length_bytes = divmod(reader.take(1), 16)
    base_bytes, index_bytes = divmod(reader.take(1), 16)
    number_bytes = 4 if version == 2 else 2
    parts = 0
    for _ in range(reader.take(number_bytes)):
        item = reader.take(number_bytes)
        in_idat = bool(version and reader.take(2) & 15)
        reader.take(2)
        base = reader.take(base_bytes)
        extents = []
        for _ in range(reader.take(2)):
            reader.take(index_bytes if version else 0)
            offset = base + reader.take(offset_bytes)
            extents.append((offset, reader.take(length_bytes)))
        parts += 1 + len(extents)
        if parts > MAX_PARTS or sum(length for _, length in extents) > len(data):
            raise damaged("AVIF", "items that are longer than the file")
        yield item, in_idat, extents


class _Numbers:
    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position

    def take(self, count: int) -> int:
        self._position += count
        if self._position > len(self._data):
            raise damaged("AVIF", "a truncated table")
        return int.from_bytes(self._data[self._position - count : self._position])
