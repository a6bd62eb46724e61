"""A collection that is searched in a space of its own: built, changed and rebuilt, over every store."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.pictures import draw_scene
from fixtures.shelf import NAME, Shelf, unit_vectors
from PIL import Image

from lookalike.duplicates import find_duplicates
from lookalike.duplicates.candidates import find_candidates
from lookalike.encoders import Encoder
from lookalike.images import ImageLimits, read_image
from lookalike.indexes import open_index
from lookalike.integrity import file_sha256
from lookalike.search import Query, QueryPart, Searcher
from lookalike.settings import Settings
from lookalike.snapshots import SnapshotManifest, open_snapshot, snapshot_folder
from lookalike.storage import Store
from lookalike.types import Vectors

D, K, COUNT = 16, 8, 250


@pytest.fixture
def shelf(store: Store, tmp_path: Path, tiny_encoder_folder: Path) -> Shelf:
    return Shelf.create(store, tmp_path / "work", tiny_encoder_folder, dimensions=K)


def ids(count: int, folder: str = "a") -> list[str]:
    return [f"{folder}/{number:04}" for number in range(count)]


def biased(count: int, seed: int = 0) -> Vectors:
    """Unit vectors with a large common part, as encoders make them."""
    vectors = unit_vectors(count, D, seed) + np.float32(0.5)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def expected_scores(shelf: Shelf, manifest: SnapshotManifest, query: Vectors, vectors: Vectors) -> Vectors:
    """Cosines by plain float64 arithmetic on the stored mean and components."""
    stored = shelf.artifacts.get(f"{snapshot_folder(NAME, manifest.id)}/space.npy").data
    numbers = np.load(io.BytesIO(stored)).astype(float)
    mean, components = numbers[0], numbers[1:]

    def projected(rows: Vectors) -> Vectors:
        moved = (rows - mean) @ components.T
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    return np.asarray(projected(query[None]) @ projected(vectors).T)[0]


def test_snapshot_and_delta_are_searched_in_one_space(shelf: Shelf, tmp_path: Path) -> None:
    vectors, newer, query = biased(COUNT), biased(20, seed=1), biased(1, seed=2)[0]
    shelf.put(ids(COUNT), vectors)
    manifest = shelf.build()
    assert manifest.space is not None
    assert (manifest.dimension, manifest.encoder_dimension) == (K, D)
    assert SnapshotManifest.parse(manifest.dump()) == manifest
    assert manifest.hashes["space.npy"]
    assert "space.npy" in manifest.files
    newer[0] = vectors[3]
    shelf.put(ids(20, "b"), newer)
    searcher = shelf.searcher()
    names, everything = [*ids(COUNT), *ids(20, "b")], np.concatenate([vectors, newer])
    scores = expected_scores(shelf, manifest, query, everything)
    for scale in (1, 30):
        result = searcher.search(Query((QueryPart("vector", query * np.float32(scale)),), limit=300))
        found = [(match.item.id, match.score) for match in result.matches]
        assert len(found) == COUNT + 20
        wanted = dict(zip(names, scores.tolist(), strict=True))
        np.testing.assert_allclose(
            [score for _, score in found], [wanted[id_] for id_, _ in found], atol=1e-5
        )
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    # A copy of a stored vector is at a distance of exactly 0, in the snapshot and in the delta.
    for item_id in ("a/0003", "b/0000"):
        best = searcher.search(Query((QueryPart("id", item_id),), limit=1)).matches[0]
        assert (best.distance, best.score) == (0.0, 1.0)
    copies = searcher.search(Query((QueryPart("vector", vectors[3]),), limit=2)).matches
    assert [(match.item.id, match.distance) for match in copies] == [("a/0003", 0.0), ("b/0000", 0.0)]
    snapshot = open_snapshot(manifest, shelf.artifacts, tmp_path / "cache")
    assert snapshot.vectors.shape == (COUNT, K)


def test_an_image_finds_itself(shelf: Shelf, tiny_encoder: Encoder) -> None:
    shelf.put(ids(COUNT), biased(COUNT))
    file = io.BytesIO()
    Image.fromarray(draw_scene(3)).save(file, "PNG")
    limits = ImageLimits.from_settings(Settings())
    pixels = read_image(file.getvalue(), limits, tiny_encoder.manifest.preprocess)[1]
    shelf.put(["b/photo"], tiny_encoder.encode_one(pixels)[None])
    shelf.build()
    best = shelf.searcher().search(Query((QueryPart("image", file.getvalue()),), limit=1)).matches[0]
    assert (best.item.id, best.distance) == ("b/photo", 0.0)


def test_scores_stay_until_the_collection_has_doubled(shelf: Shelf) -> None:
    shelf.put(ids(COUNT), biased(COUNT))
    first = shelf.build()
    searcher = shelf.searcher()

    def scores() -> dict[str, float]:
        assert searcher.refresh(force=True) or searcher.status().delta == 0
        result = searcher.search(Query((QueryPart("id", "a/0001"),), limit=1_000))
        return {match.item.id: match.score for match in result.matches}

    before = scores()
    shelf.put(ids(COUNT - 1, "b"), biased(COUNT - 1, seed=9))
    second = shelf.build()
    assert second.space == first.space
    assert second.hashes["space.npy"] == first.hashes["space.npy"]
    after = scores()
    assert {item_id: after[item_id] for item_id in before} == before
    shelf.put(["c/last"], biased(1, seed=10))
    third = shelf.build()
    assert third.space is not None
    assert third.space.fitted_on == 2 * COUNT
    assert third.hashes["space.npy"] != first.hashes["space.npy"]


def test_another_dimension_needs_another_space(shelf: Shelf) -> None:
    shelf.put(ids(COUNT), biased(COUNT))
    assert shelf.build().dimension == K
    shelf.config = replace(shelf.config, dimensions=5)
    assert shelf.build().dimension == 5
    shelf.config = replace(shelf.config, dimensions=0)
    whole = shelf.build()
    assert (whole.dimension, whole.space) == (D, None)


def test_few_items_are_searched_by_the_encoders_numbers(shelf: Shelf) -> None:
    shelf.put(ids(199), biased(199))
    manifest = shelf.build()
    assert (manifest.dimension, manifest.space) == (D, None)
    assert "space.npy" not in manifest.files
    shelf.put(["b/last"], biased(1, seed=4))
    assert shelf.build().space is not None


def test_a_damaged_space_is_computed_anew(shelf: Shelf) -> None:
    shelf.put(ids(COUNT), biased(COUNT))
    first = shelf.build()
    path = f"{snapshot_folder(NAME, first.id)}/space.npy"
    good = shelf.artifacts.get(path).data
    shelf.artifacts.put(path, good[:-1] + bytes([good[-1] ^ 1]))
    second = shelf.build(force=True)
    assert second.hashes["space.npy"] == first.hashes["space.npy"]
    assert shelf.artifacts.get(f"{snapshot_folder(NAME, second.id)}/space.npy").data == good


def test_a_snapshot_of_an_earlier_version_serves_until_the_next_build(shelf: Shelf) -> None:
    shelf.put(ids(COUNT), biased(COUNT))
    shelf.config = replace(shelf.config, dimensions=0)
    shelf.build()
    searcher: Searcher = shelf.searcher()
    query = Query((QueryPart("vector", biased(1, seed=2)[0]),), limit=5)
    raw = biased(COUNT) @ biased(1, seed=2)[0]
    result = searcher.search(query)
    np.testing.assert_allclose([m.score for m in result.matches], np.sort(raw)[::-1][:5], atol=1e-5)
    # Nothing was added, but this version would search in a space: a build makes it.
    shelf.config = replace(shelf.config, dimensions=K)
    rebuilt = shelf.build()
    assert rebuilt.space is not None
    assert searcher.refresh(force=True)
    assert searcher.search(query).snapshot == rebuilt.id


@pytest.mark.parametrize("engine", ["annoy", "exact", "faiss"])
def test_every_engine_holds_compact_vectors(tmp_path: Path, engine: str) -> None:
    shelf = Shelf.create(
        Store(str(tmp_path / "store")),
        tmp_path / "work",
        "named-0123456789ab",
        engine=engine,
        dimensions=K,
    )
    shelf.put(ids(COUNT), biased(COUNT))
    first, second = shelf.build(), shelf.build(force=True)
    folder = tmp_path / "store" / "artifacts" / snapshot_folder(NAME, first.id)
    folder = folder if folder.is_dir() else tmp_path / "store" / snapshot_folder(NAME, first.id)
    assert open_index(first.index, folder).vectors.shape == (COUNT, K)
    assert first.index.measured["recall"] >= 0.95
    assert first.hashes == {name: file_sha256(folder / name) for name in first.hashes}
    names = {"space.npy", *first.index.files}
    assert {name: first.hashes[name] for name in names} == {name: second.hashes[name] for name in names}


def test_duplicates_are_compared_by_the_encoders_vectors(shelf: Shelf) -> None:
    vectors = biased(COUNT)
    shelf.put(ids(COUNT), vectors)
    shelf.build()
    near = vectors[:2] + 0.06 * unit_vectors(2, D, seed=7)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    shelf.put(ids(2, "b"), near)
    view = shelf.searcher().state().view
    everything = np.concatenate([vectors, near])
    np.testing.assert_array_equal(view.encoder_vectors(np.arange(view.size)), everything)
    cosines = np.round(everything @ everything.T, 5)
    found = find_candidates(view, min_score=0.97, max_hash_distance=None, floor=0.95)
    assert {(0, COUNT), (1, COUNT + 1)} <= found.keys()
    for (left, right), candidate in found.items():
        assert candidate.score == pytest.approx(cosines[left, right], abs=2e-5)
        assert candidate.links == (("vector",) if candidate.score >= 0.97 else ())
    # Of all pairs above the limits, one is missing only if other items are nearer to both.
    best = {(i, j) for i, j in np.argwhere(np.triu(cosines, 1) >= 0.98).tolist()}
    assert best <= found.keys()
    groups = find_duplicates(view, min_score=0.97, max_hash_distance=None)
    assert {"a/0000", "b/0000"} <= {member.id for group in groups for member in group.members}
