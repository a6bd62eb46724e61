"""Why a pair is taken for one product, in words: what agrees, and what contradicts it."""

from __future__ import annotations

from lookalike.matching.listing import Listing
from lookalike.words import codes, numbers

SIMILAR_TITLES, DIFFERENT_TITLES = 0.5, 0.2
"""Cosine of the words of two titles."""
NEAR_PRICES, FAR_PRICES = 1.1, 1.5
"""Ratio of two prices."""
SIMILAR_IMAGES, DIFFERENT_IMAGES = 0.6, 0.3
SHOWN = 3


def reasons(
    left: Listing, right: Listing, pair: tuple[int, int], titles: float, image: float | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What agrees and what contradicts.

    Args:
        left, right: the listings.
        pair: rows of both.
        titles: cosine of the words of both titles.
        image: cosine of both images; None: one has none.
    """
    agree, contradict = [], []
    one, other = pair
    if titles >= SIMILAR_TITLES:
        agree.append(f"title {titles:.2f}")
    elif titles < DIFFERENT_TITLES:
        contradict.append(f"title {titles:.2f}")
    for values, word in ((_codes, "code"), (_numbers, "number")):
        a, b = values(left, one), values(right, other)
        shared = sorted(a & b)
        if word == "number" and any(text.startswith("code") for text in (*agree, *contradict)):
            continue  # codes are made of numbers
        if shared:
            agree.append(f"{word} {', '.join(shared[:SHOWN])}")
        elif a and b and (word == "number" or not any(x in y or y in x for x in a for y in b)):
            contradict.append(f"{word} {min(a)} / {min(b)}")
    a_price, b_price = float(left.prices[one]), float(right.prices[other])
    if a_price > 0 and b_price > 0:
        ratio = max(a_price, b_price) / min(a_price, b_price)
        if ratio <= NEAR_PRICES or ratio >= FAR_PRICES:
            (agree if ratio <= NEAR_PRICES else contradict).append(f"price {a_price:g} / {b_price:g}")
    if image is not None and (image >= SIMILAR_IMAGES or image < DIFFERENT_IMAGES):
        (agree if image >= SIMILAR_IMAGES else contradict).append(f"image {image:.2f}")
    return tuple(agree), tuple(contradict)


def _codes(listing: Listing, row: int) -> frozenset[str]:
    return codes(f"{listing.titles[row]} {listing.descriptions[row]}")


def _numbers(listing: Listing, row: int) -> frozenset[str]:
    return numbers(listing.titles[row])
