"""Compare two images block by block. Depends on their pixels only, not on an encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.duplicates.alignment import Alignment
from lookalike.duplicates.samples import Edges, Sample
from lookalike.duplicates.tone import Tone, fit_tone
from lookalike.images.copies import hamming
from lookalike.images.decoded import DecodedImage
from lookalike.images.perceptual import perceptual_hash
from lookalike.types import Pixels

BLOCKS = 16
"""Blocks along the longer side of the common part."""
MIN_BLOCK = 8
MIN_SIDE = 16
"""Smallest common part that is compared, in pixels."""
STRUCTURE_FLOOR = 60.0
"""Variance of luma that counts as noise: the constant of SSIM's structure term."""
DETAIL_FLOOR = 4.0
"""Variance of luma differences between neighboring pixels that counts as noise."""
TEXTURE = 1.5
"""Standard deviation of fine detail, from which a block has texture."""
SEAM = 0.03
"""Share of width and height."""
NOISE = 12.0
"""Differences of luma up to this many levels come from compression."""
WHITE = 250.0
GREY = 128
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Floats = NDArray[np.float32]
Blocks = NDArray[np.float32]
"""shape (rows, columns): one number per block."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How the common part of two images, a and b, compares after a's tone was matched to b's.

    Attributes:
        overlap: the common part, as a box in a and in b.
        bits: in which the perceptual hashes of the common parts differ, of 256; None: featureless.
        tone: from a to b.
        structure: SSIM's structure term of each block, -1 to 1.
        detail: correlation of horizontal and vertical luma differences, the smaller of both, -1 to 1.
        colour: distance of the blocks' mean colours (R − Y, B − Y), in levels of 255.
        light: distance of the blocks' mean luma.
        one_sided: share of the differences that have one sign, 0.5 to 1: of light added, or taken.
        texture: share of blocks with fine detail in both images.
        white: share of pixels that are white in both.
        saturation: mean colourfulness of a and of b, in levels.
        edges: mean squared luma differences between neighboring pixels, per block, of a and of b.
        crops: the pixels of the common parts, of equal size.
        side: of a block, in pixels.
    """

    overlap: tuple[Edges, Edges]
    bits: int | None
    tone: Tone
    structure: Blocks
    detail: Blocks
    colour: Blocks
    light: Blocks
    one_sided: float
    texture: float
    white: float
    saturation: tuple[float, float]
    edges: tuple[Blocks, Blocks]
    crops: tuple[Pixels, Pixels]
    side: int

    def bits_outside(self, flags: NDArray[np.bool_]) -> int | None:
        """`bits` without some blocks: they are grey in both images. None: featureless."""
        hidden = [crop.copy() for crop in self.crops]
        height, width, _ = hidden[0].shape
        top, left = _margins(height, width, self.side)
        for row, column in np.argwhere(flags).tolist():
            y, x = top + row * self.side, left + column * self.side
            for crop in hidden:
                crop[y : y + self.side, x : x + self.side] = GREY
        return _bits(*hidden)


def measure(a: Sample, b: Sample, alignment: Alignment) -> Evidence | None:
    """Compare the common part of two aligned images. None: it is too small."""
    overlap = alignment.overlap()
    inner = _without_seam(*overlap)
    boxes = [_in_pixels(edges, sample) for edges, sample in zip(inner, (a, b), strict=True)]
    width = round(min(box[2] - box[0] for box in boxes))
    height = round(min(box[3] - box[1] for box in boxes))
    if min(width, height) < MIN_SIDE:
        return None
    crops = [
        np.asarray(s.image.resize((width, height), Image.Resampling.BICUBIC, box=box))
        for s, box in zip((a, b), boxes, strict=True)
    ]
    side = max(MIN_BLOCK, round(max(width, height) / BLOCKS))
    return _compared(overlap, (crops[0], crops[1]), side)


def _without_seam(a: Edges, b: Edges) -> tuple[Edges, Edges]:
    """The common part without a thin strip where one image ends and the other goes on."""
    inner = []
    for edges in (a, b):
        margins = (SEAM * (edges[2] - edges[0]), SEAM * (edges[3] - edges[1]))
        inner.append(
            tuple(
                edge + (margins[side % 2] if side < 2 else -margins[side % 2])
                if max(abs(each[side] - (side > 1)) for each in (a, b)) > SEAM / 2
                else edge
                for side, edge in enumerate(edges)
            )
        )
    return inner[0], inner[1]  # type: ignore[return-value]  # four edges each


def _in_pixels(edges: Edges, sample: Sample) -> Edges:
    width, height = sample.image.size
    return edges[0] * width, edges[1] * height, edges[2] * width, edges[3] * height


def _compared(overlap: tuple[Edges, Edges], crops: tuple[Pixels, Pixels], side: int) -> Evidence:
    a, b = (_smoothed(crop.astype(np.float32)) for crop in crops)
    tone = fit_tone(a, b)
    matched = tone.apply(a, b)
    ya, yb = matched @ LUMA, b @ LUMA
    details: list[Blocks] = []
    powers: list[tuple[Blocks, Blocks]] = []
    for axis in (0, 1):
        da, db = (_blocks(np.gradient(y, axis=axis), side) for y in (ya, yb))
        va, vb, both = (da * da).mean(-1), (db * db).mean(-1), (da * db).mean(-1)
        details.append((both + DETAIL_FLOOR) / (np.sqrt(va * vb) + DETAIL_FLOOR + 0.15 * np.abs(va - vb)))
        powers.append((va, vb))
    edges = powers[0][0] + powers[1][0], powers[0][1] + powers[1][1]
    colours = [
        np.stack([_blocks(pixels[..., channel] - luma, side).mean(-1) for channel in (0, 2)])
        for pixels, luma in ((matched, ya), (b, yb))
    ]
    blocks_a, blocks_b = _blocks(ya, side), _blocks(yb, side)
    error = yb - ya
    up, down = np.maximum(error - NOISE, 0), np.maximum(-error - NOISE, 0)
    total = float(up.sum() + down.sum())
    fine = np.minimum(*(np.sqrt(edge) for edge in edges))
    white = float(((a.min(-1) > WHITE) & (b.min(-1) > WHITE)).mean())
    return Evidence(
        overlap,
        _bits(*crops),
        tone,
        structure=_structure(blocks_a, blocks_b),
        detail=np.minimum(*details),
        colour=np.sqrt(((colours[0] - colours[1]) ** 2).sum(0)),
        light=np.abs(blocks_a.mean(-1) - blocks_b.mean(-1)),
        one_sided=float(max(up.sum(), down.sum())) / total if total else 1.0,
        texture=float((fine > TEXTURE).mean()),
        white=white,
        saturation=tuple(float(np.abs(pixels - (pixels @ LUMA)[..., None]).mean()) for pixels in (a, b)),  # type: ignore[arg-type]
        edges=edges,
        crops=crops,
        side=side,
    )


def _bits(a: Pixels, b: Pixels) -> int | None:
    hashes = [perceptual_hash(DecodedImage.from_pixels(pixels)) for pixels in (a, b)]
    if hashes[0] is None or hashes[1] is None:
        return None
    left, right = (np.frombuffer(bytearray(value), np.uint8)[None] for value in hashes if value)
    return int(hamming(left, right)[0])


def _smoothed(pixels: Floats) -> Floats:
    """Binomial filter of 3 × 3: copies were resampled, so their finest detail differs."""
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    smoothed = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
    return smoothed.astype(np.float32, copy=False)


def _margins(height: int, width: int, side: int) -> tuple[int, int]:
    """Pixels above and to the left of the first block."""
    return height % side // 2, width % side // 2


def _blocks(values: Floats, side: int) -> Floats:
    """Whole blocks around the centre: (rows, columns, side²)."""
    height, width = values.shape
    rows, columns = height // side, width // side
    top, left = _margins(height, width, side)
    cut = values[top : top + rows * side, left : left + columns * side]
    return cut.reshape(rows, side, columns, side).transpose(0, 2, 1, 3).reshape(rows, columns, -1)


def _structure(a: Floats, b: Floats) -> Blocks:
    left, right = (blocks - blocks.mean(-1, keepdims=True) for blocks in (a, b))
    both = 2 * (left * right).mean(-1) + STRUCTURE_FLOOR
    found: Blocks = both / ((left * left).mean(-1) + (right * right).mean(-1) + STRUCTURE_FLOOR)
    return found
