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
START_SCALES = (1.0, 0.85, 1.18)
"""A copy that lost 8 % on each side is 1.18 times enlarged."""
MIN_FIT = 0.6
"""Correlation at the coarsest level below which finer levels are not tried."""
GOOD_FIT = 0.97
"""No other start is tried above it."""
SCALE_RANGE = (0.55, 1.8)
MAX_STRETCH = 1.12
"""Ratio of horizontal to vertical scale; a little, because sizes are rounded and copies may be squeezed."""


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
        xb, yb = (float(p[0]) * xs + float(p[2])) * wb - 0.5, (float(p[1]) * ys + float(p[3])) * hb - 0.5
        cols = np.flatnonzero((xb >= 0) & (xb <= wb - 1.001))
        rows = np.flatnonzero((yb >= 0) & (yb <= hb - 1.001))
        if len(cols) < wa * 0.4 or len(rows) < ha * 0.4:
            return None
        value, dx, dy = _sampled(b, xb[cols], yb[rows])
        own = a[np.ix_(rows, cols)].astype(np.float32)
        gain, offset, weights = _tone(own, value)
        error = value - gain * own - offset
        fit = _correlation(own, value, weights)
        gx, gy = dx * wb, dy * hb
        design = np.stack(
            [
                part.ravel()
                for part in (gx * xs[cols], gy * ys[rows][:, None], gx, gy, -own, -np.ones_like(own))
            ]
        )
        weighted = design * weights.ravel()
        normal = weighted @ design.T
        normal[np.diag_indices(6)] += 1e-6 * np.trace(normal) / 6 * np.array([1, 1, 1, 1, 1e-3, 1e-3])
        step = np.linalg.solve(normal, -(weighted @ error.ravel()))[:4]
        step = np.clip(step, -0.08, 0.08)
        p = p + step
        low, high = SCALE_RANGE
        if not (low < p[0] < high and low < p[1] < high) or not 1 / MAX_STRETCH < p[0] / p[1] < MAX_STRETCH:
            return None
        if np.abs(step).max() * max(wa, ha) < 0.03:
            break
    scale_x, scale_y, shift_x, shift_y = p.tolist()
    return Alignment(scale_x, scale_y, shift_x, shift_y, fit)


def _sampled(image: Luma, xs: Floats, ys: Floats) -> tuple[Floats, ...]:
    """Values and derivatives (per pixel) at the grid of `xs` and `ys`, bilinear."""
    x0, y0 = xs.astype(np.int64), ys.astype(np.int64)
    fx, fy = xs - x0, (ys - y0)[:, None]
    upper, lower = image[y0].astype(np.float32), image[y0 + 1].astype(np.float32)
    across = upper * (1 - fy) + lower * fy
    value = across[:, x0] * (1 - fx) + across[:, x0 + 1] * fx
    dx = across[:, x0 + 1] - across[:, x0]
    down = lower - upper
    dy = down[:, x0] * (1 - fx) + down[:, x0 + 1] * fx
    return value, dx, dy


def _tone(own: Floats, value: Floats) -> tuple[float, float, Floats]:
    """Gain and offset from `own` to `value`, and a weight for each pixel."""
    weights = np.ones_like(own)
    gain, offset = 1.0, 0.0
    for _ in range(2):
        total = weights.sum()
        mean_own, mean = (weights * own).sum() / total, (weights * value).sum() / total
        variance = (weights * (own - mean_own) ** 2).sum()
        gain = float((weights * (own - mean_own) * (value - mean)).sum() / (variance + total))
        gain = min(max(gain, 0.4), 2.5)
        offset = float(mean - gain * mean_own)
        error = value - gain * own - offset
        spread = max(4.0, 1.5 * float(np.median(np.abs(error.ravel()[::5]))))
        weights = (1 / (1 + (error / (2 * spread)) ** 2) ** 2).astype(np.float32)
    return gain, offset, weights


def _correlation(own: Floats, value: Floats, weights: Floats) -> float:
    total = weights.sum()
    left = own - (weights * own).sum() / total
    right = value - (weights * value).sum() / total
    both = (weights * left * right).sum()
    lengths = np.sqrt((weights * left**2).sum() * (weights * right**2).sum())
    return float(both / (lengths + total))
