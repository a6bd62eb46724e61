"""Split images into training and validation sets.

Validating on a training image would leak, and so would a copy of it or another view of the same product. So
images are first joined into groups, and each group is on one side as a whole. A hash of the seed and the
group's name chooses the side (not a shuffle), so adding an image moves no group of another class.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.images import HASH_BYTES
from lookalike.images.connected_components import Union
from lookalike.images.copies import MAX_DISTANCE, close_pairs
from lookalike.text import counted, listed
from lookalike.training.sources.dataset import Example, SplitPart


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of the examples on each side, ascending; together all of them, none twice.

    `notes` says, for users, what was grouped and which rules could not be kept.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    notes: tuple[str, ...] = ()


def split(
    examples: Sequence[Example], hashes: NDArray[np.uint8], *, fraction: float = 0.1, seed: int = 0
) -> Split:
    """Hold back about `fraction` of every class for validation, without leakage.

    Images whose hashes differ in at most 31 bits are copies, and stay on one side, including copies of
    copies; so do the images of one product. If this joins all images of a class into one group, the class is
    divided by image (copies still together), because it could not be validated otherwise; a note says so. A
    class with two or more own groups has at least one on each side. Sides set in the user's metadata
    override all of this. If the metadata holds any image back, images without a side are trained on, unless
    they are in a group with one that is held back.

    Args:
        examples: of two classes or more.
        hashes: (n, 32) uint8, perceptual hashes (PDQ) in the order of `examples`; a row of zeros is an image
            too plain to have a hash; it is grouped with no other.
        fraction: to be held back, more than 0 and at most 0.5.
        seed: another seed draws another split.

    Raises:
        InvalidInput: an argument is out of range, or a side would be empty.
    """
    if not 0 < fraction <= 0.5:
        raise InvalidInput("the fraction held back is out of range", got=fraction, expected="0 < f ≤ 0.5")
    if hashes.shape != (len(examples), HASH_BYTES) or hashes.dtype != np.uint8:
        raise InvalidInput(
            "the hashes do not fit the images",
            got=f"{hashes.dtype} {hashes.shape}",
            expected=f"uint8 ({len(examples)}, {HASH_BYTES})",
        )
    notes: list[str] = []
    groups = _groups(examples, hashes, notes)
    draw = _Draw(examples, groups)
    given = _follow_user(examples, groups, notes)
    draw.take(row for row, side in given.items() if side == "validation")
    if "validation" not in {example.split for example in examples}:
        for label in sorted(draw.sizes):
            draw.hold_back(label, fraction, seed, fixed=given)
    return _checked(examples, draw, notes)


def _groups(
    examples: Sequence[Example], hashes: NDArray[np.uint8], notes: list[str]
) -> list[tuple[int, ...]]:
    """Rows that belong together; every row is in one group."""
    copies = Union(len(examples))
    hashed = np.flatnonzero(hashes.any(axis=1))
    for left, right, _ in close_pairs(hashes[hashed], MAX_DISTANCE):
        copies.join(hashed[left].tolist(), hashed[right].tolist())
    products = defaultdict(list)
    for row, example in enumerate(examples):
        if example.product is not None:
            products[example.product].append(row)
    tied = Union(len(examples))
    tied.join(range(len(examples)), map(copies.find, range(len(examples))))
    for rows in products.values():
        tied.join([rows[0]] * len(rows), rows)
    whole = _classes_of_one_group(examples, tied, copies)
    if whole:
        notes.append(
            f"{counted(len(whole), 'class')} of one product each, or one chain of copies, divided by "
            f"image: {listed(whole)}"
        )
    found = defaultdict(list)
    for row, example in enumerate(examples):
        union = copies if example.label in whole else tied
        found[example.label in whole, union.find(row)].append(row)
    many = [rows for rows in found.values() if len(rows) > 1]
    if many:
        notes.append(
            f"{sum(map(len, many)):,} images are copies, or of one product with others: "
            f"{counted(len(many), 'group')} kept together"
        )
    return [tuple(rows) for rows in found.values()]


def _classes_of_one_group(examples: Sequence[Example], tied: Union, copies: Union) -> list[str]:
    """Classes whose images form one group with no other class in it, but several groups without products."""
    roots, labels = defaultdict(set), defaultdict(set)
    alone = defaultdict(set)
    for row, example in enumerate(examples):
        roots[example.label].add(tied.find(row))
        alone[example.label].add(copies.find(row))
        labels[tied.find(row)].add(example.label)
    return sorted(
        label
        for label, found in roots.items()
        if len(found) == 1 and len(labels[next(iter(found))]) == 1 and len(alone[label]) > 1
    )


def _follow_user(
    examples: Sequence[Example], groups: Iterable[tuple[int, ...]], notes: list[str]
) -> dict[int, SplitPart]:
    """The side of every row that the user set, directly or through its group."""
    sides: dict[int, SplitPart] = {}
    torn = 0
    for rows in groups:
        given = {row: side for row in rows if (side := examples[row].split)}
        torn += len(set(given.values())) > 1
        if given:
            # Of copies on both sides, those without a side in the metadata are trained on, not validated on.
            rest: SplitPart = "train" if "train" in given.values() else "validation"
            sides |= dict.fromkeys(rows, rest) | given
    if torn:
        notes.append(
            f"{counted(torn, 'group')} of copies or of one product on both sides, as set in metadata"
        )
    return sides


@dataclass(slots=True)
class _Draw:
    """Rows held back so far, and how many images of each class are left to train on."""

    examples: Sequence[Example]
    groups: Sequence[tuple[int, ...]]
    sizes: Counter[str] = field(init=False)
    left: Counter[str] = field(init=False)
    held: set[int] = field(default_factory=set)
    homes: dict[str, list[tuple[int, ...]]] = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = Counter(example.label for example in self.examples)
        self.left = self.sizes.copy()
        self.homes = defaultdict(list)
        for rows in self.groups:
            counts = Counter(self.examples[row].label for row in rows)
            # A group of several classes is drawn with the class that has most of its images.
            self.homes[min(counts, key=lambda label: (-counts[label], label))].append(rows)

    def take(self, rows: Iterable[int]) -> None:
        """Hold these rows back."""
        for row in rows:
            self.held.add(row)
            self.left[self.examples[row].label] -= 1

    def hold_back(self, label: str, fraction: float, seed: int, *, fixed: dict[int, SplitPart]) -> None:
        """Draw groups of one class until about `fraction` of its images is held back."""
        wanted = max(1, round(fraction * self.sizes[label]))
        free = [rows for rows in self.homes[label] if not any(row in fixed for row in rows)]
        order = sorted(free, key=lambda rows: self._lot(rows, seed))
        taken = self.sizes[label] - self.left[label]
        for rows in order:
            own = self._own(rows, label)
            # A group is not taken if that would miss the wanted number by more than leaving it.
            if abs(taken + own - wanted) <= abs(taken - wanted) and self._can_spare(rows):
                self.take(rows)
                taken += own
        if not taken:
            smallest = sorted(order, key=lambda rows: self._own(rows, label))
            self.take(next((rows for rows in smallest if self._can_spare(rows)), ()))

    def _own(self, rows: tuple[int, ...], label: str) -> int:
        return sum(self.examples[row].label == label for row in rows)

    def _can_spare(self, rows: tuple[int, ...]) -> bool:
        """Whether every class of a group keeps training images without it."""
        counts = Counter(self.examples[row].label for row in rows)
        return all(self.left[label] > count for label, count in counts.items())

    def _lot(self, rows: tuple[int, ...], seed: int) -> bytes:
        name = min(self.examples[row].id for row in rows)
        return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()


def _checked(examples: Sequence[Example], draw: _Draw, notes: list[str]) -> Split:
    unjudged = sorted(label for label, left in draw.left.items() if left == draw.sizes[label])
    unlearnt = sorted(label for label, left in draw.left.items() if not left)
    if unjudged:
        notes.append(f"no image held back of {counted(len(unjudged), 'class')}: {listed(unjudged)}")
    if unlearnt:
        notes.append(
            f"{counted(len(unlearnt), 'class')} held back completely, as set in metadata: {listed(unlearnt)}"
        )
    if len(draw.sizes) - len(unlearnt) < 2:
        raise InvalidInput(
            "too few classes are left to train on",
            got=f"{len(draw.sizes) - len(unlearnt)} of {len(draw.sizes)}",
            expected="two or more with images on the side `train`",
            fix="Check the column `split` of the metadata.",
        )
    if not draw.held:
        raise InvalidInput(
            "no image can be held back to validate the training",
            got="every class is one group of copies, or the metadata puts all on the side `train`",
            expected="at least one class with two different images",
            fix="Add other images, or check the columns `split` and `product_id`.",
        )
    rows = range(len(examples))
    return Split(tuple(row for row in rows if row not in draw.held), tuple(sorted(draw.held)), tuple(notes))
