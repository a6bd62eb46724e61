"""The change of tone between two aligned images: brighter, darker, more or less contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

DARK, BRIGHT = 3.0, 252.0
"""Levels beyond which a value may have been clipped."""
UNCLIPPED = 240.0
BLACK = 24.0
EVEN = 4.0
"""Difference of neighboring pixels up to which an area is even."""
OTHER_COLOUR = 16.0
STEP = 3
"""Every third row and column is enough for a fit."""
GAINS = (0.5, 2.0)
MIN_SHARE = 0.02
SIMPLER = 1.15
"""A model with more freedom must lower the error by this factor."""


@dataclass(frozen=True, slots=True)
class Tone:
    """`b = gain * a + offset`, one for all three channels: so a change of hue is no change of tone."""

    gain: float = 1.0
    offset: float = 0.0

    @property
    def is_none(self) -> bool:
        """Whether it changes nothing."""
        return self.gain == 1 and self.offset == 0

    def matched(self, a: Pixels, b: Pixels) -> tuple[Pixels, Pixels]:
        """Both images in the tone of the brighter one: clipped tones of that one cannot be brought back.

        Args:
            a, b: (height, width, 3) uint8, before any filter: clipping does not commute with one.
        """
        if self.is_none:
            return a, b
        if self.gain >= 1:
            return self._apply(a, b), b
        return a, self.inverse()._apply(b, a)

    def inverse(self) -> Tone:
        """The change from the second image to the first."""
        return Tone(1 / self.gain, -self.offset / self.gain)

    def table(self) -> Pixels:
        """The new level of each level: (256,)."""
        levels = np.arange(256, dtype=np.float32)
        table: Pixels = np.clip(np.rint(self.gain * levels + self.offset), 0, 255).astype(np.uint8)
        return table

    def _apply(self, a: Pixels, b: Pixels) -> Pixels:
        """`a` with the tone of `b`. Where `a` was clipped, any value of `b` beyond it is right."""
        matched: Pixels = self.table()[a]
        np.maximum(matched, b, out=matched, where=a > BRIGHT)
        np.minimum(matched, b, out=matched, where=a < DARK)
        return matched


def fit_tone(a: Floats, b: Floats) -> Tone:
    """The simplest change that explains most pixels: none, brightness, or contrast (around a level)."""
    x, y = (pixels[:, ::STEP, ::STEP].reshape(-1) for pixels in (a, b))
    valid = (x > DARK) & (x < BRIGHT) & (y > DARK) & (y < BRIGHT)
    if valid.mean() < MIN_SHARE:
        return Tone()
    x, y = x[valid], y[valid]
    best, least = Tone(), _error(x, y, Tone())
    for tone in (_brightness(x, y), _contrast(x, y)):
        error = _error(x, y, tone)
        if error * SIMPLER < least:
            best, least = tone, error
    return best


def shades(a: Floats, b: Floats) -> float:
    """Whether several colours took part in a change of tone, or one only, whose other shade proves nothing.

    The share of the even area, neither clipped nor black, whose colour is not that of most of it.

    Args:
        a, b: (3, height, width), 0 to 255.
    """
    told = np.any((np.maximum(a, b) < UNCLIPPED) & (np.minimum(a, b) > BLACK), axis=0)
    uneven = np.abs(np.diff(a, axis=1)).max(axis=0)[:, :-1], np.abs(np.diff(a, axis=2)).max(axis=0)[:-1]
    even = (np.maximum(*uneven) < EVEN) & told[:-1, :-1]
    if even.mean() < MIN_SHARE:
        return 0.0
    colours = a[:, :-1, :-1][:, even]
    middle = np.array([_median(channel) for channel in colours], np.float32)
    return float((np.abs(colours - middle[:, None]).max(axis=0) > OTHER_COLOUR).mean())


def _error(x: Floats, y: Floats, tone: Tone) -> float:
    """Mean absolute error, without the worst tenth, and never below a level of noise."""
    errors = np.abs(y - (tone.gain * x + tone.offset))
    count = max(1, int(0.9 * len(errors)))
    return 1.0 + float(np.partition(errors, count - 1)[:count].mean())


def _brightness(x: Floats, y: Floats) -> Tone:
    gain = _median(y / x)
    for _ in range(3):
        # What would be clipped says nothing: noise brings some of it below the level where clipping shows.
        free = np.maximum(gain * x, x / gain) < UNCLIPPED
        if free.mean() < MIN_SHARE:
            break
        x, y = x[free], y[free]
        weights = _weights((y - gain * x).astype(np.float32))
        gain = float((weights * x * y).sum() / (weights * x * x).sum())
    return Tone(_limited(gain))


def _contrast(x: Floats, y: Floats) -> Tone:
    """Around a level between black and white; else no change."""
    gain, offset = 1.0, _median(y - x)
    for _ in range(4):
        weights = _weights((y - gain * x - offset).astype(np.float32))
        total = weights.sum()
        mx, my = (weights * x).sum() / total, (weights * y).sum() / total
        variance = (weights * (x - mx) ** 2).sum()
        if variance < 100 * total:
            return Tone()
        gain = float((weights * (x - mx) * (y - my)).sum() / variance)
        offset = float(my - gain * mx)
    pivot = offset / (1 - gain) if abs(1 - gain) > 0.02 else 128.0
    if not 0 <= pivot <= 255 or gain != _limited(gain):
        return Tone()
    return Tone(gain, offset) if abs(1 - gain) > 0.02 else Tone()


def _weights(error: Floats) -> Floats:
    spread = max(3.0, 1.5 * _median(np.abs(error)))
    weights: Floats = 1 / np.square(1 + np.square(error / (2 * spread)))
    return weights


def _median(values: Floats) -> float:
    """`np.median` takes five times as long."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _limited(gain: float) -> float:
    return min(max(gain, GAINS[0]), GAINS[1])
