"""The frame size in an AV1 bitstream.

An AVIF file states its size in a box and again in the bitstream. Decoders allocate what the bitstream says.
 Only bitstreams whose frames all have the size of their one sequence header are accepted here.
Structure: AOMedia, "AV1 Bitstream & Decoding Process Specification", 5.3 (units), 5.5 and 5.9 (headers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lookalike.images.header import MAX_PARTS, damaged

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
_KEY_FRAME, _SWITCH_FRAME = 0, 3
_LONGEST_HEADER_BYTES = 512
_SELECT = 2


@dataclass(frozen=True, slots=True)
class _Sequence:
    """The fields of a sequence header that determine the frame size."""

    width: int
    height: int
    reduced: bool  # a header for still images, in which frames cannot choose a size
    screen_content: int = _SELECT
    integer_motion: int = _SELECT
    frame_id_bits: int = 0
    presentation_time_bits: int = 0


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise damaged("AVIF", "a truncated header in the bitstream")
        return self._number >> self._left & ((1 << count) - 1)

    def take_exponential(self) -> int:
        """uvlc() of the specification, 4.10.3."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return self.take(zeros) + (1 << zeros) - 1


def frame_sizes(units: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of each frame in an image's bitstream; layered images have several.

    Raises ImageRejected if a frame has another size than its sequence.
    """
    sequence: _Sequence | None = None
    for kind, start, end in _units(units):
        bits = _Bits(units[start : min(end, start + _LONGEST_HEADER_BYTES)])
        if kind == _SEQUENCE_HEADER:
            if sequence is not None:
                raise damaged("AVIF", "two sequence headers in one image")
            sequence = _read_sequence(bits)
        elif kind in (_FRAME_HEADER, _FRAME):
            if sequence is None or not _keeps_size(bits, sequence):
                raise damaged("AVIF", "a frame differs in size from the image")
            yield sequence.width, sequence.height


def _units(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each unit (OBU): its type, and the start and end of its payload."""
    position = 0
    for _ in range(MAX_PARTS):
        if position >= len(data):
            return
        head = data[position]
        position += 2 if head & 4 else 1
        size = len(data) - position
        if head & 2:
            size, position = _read_size(data, position)
        if position + size > len(data):
            raise damaged("AVIF", "the bitstream is truncated")
        yield head >> 3 & 15, position, position + size
        position += size


def _read_size(data: bytes, position: int) -> tuple[int, int]:
    """leb128() of the specification, 4.10.5: the number and its end position."""
    number = 0
    for index in range(8):
        byte = data[position + index]
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, position + index + 1
    raise damaged("AVIF", "an unterminated size")


def _read_sequence(bits: _Bits) -> _Sequence:
    bits.take(4)  # profile, still image
    reduced = bool(bits.take(1))
    if reduced:
        bits.take(5)
    presentation_time_bits = 0 if reduced else _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
    if reduced:
        return _Sequence(width, height, reduced)
    frame_id_bits = bits.take(4) + 2 + bits.take(3) + 1 if bits.take(1) else 0
    bits.take(7)  # coding tools
    if bits.take(1):  # order hints
        bits.take(2)
    screen_content = _SELECT if bits.take(1) else bits.take(1)
    integer_motion = _SELECT
    if screen_content and not bits.take(1):
        integer_motion = bits.take(1)
    return _Sequence(
        width, height, reduced, screen_content, integer_motion, frame_id_bits, presentation_time_bits
    )


def _skip_operating_points(bits: _Bits) -> int:
    """Skip timing and operating points. Returns the number of bits of a frame's presentation time."""
    delay_bits = presentation_time_bits = 0
    equal_intervals = 0
    if bits.take(1):  # timing
        bits.take(64)
        equal_intervals = bits.take(1)
        if equal_intervals:
            bits.take_exponential()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(37)
            presentation_time_bits = bits.take(5) + 1
    display_delays = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # level
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if display_delays and bits.take(1):
            bits.take(4)
    return 0 if equal_intervals else presentation_time_bits


def _keeps_size(bits: _Bits, sequence: _Sequence) -> bool:
    """Whether a frame header has the size of its sequence."""
    if sequence.reduced or bits.take(1):  # no choice, or an earlier frame is shown again
        return True
    kind, shown = bits.take(2), bits.take(1)
    bits.take(sequence.presentation_time_bits if shown else 1)
    if kind == _SWITCH_FRAME:
        return False
    if not (kind == _KEY_FRAME and shown):
        bits.take(1)  # error resilience
    bits.take(1)  # update of statistics
    screen_content = bits.take(1) if sequence.screen_content == _SELECT else sequence.screen_content
    if screen_content and sequence.integer_motion == _SELECT:
        bits.take(1)
    bits.take(sequence.frame_id_bits)
    return not bits.take(1)
