"""Compare two images block by block. Depends on their pixels only, not on an encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.duplicates.alignment import Alignment
from lookalike.duplicates.samples import Edges, Sample
from lookalike.duplicates.tone import Pixels, Tone, fit_tone, shades
from lookalike.images.copies import hamming
from lookalike.images.decoded import DecodedImage
from lookalike.images.perceptual import perceptual_hash

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
SPARSE = 3
"""Every third row and column is enough for a mean."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Floats = NDArray[np.float32]
Blocks = NDArray[np.float32]
"""shape (rows, columns): one number per block."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How the common part of two images, a and b, compares after their tones were matched.

    Attributes:
        overlap: the common part, as a box in a and in b.
        tone: from a to b.
        structure: SSIM's structure term of each block, -1 to 1.
        detail: correlation of horizontal and vertical luma differences, the smaller of both, -1 to 1.
        colour: distance of the blocks' mean colours (R − Y, B − Y), in levels of 255.
        wide_colour: the same, of larger areas: JPEG keeps colours at half the resolution, so strong colours
            run into each other where they meet.
        light: distance of the blocks' mean luma.
        one_sided: share of the differences that have one sign, 0.5 to 1: of light added, or taken.
        texture: share of blocks with fine detail in both images.
        white: share of pixels that are white in both.
        shades: see `tone.shades`; 1 without a change of tone.
        saturation: mean colourfulness of a and of b, in levels.
        edges: mean squared luma differences between neighboring pixels, per block, of a and of b.
        crops: the pixels of the common parts, of equal size and in one tone.
        side: of a block, in pixels.
    """

    overlap: tuple[Edges, Edges]
    tone: Tone
    structure: Blocks
    detail: Blocks
    colour: Blocks
    wide_colour: Blocks
    light: Blocks
    one_sided: float
    texture: float
    white: float
    shades: float
    saturation: tuple[float, float]
    edges: tuple[Blocks, Blocks]
    crops: tuple[Image.Image, Image.Image]
    side: int

    def bits(self, hidden: NDArray[np.bool_] | None = None) -> int | None:
        """In which the perceptual hashes of the common parts differ, of 256; None: featureless.

        Args:
            hidden: blocks that are grey in both images for this.
        """
        if hidden is None or not hidden.any():
            return _bits(*self.crops)
        width, height = self.crops[0].size
        top, left = _margins(height, width, self.side)
        crops = self.crops[0].copy(), self.crops[1].copy()
        for row, column in np.argwhere(hidden).tolist():
            y, x = top + row * self.side, left + column * self.side
            for crop in crops:
                crop.paste((GREY, GREY, GREY), (x, y, x + self.side, y + self.side))
        return _bits(*crops)


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
        s.image.resize((width, height), Image.Resampling.BICUBIC, box=box)
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


def spread(blocks: Blocks) -> Blocks:
    """Means over each block and its neighbors, the nearer with more weight."""
    for _ in range(2):
        padded = np.concatenate([blocks[:1], blocks, blocks[-1:]])
        blocks = ((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4).T
    return blocks


def _in_pixels(edges: Edges, sample: Sample) -> Edges:
    width, height = sample.image.size
    return edges[0] * width, edges[1] * height, edges[2] * width, edges[3] * height


def _compared(overlap: tuple[Edges, Edges], crops: tuple[Image.Image, Image.Image], side: int) -> Evidence:
    pixels = np.asarray(crops[0]), np.asarray(crops[1])
    own = _smoothed(pixels[0]), _smoothed(pixels[1])
    tone = fit_tone(*own)
    toned = tone.matched(*pixels)
    a, b = own if tone.is_none else (_smoothed(toned[0]), _smoothed(toned[1]))
    ya, yb = _luma(a), _luma(b)
    details: list[Blocks] = []
    powers: list[tuple[Blocks, Blocks]] = []
    for axis in (0, 1):
        da, db = (np.gradient(y, axis=axis) for y in (ya, yb))
        va, vb, both = (_means(product, side) for product in (da * da, db * db, da * db))
        details.append((both + DETAIL_FLOOR) / (np.sqrt(va * vb) + DETAIL_FLOOR + 0.15 * np.abs(va - vb)))
        powers.append((va, vb))
    edges = powers[0][0] + powers[1][0], powers[0][1] + powers[1][1]
    # Of R − Y and B − Y.
    colours = [_means((a[channel] - ya) - (b[channel] - yb), side) for channel in (0, 2)]
    error = yb - ya
    up, down = np.maximum(error - NOISE, 0), np.maximum(-error - NOISE, 0)
    total = float(up.sum() + down.sum())
    fine = np.minimum(*(np.sqrt(edge) for edge in edges))
    white = np.minimum.reduce([*own[0], *own[1]]) > WHITE
    return Evidence(
        overlap,
        tone,
        structure=_structure(ya, yb, side),
        detail=np.minimum(*details),
        colour=_lengths(colours),
        wide_colour=_lengths([spread(each) for each in colours]),
        light=np.abs(_means(error, side)),
        one_sided=float(max(up.sum(), down.sum())) / total if total else 1.0,
        texture=float((fine > TEXTURE).mean()),
        white=float(white.mean()),
        shades=1.0 if tone.is_none else shades(*own),
        saturation=(_saturation(own[0]), _saturation(own[1])),
        edges=edges,
        crops=(Image.fromarray(toned[0]), Image.fromarray(toned[1])),
        side=side,
    )


def _lengths(colours: list[Blocks]) -> Blocks:
    return np.hypot(*colours)


def _bits(a: Image.Image, b: Image.Image) -> int | None:
    hashes = [
        perceptual_hash(DecodedImage(image, *image.size, "", (0.0, 0.0, *image.size))) for image in (a, b)
    ]
    if hashes[0] is None or hashes[1] is None:
        return None
    left, right = (np.frombuffer(bytearray(value), np.uint8)[None] for value in hashes if value)
    return int(hamming(left, right)[0])


def _smoothed(image: Pixels) -> Floats:
    """Binomial filter of 3 × 3: copies were resampled, so their finest detail differs.

    Returns:
        (3, height, width), 0 to 255.
    """
    height, width, _ = image.shape
    pixels = image.astype(np.uint16)
    down = np.concatenate([pixels[:1], pixels, pixels[-1:]])
    rows = down[:-2] + 2 * down[1:-1] + down[2:]
    # Channels are next to each other, so the neighbor on the right is three places away.
    across = np.concatenate([rows[:, :1], rows, rows[:, -1:]], axis=1).reshape(height, -1)
    smoothed = across[:, :-6] + 2 * across[:, 3:-3] + across[:, 6:]
    channels = smoothed.reshape(height, width, 3).transpose(2, 0, 1)
    scaled: Floats = np.multiply(channels, np.float32(1 / 16), order="C")
    return scaled


def _luma(channels: Floats) -> Floats:
    red, green, blue = LUMA.tolist()
    luma: Floats = red * channels[0] + green * channels[1] + blue * channels[2]
    return luma


def _saturation(channels: Floats) -> float:
    some = channels[:, ::SPARSE, ::SPARSE]
    return float(np.abs(some - _luma(some)).mean())


def _margins(height: int, width: int, side: int) -> tuple[int, int]:
    """Pixels above and to the left of the first block."""
    return height % side // 2, width % side // 2


def _means(values: Floats, side: int) -> Blocks:
    """Means of whole blocks around the centre: (rows, columns)."""
    height, width = values.shape
    rows, columns = height // side, width // side
    top, left = _margins(height, width, side)
    cut = values[top : top + rows * side, left : left + columns * side]
    strips = cut.reshape(rows, side, columns * side).sum(axis=1)
    means: Blocks = strips.reshape(rows, columns, side).sum(axis=-1) / side**2
    return means


def _structure(a: Floats, b: Floats, side: int) -> Blocks:
    left, right = a - GREY, b - GREY
    mean_left, mean_right = _means(left, side), _means(right, side)
    both = 2 * (_means(left * right, side) - mean_left * mean_right) + STRUCTURE_FLOOR
    powers = _means(left * left, side) - mean_left**2 + _means(right * right, side) - mean_right**2
    found: Blocks = both / (powers + STRUCTURE_FLOOR)
    return found
