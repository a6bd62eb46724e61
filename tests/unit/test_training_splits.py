"""Splits: whatever the pictures, nothing leaks, and what was promised of each class holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike.errors import InvalidInput
from lookalike.training.sources.dataset import Example, SplitPart
from lookalike.training.sources.splits import Split, split

BITS = 256
FAMILIES = np.random.default_rng(7).integers(0, 2, (40, BITS), dtype=np.uint8)
Hashes = NDArray[np.uint8]


def picture(number: int, label: str, product: str | None = None, side: SplitPart | None = None) -> Example:
    return Example(f"{label}/{number:03}.jpg", Path("none.jpg"), label, product, side)


def hash_of(family: int | None, flips: Sequence[int] = ()) -> Hashes:
    """A member of a family of hashes, 127 bits or so from any other; None: a picture too plain for one."""
    if family is None:
        return np.zeros(BITS // 8, np.uint8)
    bits = FAMILIES[family].copy()
    bits[list(flips)] ^= 1
    return np.packbits(bits)


def own_hashes(count: int) -> Hashes:
    return np.random.default_rng(1).integers(0, 256, (count, BITS // 8), dtype=np.uint8)


def ids(examples: Sequence[Example], rows: Sequence[int]) -> set[str]:
    return {examples[row].id for row in rows}


flips = st.lists(st.integers(0, BITS - 1), unique=True, max_size=25)
families = st.none() | st.integers(0, len(FAMILIES) - 1)


@st.composite
def pictures(draw: st.DrawFn, *, shared: bool = True) -> tuple[list[Example], Hashes]:
    """Classes with copies and products; if `shared`, those of two classes may belong together."""
    examples, hashes = [], []
    for label in "abcd"[: draw(st.integers(2, 4))]:
        for number in range(draw(st.integers(2, 12))):
            product = draw(st.none() | st.integers(0, 5))
            scope = "" if shared else label
            name = None if product is None else f"{scope}{product}"
            examples.append(picture(number, label, name))
            family = draw(families)
            if not shared and family is not None:
                family = family // 4 * 4 + "abcd".index(label)
            hashes.append(hash_of(family, draw(flips)))
    return examples, np.stack(hashes)


def attempt(examples: Sequence[Example], hashes: Hashes, seed: int = 0) -> Split | None:
    """The split; None if everything is of one piece, which is refused."""
    try:
        return split(examples, hashes, fraction=0.2, seed=seed)
    except InvalidInput as error:
        if "no image can be held back" not in error.problem:
            raise
        return None


def near(hashes: Hashes, one: int, other: int) -> bool:
    if not (hashes[one].any() and hashes[other].any()):
        return False
    return int(np.bitwise_count(hashes[one] ^ hashes[other]).sum()) <= 31


def pieces(examples: Sequence[Example], hashes: Hashes) -> list[set[int]]:
    """What belongs together, by looking at all pairs until nothing changes."""
    links: dict[int, set[int]] = defaultdict(set)
    for one, other in combinations(range(len(examples)), 2):
        product = examples[one].product
        if near(hashes, one, other) or (product is not None and product == examples[other].product):
            links[one].add(other)
            links[other].add(one)
    left, found = set(range(len(examples))), []
    while left:
        piece, edge = set(), {left.pop()}
        while edge:
            piece |= edge
            edge = {row for member in edge for row in links[member]} - piece
        left -= piece
        found.append(piece)
    return found


@given(pictures(), st.integers(0, 3))
def test_no_copy_and_no_product_stands_on_both_sides(made: tuple[list[Example], Hashes], seed: int) -> None:
    examples, hashes = made
    done = attempt(examples, hashes, seed)
    if done is None:
        return
    assert sorted(done.train + done.validation) == list(range(len(examples)))
    held = set(done.validation)
    rows = range(len(examples))
    assert not [pair for pair in combinations(rows, 2) if near(hashes, *pair) and len(held & set(pair)) == 1]
    for piece in pieces(examples, hashes):
        labels = {examples[row].label for row in piece}
        whole_class = len(labels) == 1 and len(piece) == sum(e.label in labels for e in examples)
        assert whole_class or not piece & held or piece <= held


@given(pictures(), st.integers(0, 3))
def test_every_class_keeps_something_to_learn_from(made: tuple[list[Example], Hashes], seed: int) -> None:
    examples, hashes = made
    done = attempt(examples, hashes, seed)
    if done is not None:
        assert {examples[row].label for row in done.train} == {example.label for example in examples}


@given(pictures(shared=False))
def test_a_class_of_two_pieces_is_judged(made: tuple[list[Example], Hashes]) -> None:
    examples, hashes = made
    count: dict[str, int] = defaultdict(int)
    for piece in pieces(examples, hashes):
        count[examples[min(piece)].label] += 1
    done = attempt(examples, hashes)
    judged = {examples[row].label for row in done.validation} if done else set()
    assert {label for label, number in count.items() if number > 1} <= judged


@given(pictures(), st.randoms(use_true_random=False))
def test_the_same_seed_draws_the_same_in_any_order(made: tuple[list[Example], Hashes], chance) -> None:  # type: ignore[no-untyped-def]
    examples, hashes = made
    order = list(range(len(examples)))
    chance.shuffle(order)
    mixed = [examples[row] for row in order]
    one, other = attempt(examples, hashes, 5), attempt(mixed, hashes[order], 5)
    assert (one is None) == (other is None)
    if one and other:
        assert ids(examples, one.validation) == ids(mixed, other.validation)


@given(pictures(shared=False), st.integers(0, 3), st.integers(-5, 900))
def test_a_new_picture_moves_none_of_another_class(
    made: tuple[list[Example], Hashes], seed: int, number: int
) -> None:
    examples, hashes = made
    new = Example(f"a/new {number}.jpg", Path("none.jpg"), "a")
    more, with_new = [new, *examples], np.concatenate([hash_of(None)[np.newaxis], hashes])
    before, after = attempt(examples, hashes, seed), attempt(more, with_new, seed)
    if before and after:
        sides = [
            {id_ for id_ in ids(known, done.validation) if not id_.startswith("a/")}
            for known, done in ((examples, before), (more, after))
        ]
        assert sides[0] == sides[1]


def test_about_the_fraction_of_every_class_is_held_back() -> None:
    examples = [picture(n, label) for label, size in (("a", 100), ("b", 40), ("c", 10)) for n in range(size)]
    done = split(examples, own_hashes(150))
    assert [sum(examples[row].label == label for row in done.validation) for label in "abc"] == [10, 4, 1]
    assert done.notes == ()


def test_another_seed_draws_another_split() -> None:
    examples = [picture(n, label) for label in "ab" for n in range(50)]
    splits = {split(examples, own_hashes(100), seed=seed).validation for seed in range(4)}
    assert len(splits) == 4


def test_copies_are_tied_by_what_their_hashes_share_at_31_bits_and_not_at_32() -> None:
    examples = [picture(n, label) for label in "ab" for n in range(2)]
    for bits, tied in ((31, True), (32, False)):
        hashes = np.stack([hash_of(0), hash_of(0, range(bits)), hash_of(1), hash_of(2)])
        done = split(examples, hashes)
        judged = {examples[row].label for row in done.validation}
        assert ("a" not in judged) == tied
        assert any("no image held back of 1 class: a" in note for note in done.notes) == tied


def test_a_class_that_is_one_product_is_divided_by_picture_and_it_is_said() -> None:
    examples = [picture(n, "a", "only") for n in range(10)] + [picture(n, "b", f"{n}") for n in range(10)]
    done = split(examples, own_hashes(20))
    assert sum(row < 10 for row in done.validation) == 1
    assert done.notes == ("1 class of one product each, or one chain of copies, divided by image: a",)


def test_plain_pictures_are_no_copies_of_each_other() -> None:
    examples = [picture(n, label) for label in "ab" for n in range(10)]
    assert len(split(examples, np.zeros((20, 32), np.uint8)).validation) == 2


def test_sides_that_the_user_gives_win() -> None:
    held = {1, 5, 12}
    examples = [
        picture(n, "ab"[n >= 10], side="validation" if n in held else ("train", None)[n % 2])
        for n in range(20)
    ]
    assert split(examples, own_hashes(20)).validation == (1, 5, 12)


def test_a_picture_that_nobody_placed_stays_with_its_copy() -> None:
    examples = [picture(n, "ab"[n >= 10], side="validation" if n in {1, 12} else None) for n in range(20)]
    hashes = own_hashes(20)
    hashes[2] = hashes[1]
    assert split(examples, hashes).validation == (1, 2, 12)


def test_copies_that_the_user_parts_are_parted_and_it_is_said() -> None:
    sides: list[SplitPart] = ["validation", "train", "train", "train", "train", "validation"]
    examples = [picture(n, "ab"[n >= 3], side=side) for n, side in enumerate(sides)]
    hashes = own_hashes(6)
    hashes[1] = hashes[0]
    done = split(examples, hashes)
    assert done.validation == (0, 5)
    assert any("1 group of copies or of one product on both sides" in note for note in done.notes)


def test_only_those_marked_for_learning_are_kept_from_the_draw() -> None:
    examples = [picture(n, "ab"[n >= 10], side="train" if n % 10 < 8 else None) for n in range(20)]
    done = split(examples, own_hashes(20), fraction=0.5)
    assert set(done.validation) == {8, 9, 18, 19}


def test_classes_may_be_held_back_whole() -> None:
    examples = [picture(n, "abc"[n // 4], side="validation" if n >= 8 else "train") for n in range(12)]
    done = split(examples, own_hashes(12))
    assert done.validation == (8, 9, 10, 11)
    assert any("1 class held back completely" in note for note in done.notes)


def test_what_cannot_be_divided_is_refused() -> None:
    examples = [picture(n, "ab"[n >= 2]) for n in range(4)]
    copies = np.repeat(own_hashes(2), 2, axis=0)
    with pytest.raises(InvalidInput, match="no image can be held back"):
        split(examples, copies)
    all_held = [picture(n, "ab"[n >= 2], side="validation" if n >= 2 else "train") for n in range(4)]
    with pytest.raises(InvalidInput, match="too few classes are left to train on"):
        split(all_held, own_hashes(4))
    with pytest.raises(InvalidInput, match="got uint8 \\(3, 32\\)"):
        split(examples, own_hashes(3))
    with pytest.raises(InvalidInput, match="fraction"):
        split(examples, own_hashes(4), fraction=0.6)
