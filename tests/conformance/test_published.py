"""Snapshots over a folder and over S3: built, published, swapped, searched and cleared away alike."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fixtures.shelf import NAME, Shelf, unit_vectors

from lookalike.errors import SnapshotNotFound
from lookalike.search import Query, QueryPart
from lookalike.snapshots import collect_garbage, current, list_snapshots, open_snapshot, read_pointer
from lookalike.storage import Store


@pytest.fixture
def shelf(store: Store, tmp_path: Path, tiny_encoder_folder: Path) -> Shelf:
    return Shelf.create(store, tmp_path / "work", tiny_encoder_folder)


def ids(count: int) -> list[str]:
    return [f"a/{number:03}" for number in range(count)]


def test_from_upload_to_search(shelf: Shelf) -> None:
    vectors = unit_vectors(60, 16)
    shelf.put(ids(50), vectors[:50])
    searcher = shelf.searcher()
    query = Query((QueryPart("vector", vectors[55]),), limit=3)
    assert searcher.search(query).snapshot is None
    manifest = shelf.build()
    shelf.put([f"b/{number}" for number in range(10)], vectors[50:])
    shelf.describe({"b/5": {"title": "fifth"}})
    assert searcher.refresh(force=True)
    result = searcher.search(query)
    assert result.snapshot == manifest.id
    assert (result.matches[0].item.id, result.matches[0].item.title) == ("b/5", "fifth")
    shelf.remove(["b/5"])
    assert searcher.refresh(force=True)
    assert "b/5" not in [match.item.id for match in searcher.search(query).matches]
    assert not searcher.refresh(force=True)
    assert shelf.build().count == 59
    assert searcher.refresh(force=True)
    assert searcher.status().delta == 0


def test_publishers_at_once(shelf: Shelf) -> None:
    shelf.put(ids(20), unit_vectors(20, 16))
    with ThreadPoolExecutor(4) as pool:
        built = list(pool.map(lambda _: shelf.build(force=True).id, range(4)))
    found = read_pointer(shelf.artifacts, NAME)
    assert found is not None
    # None lost to an older one: all saw the same rows, so each was allowed to follow the other.
    assert {found[0].snapshot_id, *(entry.id for entry in found[0].replaced)} == set(built)
    assert {manifest.id for manifest in list_snapshots(shelf.artifacts, NAME)} == set(built)


def test_garbage(shelf: Shelf) -> None:
    first, second, third = (shelf.build(force=True) for _ in range(3))
    assert collect_garbage(shelf.artifacts, NAME, grace_seconds=60) == []
    assert collect_garbage(shelf.artifacts, NAME, grace_seconds=0) == [first.id, second.id]
    assert list_snapshots(shelf.artifacts, NAME) == [third]
    assert current(shelf.artifacts, NAME) == third
    with pytest.raises(SnapshotNotFound):
        open_snapshot(first, shelf.artifacts, shelf.work / "cache")


def test_the_cache_of_a_bucket_is_bounded_and_shared(s3_store: Store, tmp_path: Path) -> None:
    shelf = Shelf.create(s3_store, tmp_path / "work", "named-0123456789ab")
    cache = tmp_path / "cache"
    opened = []
    for number in range(4):
        shelf.put([str(number)], unit_vectors(1, 16, seed=number))
        opened.append(open_snapshot(shelf.build(), s3_store, cache))
        assert len(os.listdir(cache / "snapshots" / NAME)) == min(number + 1, 2)  # noqa: PTH208
    # Files that were opened stay readable after they left the cache.
    assert [snapshot.row_of("0") for snapshot in opened] == [0] * 4
    newest = cache / "snapshots" / NAME / opened[-1].manifest.id
    stamp = (newest / "items.arrow").stat().st_mtime_ns
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda _: open_snapshot(opened[-1].manifest, s3_store, cache), range(8)))
    assert (newest / "items.arrow").stat().st_mtime_ns == stamp
    assert all(snapshot.row_of("3") == 3 for snapshot in again)


def test_readers_that_make_room_for_each_other(s3_store: Store, tmp_path: Path) -> None:
    shelf = Shelf.create(s3_store, tmp_path / "work", "named-0123456789ab")
    manifests = []
    for number in range(3):
        shelf.put([str(number)], unit_vectors(1, 16, seed=number))
        manifests.append(shelf.build())

    def read(number: int) -> int:
        manifest = manifests[number % 3]
        return open_snapshot(manifest, s3_store, tmp_path / "cache").items.num_rows - manifest.count

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(read, range(60))) == {0}
