"""Duplicates: hashes against comparing all pairs, groups against the pairs they come from."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fixtures.pictures import draw_scene
from fixtures.shelf import Shelf, unit_vectors
from numpy.typing import NDArray
from PIL import Image

import lookalike.images.copies as hashes_module
from lookalike.catalogue import ItemRow
from lookalike.duplicates import find_duplicates
from lookalike.errors import InvalidInput
from lookalike.images import ImageLimits, decode, perceptual_hash
from lookalike.images.connected_components import Union
from lookalike.images.copies import close_pairs, hamming
from lookalike.settings import Settings
from lookalike.storage import Store

Hashes = NDArray[np.uint8]


def flipped(hash_: Hashes, bits: int, chance: np.random.Generator) -> Hashes:
    """`hash_` with so many other bits."""
    spread = np.unpackbits(hash_)
    spread[chance.choice(256, bits, replace=False)] ^= 1
    return np.packbits(spread)


def some_hashes(count: int, seed: int) -> Hashes:
    """Random hashes, a third of them near another one, a few equal to another one."""
    chance = np.random.default_rng(seed)
    hashes = chance.integers(0, 256, (count, 32), dtype=np.uint8)
    for row in range(0, count - 1, 3):
        hashes[row + 1] = flipped(hashes[row], int(chance.integers(0, 40)), chance)
    hashes[-5:] = hashes[0]
    return hashes


def groups_of(pairs: list[tuple[int, int]], count: int) -> list[list[int]]:
    union = Union(count)
    union.join([left for left, _ in pairs], [right for _, right in pairs])
    return [group.tolist() for group in union.groups()]


@pytest.mark.parametrize("limit", [0, 1, 15, 16, 31])
def test_close_pairs_find_what_comparing_all_pairs_finds(limit: int) -> None:
    hashes = some_hashes(300, seed=limit)
    words = hashes.view(np.uint64)
    distances = np.bitwise_count(words[:, None] ^ words[None]).sum(axis=2)
    expected = [(i, j) for i, j in np.argwhere(distances <= limit).tolist() if i < j]
    found = [
        (min(i, j), max(i, j))
        for left, right, bits in close_pairs(hashes, limit)
        for i, j, distance in zip(left.tolist(), right.tolist(), bits.tolist(), strict=True)
        if distances[i, j] == distance
    ]
    assert set(found) <= set(expected)
    # Of equal hashes only the pairs with the first come; the groups are the same.
    assert groups_of(found, 300) == groups_of(expected, 300)
    assert len(groups_of(expected, 300)) > 0


def test_close_pairs_come_in_chunks_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes_module, "CHUNK_PAIRS", 1_000)
    chance = np.random.default_rng(0)
    seed_hash = chance.integers(0, 256, 32, dtype=np.uint8)
    near = np.stack([flipped(seed_hash, 3, chance) for _ in range(300)])
    sizes = [len(left) for left, _, _ in close_pairs(near, 31)]
    assert max(sizes) <= 1_000
    assert sum(sizes) >= 300 * 299 / 2


@pytest.mark.parametrize("count", [0, 1])
def test_few_hashes_have_no_pairs(count: int) -> None:
    assert sum(len(left) for left, _, _ in close_pairs(np.zeros((count, 32), np.uint8), 31)) == 0


@pytest.mark.parametrize("limit", [-1, 32])
def test_hash_distance_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(InvalidInput, match="0 to 31"):
        next(close_pairs(np.zeros((2, 32), np.uint8), limit))


def test_hamming_counts_bits() -> None:
    zero, one = np.zeros((1, 32), np.uint8), np.zeros((1, 32), np.uint8)
    one[0, [3, 30]] = (0b101, 0b1)
    assert hamming(zero, one).tolist() == [3]


def test_union_joins_chains() -> None:
    assert groups_of([(4, 3), (1, 2), (3, 1), (6, 7)], 9) == [[1, 2, 3, 4], [6, 7]]
    assert groups_of([], 3) == []


@pytest.fixture
def shelf(tmp_path: Path, tiny_encoder_folder: Path) -> Shelf:
    return Shelf.create(Store(str(tmp_path / "artifacts")), tmp_path, tiny_encoder_folder, engine="annoy")


def put(shelf: Shelf, id_: str, vector: NDArray[np.float32], hash_: Hashes | None, width: int = 64) -> None:
    sequencer = shelf.tick()
    shelf.catalogue.put_vectors([id_], [sequencer], [id_], vector[None])
    hashed = None if hash_ is None else hash_.tobytes()
    row = ItemRow(
        id_,
        sequencer,
        "live",
        "etag",
        id_,
        9,
        width,
        64,
        hashed,
        ingested_at=f"2024-01-01T00:00:{shelf.clock:02}",
    )
    shelf.catalogue.put_items([row])


def test_groups_by_vector_and_by_hash_say_why_and_what_to_keep(shelf: Shelf) -> None:
    chance = np.random.default_rng(1)
    vectors = unit_vectors(8, 16)
    hashes = some_hashes(8, seed=9)
    near = vectors[0] + 0.05 * vectors[1]
    put(shelf, "a/small.jpg", vectors[0], hashes[0], width=32)
    put(shelf, "a/large.jpg", near / np.linalg.norm(near), None, width=128)
    put(shelf, "b/first.jpg", vectors[2], hashes[2])
    put(shelf, "b/again.jpg", vectors[3], flipped(hashes[2], 20, chance))
    shelf.build()
    # The rest is in the delta: a third link by vector, and two pictures that are like nothing else.
    put(shelf, "b/third.jpg", vectors[3], None)
    put(shelf, "c/alone.jpg", vectors[6], flipped(hashes[2], 60, chance))
    put(shelf, "d/removed.jpg", vectors[0], hashes[0])
    shelf.remove(["d/removed.jpg"])

    groups = find_duplicates(shelf.searcher().state().view)
    assert [[member.id for member in group.members] for group in groups] == [
        ["b/first.jpg", "b/again.jpg", "b/third.jpg"],
        ["a/large.jpg", "a/small.jpg"],
    ]
    first, again, third = groups[0].members
    assert (first.reasons, again.reasons, third.reasons) == (("hash",), ("vector", "hash"), ("vector",))
    assert (first.hash_distance, again.hash_distance, third.hash_distance) == (0, 20, None)
    assert again.score == pytest.approx(float(vectors[2] @ vectors[3]), abs=1e-5)
    assert groups[1].keep == "a/large.jpg"
    assert groups[1].members[1].score == pytest.approx(
        float(near @ vectors[0] / np.linalg.norm(near)), abs=1e-5
    )


def test_pictures_without_features_can_be_duplicates_too(shelf: Shelf) -> None:
    vector = unit_vectors(1, 16)[0]
    put(shelf, "one", vector, None)
    put(shelf, "two", vector, None)
    (group,) = find_duplicates(shelf.searcher().state().view)
    assert [(member.id, member.hash_distance) for member in group.members] == [("one", None), ("two", None)]


def test_each_kind_of_link_can_be_left_out(shelf: Shelf) -> None:
    vectors, hashes = unit_vectors(3, 16), some_hashes(9, seed=2)
    put(shelf, "hash-1", vectors[0], hashes[0])
    put(shelf, "hash-2", vectors[1], hashes[0])
    put(shelf, "vector-2", vectors[1], hashes[3])
    view = shelf.searcher().state().view
    only_hash = find_duplicates(view, min_score=None)
    only_vector = find_duplicates(view, max_hash_distance=None)
    assert [[member.id for member in group.members] for group in only_hash] == [["hash-1", "hash-2"]]
    assert [[member.id for member in group.members] for group in only_vector] == [["hash-2", "vector-2"]]
    with pytest.raises(InvalidInput):
        find_duplicates(view, min_score=None, max_hash_distance=None)
    with pytest.raises(InvalidInput, match="min_score"):
        find_duplicates(view, min_score=1.5)


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
def test_the_threshold_means_cosine_in_every_metric(
    tmp_path: Path, tiny_encoder_folder: Path, metric: str
) -> None:
    shelf = Shelf.create(Store(str(tmp_path / "artifacts")), tmp_path, tiny_encoder_folder, metric=metric)
    vectors = unit_vectors(40, 16)
    for row in range(0, 40, 2):
        mixed = vectors[row] + (0.2 + 0.02 * row) * vectors[row + 1]
        vectors[row + 1] = mixed / np.linalg.norm(mixed)
    shelf.put([f"{row:02}" for row in range(40)], vectors)
    shelf.build()
    similarity = vectors @ vectors.T
    expected = [(i, j) for i, j in np.argwhere(similarity >= 0.9).tolist() if i < j]
    groups = find_duplicates(shelf.searcher().state().view, min_score=0.9, max_hash_distance=None)
    found = sorted(sorted(int(member.id) for member in group.members) for group in groups)
    assert found == sorted(groups_of(expected, 40))
    assert len(found) > 3


def test_a_group_larger_than_the_neighbourhood_is_one_group(shelf: Shelf) -> None:
    chance = np.random.default_rng(3)
    middle = unit_vectors(1, 16)[0]
    around = middle + 0.02 * chance.standard_normal((60, 16)).astype(np.float32)
    shelf.put([f"{row:02}" for row in range(60)], around / np.linalg.norm(around, axis=1, keepdims=True))
    shelf.build()
    groups = find_duplicates(shelf.searcher().state().view, max_hash_distance=None)
    assert [len(group.members) for group in groups] == [60]


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda picture: picture.resize((128, 128), Image.Resampling.BICUBIC),
    "recompressed": lambda picture: picture,
    "brighter": lambda picture: picture.point(lambda value: min(255, value + 20)),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_hashes_of_changed_copies_are_near_and_others_are_not(change: str) -> None:
    """The limit of 31 bits, on the hash that is really used."""
    quality = 30 if change == "recompressed" else 95
    scenes = [Image.fromarray(draw_scene(seed)) for seed in range(12)]
    hashed = [(scene, hash_) for scene in scenes if (hash_ := hash_of(scene)) is not None]
    assert len(hashed) > 5, "most scenes have features enough"
    for (scene, own), (_, other) in pairwise(hashed):
        changed = hash_of(CHANGES[change](scene), quality)
        assert changed is not None
        assert hamming(own, changed)[0] <= 31 < hamming(own, other)[0]


def hash_of(picture: Image.Image, quality: int = 95) -> Hashes | None:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    value = perceptual_hash(decode(file.getvalue(), ImageLimits.from_settings(Settings())))
    return None if value is None else np.frombuffer(value, np.uint8)[None].copy()
