"""Altered copies of a listing, as another seller might describe the same products.

Without known pairs, a model learns from a listing and its altered copy: which row belongs to which is known.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lookalike.matching.listing import Listing

LEFT_OUT = 0.5
"""Share of products that the other seller does not have."""
DROPPED_WORD, MISSPELT_WORD, MOVED_WORD = 0.5, 0.04, 0.2
NO_DESCRIPTION, BORROWED_WORDS = 0.4, 0.3
NO_PRICE, PRICE_SPREAD = 0.3, 0.15
IMAGE_SIMILARITY = (0.45, 0.97)
"""Cosine of two sellers' photos of one product, from barely to nearly the same photo."""


def altered(listing: Listing, seed: int) -> tuple[Listing, np.ndarray]:
    """A copy with other words, prices and images, and the rows of `listing` that its products come from."""
    draw = np.random.default_rng(seed)
    rows = np.flatnonzero(draw.random(len(listing)) >= LEFT_OUT)
    rows = rows if len(rows) else np.arange(len(listing))
    copy = replace(
        listing,
        ids=tuple(listing.ids[row] for row in rows),
        titles=tuple(_reworded(listing.titles[row], listing.descriptions[row], draw) for row in rows),
        descriptions=tuple(
            "" if draw.random() < NO_DESCRIPTION else _reworded(listing.descriptions[row], "", draw)
            for row in rows
        ),
        brands=tuple(listing.brands[row] for row in rows),
        prices=_repriced(listing.prices[rows], draw),
        images=(),
        vectors=None if listing.vectors is None else _other_photos(listing.vectors[rows], draw),
    )
    return copy, rows


def _reworded(text: str, source: str, draw: np.random.Generator) -> str:
    """Words left out, misspelt and moved, and some borrowed from `source`."""
    words = text.split()
    kept = [_misspelt(word, draw) for word in words if draw.random() >= DROPPED_WORD] or words[:1]
    if source and draw.random() < BORROWED_WORDS:
        others = source.split()
        start = int(draw.integers(len(others)))
        kept += others[start : start + int(draw.integers(1, 6))]
    if len(kept) > 1 and draw.random() < MOVED_WORD:
        kept.insert(int(draw.integers(len(kept))), kept.pop(int(draw.integers(len(kept)))))
    return " ".join(kept)


def _misspelt(word: str, draw: np.random.Generator) -> str:
    if len(word) < 4 or draw.random() >= MISSPELT_WORD:
        return word
    place = int(draw.integers(len(word) - 1))
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _repriced(prices: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    changed = prices * np.exp(draw.normal(0, PRICE_SPREAD, len(prices)))
    return np.where(draw.random(len(prices)) < NO_PRICE, np.nan, changed)


def _other_photos(vectors: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Unit vectors whose cosine to the given ones is drawn from `IMAGE_SIMILARITY`."""
    noise = draw.normal(size=vectors.shape)
    noise -= (noise * vectors).sum(axis=1, keepdims=True) * vectors
    noise /= np.linalg.norm(noise, axis=1, keepdims=True) + 1e-12
    cosine = draw.uniform(*IMAGE_SIMILARITY, size=(len(vectors), 1))
    return np.asarray(cosine * vectors + np.sqrt(1 - cosine**2) * noise, np.float32)
