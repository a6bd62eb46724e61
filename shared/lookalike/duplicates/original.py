"""Which of several equal images to keep: the unedited one, the largest, the least compressed, the oldest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lookalike.types import Item

PIXEL_TOLERANCE = 0.95
"""Share of the most pixels from which an image counts as equally large."""
QUANTISATION_TOLERANCE = 1.2
"""Ratio of quantisation steps up to which two JPEGs count as equally compressed."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What a comparison with other images says about one image.

    Attributes:
        edits: what was done to it: `a border`, `a label`, `a caption`, `cropped`, `clipped tones`.
        camera: its file names the camera that took the photo.
        quantisation: mean step of its JPEG quantisation table; 0: not a JPEG.
    """

    edits: frozenset[str] = frozenset()
    camera: bool = False
    quantisation: float = 0.0

    def joined(self, other: Traces) -> Traces:
        """With what another comparison says."""
        return Traces(self.edits | other.edits, self.camera or other.camera, self.quantisation)


def choose(items: Mapping[int, Item], traces: Mapping[int, Traces]) -> tuple[list[int], tuple[str, ...]]:
    """Rows in the order of their worth, the one to keep first, and why it is the one.

    Each rule leaves those that are best by it; the next one decides between them. A rule that leaves all of
    them is no reason.
    """
    left = list(items)
    reasons: list[str] = []
    none = Traces()

    def keep(best: Sequence[int], reason: str) -> None:
        nonlocal left
        if 0 < len(best) < len(left):
            left = list(best)
            reasons.append(reason)

    def of(row: int) -> Traces:
        return traces.get(row, none)

    keep([row for row in left if not of(row).edits], "unedited")
    most = max(_pixels(items[row]) for row in left)
    keep([row for row in left if _pixels(items[row]) >= PIXEL_TOLERANCE * most], "most pixels")
    keep([row for row in left if of(row).camera], "straight from the camera")
    steps = [of(row).quantisation for row in left]
    if min(steps) > 0:
        finest = QUANTISATION_TOLERANCE * min(steps)
        keep([row for row in left if of(row).quantisation <= finest], "least compressed")
    _keep_first(left, lambda row: items[row].ingested_at or "", "added first", keep)
    _keep_first(left, lambda row: items[row].id, "first by name", keep)
    rest = by_size_and_age({row: item for row, item in items.items() if row != left[0]})
    return [left[0], *rest], tuple(reasons)


def by_size_and_age(items: Mapping[int, Item]) -> list[int]:
    """Rows with the most pixels first, of equal ones the oldest."""
    return sorted(items, key=lambda row: (-_pixels(items[row]), items[row].ingested_at or "", items[row].id))


def _keep_first(
    left: list[int], value: Callable[[int], str], reason: str, keep: Callable[[Sequence[int], str], None]
) -> None:
    first = min(value(row) for row in left)
    keep([row for row in left if value(row) == first], reason)


def _pixels(item: Item) -> int:
    return item.width * item.height
