"""Align two images that may differ in crop, scale and brightness.

Finds the scale and the shift for which `gain * a + offset` equals `b`, by Gauss–Newton steps on the pixels,
coarse to fine (Lucas and Kanade, "An Iterative Image Registration Technique", IJCAI 1981). Pixels that do not
fit, such as a label on one of the images, get little weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.samples import SIDES, Edges, Luma

Floats = NDArray[np.float32]

Start = tuple[float, float, float, float]
"""scale_x, scale_y, shift_x, shift_y; see `Alignment`."""
WHOLE: Edges = (0.0, 0.0, 1.0, 1.0)
STEPS = 8
MAX_STEP = 0.08
RING = 1
"""Pixels at the edge of both images that are not compared: where the other image goes on, as a border does,
they are a mixture, and would pull the scale."""
DIAGONAL = np.diag_indices(6)
DAMPING = np.array([1, 1, 1, 1, 1e-3, 1e-3])
START_SCALES = (1.0, 0.85, 1.18)
"""A copy that lost 8 % on each side is 1.18 times enlarged."""
MIN_FIT = 0.6
"""Correlation at the coarsest level below which finer levels are not tried."""
GOOD_FIT = 0.97
"""No other start is tried above it."""
SCALE_RANGE = (0.55, 1.8)
MAX_STRETCH = 1.12
"""Ratio of horizontal to vertical scale; a little, because sizes are rounded and copies may be squeezed. In
fractions for a copy of another shape that was squeezed, in pixels for one with a border on two sides."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a point of the first image lies in the second.

    Both in fractions of width and height: `x of b = scale_x * x of a + shift_x`.

    Attributes:
        fit: correlation of the pixels in the overlap, from -1 to 1, with the weights of the last step.
    """

    scale_x: float
    scale_y: float
    shift_x: float
    shift_y: float
    fit: float

    def overlap(self) -> tuple[tuple[float, float, float, float], tuple[float, float, float, float]]:
        """The common part as left, top, right, bottom, in fractions of the first and of the second image."""
        left, right = _common(self.scale_x, self.shift_x)
        top, bottom = _common(self.scale_y, self.shift_y)
        first = (left, top, right, bottom)
        second = (
            left * self.scale_x + self.shift_x,
            top * self.scale_y + self.shift_y,
            right * self.scale_x + self.shift_x,
            bottom * self.scale_y + self.shift_y,
        )
        return first, tuple(min(max(edge, 0.0), 1.0) for edge in second)  # type: ignore[return-value]


def align(a: list[Luma], b: list[Luma], starts: Iterable[Start]) -> Alignment | None:
    """The best alignment of two images; None: they have no common part that fits.

    Args:
        a, b: the images at each of `SIDES`, each with its own proportions.
        starts: where to begin, as scale and shift in fractions: scale_x, scale_y, shift_x, shift_y.
    """
    best: Alignment | None = None
    for start in starts:
        found = _refine(a[0], b[0], Alignment(*start, fit=-1.0))
        if found and (best is None or found.fit > best.fit):
            best = found
        if best and best.fit > GOOD_FIT:
            break
    if best is None or best.fit < MIN_FIT:
        return best
    return refine(a, b, best)


def refine(a: list[Luma], b: list[Luma], best: Alignment) -> Alignment:
    """A better alignment, near one that is about right."""
    for level in range(1, len(SIDES)):
        finer = _refine(a[level], b[level], best)
        if finer is None:
            return best
        best = finer
    return best


def starts(a: Edges, b: Edges) -> Iterator[Start]:
    """Where to begin: the whole images on each other, enlarged around the centre, then the contents.

    Args:
        a, b: the contents inside a border of one colour, in fractions.
    """
    for scale in START_SCALES:
        yield scale, scale, (1 - scale) / 2, (1 - scale) / 2
    if a != WHOLE or b != WHOLE:
        scale_x, scale_y = (b[2] - b[0]) / (a[2] - a[0]), (b[3] - b[1]) / (a[3] - a[1])
        yield scale_x, scale_y, b[0] - scale_x * a[0], b[1] - scale_y * a[1]


def _is_small(stretch: float) -> bool:
    return 1 / MAX_STRETCH < stretch < MAX_STRETCH


def _common(scale: float, shift: float) -> tuple[float, float]:
    return max(0.0, -shift / scale), min(1.0, (1 - shift) / scale)


def _refine(a: Luma, b: Luma, start: Alignment) -> Alignment | None:
    """Gauss–Newton from `start`. None: it left the range."""
    (ha, wa), (hb, wb) = a.shape, b.shape
    xs = (np.arange(wa, dtype=np.float32) + 0.5) / wa
    ys = (np.arange(ha, dtype=np.float32) + 0.5) / ha
    p = np.array([start.scale_x, start.scale_y, start.shift_x, start.shift_y])
    fit = -1.0
    for _ in range(STEPS):
        scale_x, scale_y, shift_x, shift_y = p.tolist()
        columns, x0, fx = _within(scale_x * xs + shift_x, wb)
        rows, y0, fy = _within(scale_y * ys + shift_y, hb)
        if len(x0) < len(xs) * 0.4 or len(y0) < len(ys) * 0.4:
            return None
        value, dx, dy = _sampled(b, x0, fx, y0, fy)
        own = a[rows, columns]
        step, fit = _step(own, value, dx * wb, dy * hb, xs[columns], ys[rows])
        p = p + step
        low, high = SCALE_RANGE
        stretches = p[0] / p[1], p[0] * wb * ha / (p[1] * hb * wa)
        if not (low < p[0] < high and low < p[1] < high) or not any(map(_is_small, stretches)):
            return None
        if np.abs(step).max() * max(wa, ha) < 0.03:
            break
    scale_x, scale_y, shift_x, shift_y = p.tolist()
    return Alignment(scale_x, scale_y, shift_x, shift_y, fit)


def _step(own: Floats, value: Floats, gx: Floats, gy: Floats, xs: Floats, ys: Floats) -> tuple[Floats, float]:
    """The change of scale_x, scale_y, shift_x, shift_y that lowers the error most, and the fit before it."""
    gain, offset, weights = _tone(own, value)
    error = value - gain * own - offset
    fit = _correlation(own, value, weights)
    design = np.empty((6, *own.shape), np.float32)
    np.multiply(gx, xs, out=design[0])
    np.multiply(gy, ys[:, None], out=design[1])
    design[2], design[3] = gx, gy
    np.negative(own, out=design[4])
    design[5] = -1
    weighted = (design * weights).reshape(6, -1)
    normal = (weighted @ design.reshape(6, -1).T).astype(np.float64)
    normal[DIAGONAL] += 1e-6 * normal[DIAGONAL].sum() / 6 * DAMPING
    step = np.linalg.solve(normal, -(weighted @ error.ravel()))[:4]
    return np.clip(step, -MAX_STEP, MAX_STEP), fit


def _within(places: Floats, length: int) -> tuple[slice, NDArray[np.int64], Floats]:
    """Which of the ascending places (fractions) lie inside, their pixel, and the rest."""
    pixels = places * length - 0.5
    first, last = np.searchsorted(pixels, (RING, length - 1.001 - RING)).tolist()
    first, last = max(first, RING), min(last, len(pixels) - RING)
    pixels = pixels[first:last]
    whole = pixels.astype(np.int64)
    return slice(first, last), whole, (pixels - whole).astype(np.float32)


def _sampled(
    image: Luma, x0: NDArray[np.int64], fx: Floats, y0: NDArray[np.int64], fy: Floats
) -> tuple[Floats, ...]:
    """Values and derivatives (per pixel) at a grid, bilinear."""
    upper = image[y0]
    down: Floats = image[y0 + 1] - upper
    across = upper + down * fy[:, None]
    left = across.take(x0, axis=1)
    dx = across.take(x0 + 1, axis=1) - left
    low: Floats = down.take(x0, axis=1)
    next_low: Floats = down.take(x0 + 1, axis=1)
    dy: Floats = low + (next_low - low) * fx
    return left + dx * fx, dx, dy


def _tone(own: Floats, value: Floats) -> tuple[float, float, Floats]:
    """Gain and offset from `own` to `value`, and a weight for each pixel."""
    weights = np.ones_like(own)
    gain, offset = 1.0, 0.0
    for _ in range(2):
        total = float(weights.sum())
        mean_own, mean = float(np.vdot(weights, own)) / total, float(np.vdot(weights, value)) / total
        centred = weights * (own - mean_own)
        variance = float(np.vdot(centred, own - mean_own))
        gain = float(np.vdot(centred, value - mean)) / (variance + total)
        gain = min(max(gain, 0.4), 2.5)
        offset = mean - gain * mean_own
        error = value - gain * own - offset
        some = np.abs(error.ravel()[::5])
        middle = len(some) // 2
        spread = max(4.0, 1.5 * float(np.partition(some, middle)[middle]))
        weights = 1 / np.square(1 + np.square(error / (2 * spread)))
    return gain, offset, weights


def _correlation(own: Floats, value: Floats, weights: Floats) -> float:
    total = float(weights.sum())
    left = own - float(np.vdot(weights, own)) / total
    right = value - float(np.vdot(weights, value)) / total
    weighted = weights * left
    both = float(np.vdot(weighted, right))
    lengths = np.sqrt(float(np.vdot(weighted, left)) * float(np.vdot(weights * right, right)))
    return float(both / (lengths + total))
