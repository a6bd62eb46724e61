"""TIFF: the first page, with a directory of only the tags that describe pixels.

Structure: Adobe, "TIFF Revision 6.0", 1992. Sizes in tags are checked against the file and the image
first, because decoders allocate what tags say.
"""

from __future__ import annotations

import struct

from lookalike.images.header import Header, damaged
from lookalike.images.ifd import ORIENTATION, Directory, read_directory

_WIDTH, _HEIGHT, _COMPRESSION, _SAMPLES, _PLANES = 256, 257, 259, 277, 284
_STRIPS = (273, 279)
_TILES = (324, 325)
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_PROFILE = 34675
_PIXEL_TAGS = frozenset(
    int(tag)
    for line in (
        "256 257 258 259 262 266 277 284 317 320",  # size, bits, compression, colours, predictor, palette
        "273 278 279 322 323 324 325",  # strips and tiles
        "292 293 332 338 339 529 530 531 532",  # fax options; inks, extra samples, sample format; YCbCr
        "347 512 513 514 515 517 518 519 520 521",  # JPEG tables, and JPEG of old
    )
    for tag in line.split()
)
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32_773, 32_946, 50_000, 50_001})
"""None, fax, LZW, JPEG, deflate, PackBits, Zstandard, WebP. Not LZMA: files control its memory."""
_MAX_NUMBERS = 3 * 65_536
"""Values in a tag: the palette of a 16-bit image is the longest."""
_MAX_TILE_PIXELS = 16_000_000


def accepts(data: bytes) -> bool:
    """Whether `data` starts like a TIFF or BigTIFF file."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read(data: bytes) -> Header:
    """The header of a TIFF file; of the first page if it has several."""
    directory = read_directory(data)
    width, height = directory.integer(_WIDTH, 0), directory.integer(_HEIGHT, 0)
    _check_tags(directory)
    _check_layout(directory, width, height)
    profile = directory.value(_PROFILE)
    return Header("TIFF", width, height, _with_pixel_tags(directory), _orientation(directory), profile)


def _orientation(directory: Directory) -> int:
    orientation = directory.integer(ORIENTATION, 1)
    return orientation if 1 <= orientation <= 8 else 1


def _check_tags(directory: Directory) -> None:
    entries = [entry for tag, entry in directory.entries.items() if tag in _PIXEL_TAGS]
    if sum(entry.size for entry in entries) > len(directory.data):
        raise damaged("TIFF", "tags that are longer than the file")
    if any(entry.start + entry.size > len(directory.data) for entry in entries):
        raise damaged("TIFF", "a tag that runs past the end")


def _check_layout(directory: Directory, width: int, height: int) -> None:
    """Reject more strips, tiles or values than the image can have, and oversized tiles."""
    compression = directory.integer(_COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise damaged("TIFF", f"compression {compression}")
    planes = directory.integer(_SAMPLES, 1) if directory.integer(_PLANES, 1) == 2 else 1
    tile_width, tile_height = directory.integer(_TILE_WIDTH, 16), directory.integer(_TILE_HEIGHT, 16)
    if not 0 < tile_width * tile_height <= _MAX_TILE_PIXELS:
        raise damaged("TIFF", f"tiles of {tile_width} × {tile_height} pixels")
    tiles = -(-width // tile_width) * -(-height // tile_height)
    for tag, entry in directory.entries.items():
        expected = height * planes if tag in _STRIPS else tiles * planes if tag in _TILES else _MAX_NUMBERS
        if tag in _PIXEL_TAGS and entry.count > expected:
            raise damaged("TIFF", f"{entry.count:,} numbers in tag {tag}, expected at most {expected:,}")


def _with_pixel_tags(directory: Directory) -> bytes:
    """The file with a shorter directory in place of the old one, and no further page.

    The file must not grow: otherwise a truncated strip could continue in our directory.
    """
    rows = [entry.raw for tag, entry in sorted(directory.entries.items()) if tag in _PIXEL_TAGS]
    order, big = directory.order, directory.big
    count = struct.pack(order + ("Q" if big else "H"), len(rows))
    no_next_page = struct.pack(order + ("Q" if big else "L"), 0)
    block = b"".join([count, *rows, no_next_page])
    view, start = memoryview(directory.data), directory.start
    return b"".join([view[:start], block, view[start + len(block) :]])
