"""Snapshots: columns that lose nothing, manifests that refuse what they cannot be, one pointer, no litter."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fixtures.shelf import NAME, Shelf, build_for_ever, unit_vectors

from lookalike.collection_config import Collections
from lookalike.confidence import NEAREST
from lookalike.errors import CollectionNotFound, Conflict, Incompatible, SnapshotNotFound
from lookalike.integrity import CHECKSUM, seal
from lookalike.snapshots import (
    SnapshotManifest,
    attribute_types,
    collect_garbage,
    current,
    list_snapshots,
    open_snapshot,
    read_manifest,
    read_pointer,
    table_of,
)
from lookalike.snapshots.item_columns import ColumnsWriter, ItemReader, read_columns
from lookalike.snapshots.pointer import Pointer, pointer_path, swap_pointer
from lookalike.storage import Store
from lookalike.types import ENGINES, METRICS, Item

FOLDER = f"collections/{NAME}/snapshots"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf.create(Store(str(tmp_path / "store")), tmp_path / "work", "named-0123456789ab")


def ids(count: int, category: str = "a") -> list[str]:
    return [f"{category}/{number:04}.jpg" for number in range(count)]


# Columns


def written(tmp_path: Path, *batches: list[Item]) -> pa.Table:
    writer = ColumnsWriter()
    for batch in batches:
        writer.add(batch)
    writer.write(tmp_path / "items.arrow")
    return read_columns(tmp_path / "items.arrow")


def test_items_come_back_as_they_were(tmp_path: Path) -> None:
    items = [
        Item(
            "a/é.jpg", "a", "p1", "Tïtle", {"n": 1, "x": 0.5, "ok": True, "s": "t"}, 3, 4, b"\x00" * 32, "now"
        ),
        Item("b.jpg", None, None, None, {}, 0, 0, None, None),
    ]
    table = written(tmp_path, items)
    assert [ItemReader(table).item_at(row) for row in range(2)] == items
    assert table["id"].num_chunks == 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (1, 2.5, [1.0, 2.5]),
        (1, "x", ["1", "x"]),
        (True, 2, ["true", "2"]),
        (False, "no", ["false", "no"]),
        (0.1, "x", ["0.1", "x"]),
        (10.0, "x", ["10.0", "x"]),
        (None, 3, [None, 3]),
        (2**70, 1, [str(2**70), "1"]),
        (math.nan, 1.5, [None, 1.5]),
        (math.inf, "x", [None, "x"]),
    ],
)
@pytest.mark.parametrize("apart", [False, True], ids=["one batch", "two batches"])
def test_unlike_values_widen(
    tmp_path: Path, first: object, second: object, expected: list[object], apart: bool
) -> None:
    one, two = Item("1", attributes={"v": first}), Item("2", attributes={"v": second})
    table = written(tmp_path, *([[one], [two]] if apart else [[one, two]]))
    assert table["attributes.v"].to_pylist() == expected


def test_attributes_of_some_batches_only(tmp_path: Path) -> None:
    table = written(tmp_path, [Item("1", attributes={"a": 1})], [Item("2", attributes={"b": "x"})])
    assert table["attributes.a"].to_pylist() == [1, None]
    assert table["attributes.b"].to_pylist() == [None, "x"]
    assert attribute_types(table.schema) == {"a": "int64", "b": "string"}


def test_a_delta_follows_the_types_of_its_snapshot() -> None:
    items = [
        Item("1", attributes={"n": 1, "t": 7, "m": "x"}),
        Item("2", attributes={"n": 2.5, "t": "y", "m": 4}),
    ]
    table = table_of(items, {"n": "int64", "t": "string", "m": "int64"})
    assert table["attributes.n"].to_pylist() == [1.0, 2.5]
    assert table["attributes.t"].to_pylist() == ["7", "y"]
    assert table["attributes.m"].to_pylist() == [None, 4]


# Building


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_built_can_be_opened(tmp_path: Path, engine: str, metric: str) -> None:
    if (engine, metric) == ("faiss", "l1"):
        pytest.skip("faiss does not compute l1")
    shelf = Shelf.create(
        Store(str(tmp_path / "store")), tmp_path / "work", "named-0123456789ab", engine=engine, metric=metric
    )
    vectors = unit_vectors(300, 16)
    shelf.put(ids(300), vectors)
    manifest = shelf.build()
    assert manifest == current(shelf.artifacts, NAME) == SnapshotManifest.parse(manifest.dump())
    assert (manifest.count, manifest.labels.classes, manifest.labels.labelled) == (300, 1, 300)
    assert manifest.index.measured["recall"] >= 0.95
    snapshot = open_snapshot(manifest, shelf.artifacts, tmp_path / "cache")
    for row in (0, 17, 299):
        assert snapshot.id_at(row) == ids(300)[row]
        assert snapshot.row_of(ids(300)[row]) == row
        np.testing.assert_allclose(snapshot.vectors[row], vectors[row], atol=1e-6)
        assert snapshot.index.search(vectors[row], 1)[0].tolist() == [row]
    for absent in ("", "a", "a/0000.jp", "a/0017.jpg2", "zzz", "\U0010ffff"):
        assert snapshot.row_of(absent) is None
    assert not (tmp_path / "cache").exists()
    assert list(shelf.work.iterdir()) == []


def test_ids_beyond_the_first_plane_are_found(shelf: Shelf) -> None:
    # UTF-8 (Arrow, Lance) and code points (Python) agree on the order; UTF-16 would not.
    names = sorted(["\ufffd.jpg", "\U0001f45f.jpg", "é.jpg", "e\u0301.jpg", "z.jpg", "日本/靴.jpg"])
    shelf.put(names, unit_vectors(len(names), 16))
    snapshot = open_snapshot(shelf.build(), shelf.artifacts, shelf.work)
    assert [snapshot.id_at(row) for row in range(len(names))] == names
    assert [snapshot.row_of(name) for name in names] == list(range(len(names)))


def test_a_collection_without_items_has_a_snapshot_of_none(shelf: Shelf) -> None:
    manifest = shelf.build()
    assert manifest.count == 0
    snapshot = open_snapshot(manifest, shelf.artifacts, shelf.work)
    assert snapshot.row_of("a") is None
    assert snapshot.vectors.shape == (0, 16)


def test_nothing_is_built_twice_unless_asked(shelf: Shelf) -> None:
    shelf.put(ids(5), unit_vectors(5, 16))
    first = shelf.build()
    assert shelf.build().id == first.id
    assert shelf.build(force=True).id != first.id
    shelf.config = replace(shelf.config, engine="exact")
    rebuilt = shelf.build()
    assert (rebuilt.index.engine, rebuilt.options.engine) == ("exact", "exact")
    shelf.put(["b/new.jpg"], unit_vectors(1, 16))
    assert shelf.build().count == 6


def test_items_on_their_way_are_left_for_the_next_build(shelf: Shelf) -> None:
    shelf.put(ids(5), unit_vectors(5, 16))
    shelf.catalogue.put_vectors(["b/half.jpg"], [shelf.tick()], ["h"], unit_vectors(1, 16))
    shelf.remove([ids(5)[0]])
    manifest = shelf.build()
    snapshot = open_snapshot(manifest, shelf.artifacts, shelf.work)
    assert snapshot.items["id"].to_pylist() == ids(5)[1:]


def test_progress_is_told(shelf: Shelf) -> None:
    said: list[str] = []
    shelf.put(ids(5), unit_vectors(5, 16))
    shelf.build(progress=said.append)
    assert said[0] == "checking for changes"
    assert said[-1] == "publishing"


def test_confidence_is_calibrated_from_labels(tmp_path: Path) -> None:
    shelf = Shelf.create(Store(str(tmp_path / "store")), tmp_path / "work", "named-0123456789ab")
    centres = unit_vectors(8, 16, seed=3)
    noise = np.random.default_rng(4).standard_normal((400, 16)).astype(np.float32) * 0.3
    vectors = centres[np.arange(400) % 8] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shelf.put([f"c{number % 8}/{number:03}.jpg" for number in range(400)], vectors)
    manifest = shelf.build()
    assert manifest.labels.classes == 8
    assert manifest.confidence is not None
    judgement = manifest.confidence.judge([0.9] * 30, ["c0"] * 28 + ["c1"] * 2)
    assert judgement.confidence("c0", 0.9) > judgement.confidence("c1", 0.9)  # type: ignore[operator]
    assert SnapshotManifest.parse(manifest.dump()).confidence == manifest.confidence


def test_confidence_is_learned_from_items_that_metadata_holds_out(tmp_path: Path) -> None:
    shelf = Shelf.create(Store(str(tmp_path / "store")), tmp_path / "work", "named-0123456789ab")
    names = [f"c{number % 4}/{number:03}.jpg" for number in range(200)]
    shelf.put(names, unit_vectors(200, 16))
    everyone = shelf.build().confidence
    shelf.describe({name: {"split": "val" if row < 60 else "train"} for row, name in enumerate(names)})
    held_out = shelf.build().confidence
    assert everyone is not None
    assert held_out is not None
    assert (everyone.pairs, held_out.pairs) == (200 * NEAREST, 60 * NEAREST)


# What a reader refuses


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, ["format", "2", "1"]),
        ({"metric": "dot"}, ["metric", "'dot'", "cosine | l2 | l1"]),
        ({"metric": "l2"}, ["metric", "cosine", "l2"]),
        ({"dimension": 32}, ["dimension", "16", "32"]),
        ({"count": 4}, ["size", "5 in the index", "4"]),
        ({"index": {"engine": "scann"}}, ["engine", "'scann'", "annoy | exact | faiss"]),
        ({"labels": None}, ["cannot be read", "format 1"]),
    ],
)
def test_a_manifest_that_cannot_be_served_names_both_sides(
    shelf: Shelf, change: dict[str, object], words: list[str]
) -> None:
    shelf.put(ids(5), unit_vectors(5, 16))
    manifest = shelf.build()
    path = f"{FOLDER}/{manifest.id}/snapshot.json"
    stored = json.loads(shelf.artifacts.get(path).data)
    index = stored["index"] | change.pop("index", {})  # type: ignore[operator]
    del stored[CHECKSUM]
    shelf.artifacts.put(path, seal(stored | {"index": index} | change))
    with pytest.raises(Incompatible) as refusal:
        current(shelf.artifacts, NAME)
    for word in words:
        assert word in str(refusal.value)
    assert list_snapshots(shelf.artifacts, NAME) == []


def test_a_manifest_that_is_no_json(shelf: Shelf) -> None:
    manifest = shelf.build()
    shelf.artifacts.put(f"{FOLDER}/{manifest.id}/snapshot.json", b"\x00{")
    with pytest.raises(Incompatible, match=r"snapshot\.json cannot be read"):
        current(shelf.artifacts, NAME)
    shelf.artifacts.put(pointer_path(NAME), b"[1]")
    with pytest.raises(Incompatible, match=r"current\.json cannot be read"):
        current(shelf.artifacts, NAME)


def test_files_of_another_snapshot_are_refused(shelf: Shelf) -> None:
    shelf.put(ids(5), unit_vectors(5, 16))
    first = shelf.build()
    shelf.put(["b"], unit_vectors(1, 16))
    second = shelf.build()
    for name in first.files:
        kept = shelf.artifacts.get(f"{FOLDER}/{first.id}/{name}").data
        shelf.artifacts.put(
            f"{FOLDER}/{first.id}/{name}", shelf.artifacts.get(f"{FOLDER}/{second.id}/{name}").data
        )
        with pytest.raises(Incompatible):
            open_snapshot(first, shelf.artifacts, shelf.work)
        shelf.artifacts.put(f"{FOLDER}/{first.id}/{name}", kept)
    open_snapshot(first, shelf.artifacts, shelf.work)


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"no arrow at all" * 100])
def test_columns_that_are_no_arrow_file(shelf: Shelf, content: bytes) -> None:
    manifest = shelf.build()
    shelf.artifacts.put(f"{FOLDER}/{manifest.id}/items.arrow", content)
    with pytest.raises(Incompatible, match=r"items\.arrow cannot be read"):
        open_snapshot(manifest, shelf.artifacts, shelf.work)
    with pytest.raises(Incompatible, match=r"items\.arrow cannot be read"):
        open_snapshot(replace(manifest, hashes={}), shelf.artifacts, shelf.work)  # of an earlier version


def test_a_snapshot_that_is_gone(shelf: Shelf) -> None:
    with pytest.raises(SnapshotNotFound):
        read_manifest(shelf.artifacts, NAME, "none")
    manifest = shelf.build()
    shelf.artifacts.delete_folder(f"{FOLDER}/{manifest.id}")
    with pytest.raises(SnapshotNotFound):
        open_snapshot(manifest, shelf.artifacts, shelf.work)


# Publishing


class Damaging(Store):
    """A folder store whose disk turns over a bit in the middle of every file of one name."""

    damaged = ""

    def put(self, path: str, data: bytes | Path) -> str:
        content = bytearray(data.read_bytes() if isinstance(data, Path) else data)
        if self.damaged and path.endswith(self.damaged):
            content[len(content) // 2] ^= 0x10
        return super().put(path, bytes(content))


@pytest.mark.parametrize("name", ["index.annoy", "items.arrow", "snapshot.json"])
def test_what_comes_back_damaged_is_not_published(shelf: Shelf, name: str) -> None:
    shelf.put(["only"], unit_vectors(1, 16))
    good = shelf.build()
    shelf.artifacts = Damaging(shelf.artifacts.url)
    shelf.artifacts.damaged = name
    with pytest.raises(Incompatible):
        shelf.build(force=True)
    assert current(shelf.artifacts, NAME) == good
    assert list_snapshots(shelf.artifacts, NAME) == [good]


def test_the_pointer_remembers_what_it_replaced(shelf: Shelf) -> None:
    built = [shelf.build(force=True).id for _ in range(3)]
    found = read_pointer(shelf.artifacts, NAME)
    assert found is not None
    assert found[0].snapshot_id == built[2]
    assert [entry.id for entry in found[0].replaced] == [built[1], built[0]]


def test_concurrent_publishers_lose_no_pointer(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    names = [f"snapshot-{number:02}" for number in range(16)]
    threads = [
        threading.Thread(
            target=swap_pointer, args=(store, NAME, name, "e"), kwargs={"may_replace": lambda _: True}
        )
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_pointer(store, NAME)
    assert found is not None
    assert sorted([found[0].snapshot_id, *(entry.id for entry in found[0].replaced)]) == names


def test_a_loser_leaves_the_newer_winner_and_no_litter(shelf: Shelf) -> None:
    shelf.put(ids(5), unit_vectors(5, 16))
    shelf.build()
    winner: list[SnapshotManifest] = []

    def overtake(step: str) -> None:
        if step == "publishing" and not winner:
            winner.append(elsewhere.build(progress=None))

    # The other builder works on a copy of the store's lock folder, as one on S3 would: no common lock.
    elsewhere = Shelf(NoLock(shelf.artifacts.url), shelf.work, shelf.config, 16, clock=1_000)
    shelf.put(["b/1.jpg"], unit_vectors(1, 16))
    slow = Shelf(NoLock(shelf.artifacts.url), shelf.work, shelf.config, 16, clock=2_000)

    def grow_then_overtake(step: str) -> None:
        if step == "uploading" and not winner:
            elsewhere.put(["b/2.jpg"], unit_vectors(1, 16, seed=9))
        overtake(step)

    served = slow.build(progress=grow_then_overtake)
    assert served.id == winner[0].id
    assert current(shelf.artifacts, NAME) == winner[0]
    assert winner[0].count == 7
    assert len(list_snapshots(shelf.artifacts, NAME)) == 2


def test_a_build_for_an_encoder_that_was_replaced_meanwhile_loses(shelf: Shelf) -> None:
    shelf.put(ids(5), unit_vectors(5, 16))
    other = Shelf(
        NoLock(shelf.artifacts.url), shelf.work, replace(shelf.config, encoder_id="other-0123456789ab"), 8
    )
    other.catalogue.put_vectors(ids(5), ["1"] * 5, ["h"] * 5, unit_vectors(5, 8))
    winner: list[SnapshotManifest] = []

    def switch(step: str) -> None:
        if step == "publishing":
            Collections(shelf.artifacts).update(NAME, encoder_id=other.config.encoder_id)
            winner.append(other.build())

    served = Shelf(NoLock(shelf.artifacts.url), shelf.work, shelf.config, 16).build(progress=switch)
    assert served.id == winner[0].id
    assert served.dimension == 8
    # And back: the collection asks for the first encoder again.
    Collections(shelf.artifacts).update(NAME, encoder_id=shelf.config.encoder_id)
    assert shelf.build().dimension == 16


class NoLock(Store):
    """A folder store as S3 behaves: nothing keeps two builders apart but the compare-and-swap."""

    def lock(self, path: str, *, seconds: float = -1):  # type: ignore[no-untyped-def]
        from contextlib import nullcontext

        return super().lock(path, seconds=seconds) if path.endswith("current.json.lock") else nullcontext()


def test_builds_of_one_collection_do_not_overlap(shelf: Shelf) -> None:
    shelf.put(ids(5), unit_vectors(5, 16))
    refused: list[Conflict] = []

    def meanwhile(step: str) -> None:
        if step == "uploading":
            with pytest.raises(Conflict) as refusal:
                shelf.build(wait=False)
            refused.append(refusal.value)

    shelf.build(progress=meanwhile)
    assert "is running" in str(refused[0])
    shelf.build(wait=False, force=True)


def test_a_collection_deleted_during_a_build_stays_deleted(shelf: Shelf) -> None:
    shelf.put(ids(5), unit_vectors(5, 16))
    shelf.build()

    def delete(step: str) -> None:
        if step == "publishing":
            Collections(shelf.artifacts).delete(NAME)

    with pytest.raises(CollectionNotFound):
        shelf.build(force=True, progress=delete)
    assert read_pointer(shelf.artifacts, NAME) is None
    assert list_snapshots(shelf.artifacts, NAME) == []


# Garbage


def test_replaced_snapshots_stay_for_readers_in_flight(shelf: Shelf) -> None:
    shelf.put(ids(5), unit_vectors(5, 16))
    first = shelf.build()
    reader = open_snapshot(first, shelf.artifacts, shelf.work)
    second = shelf.build(force=True)
    assert [manifest.id for manifest in list_snapshots(shelf.artifacts, NAME)] == [second.id, first.id]
    assert collect_garbage(shelf.artifacts, NAME, grace_seconds=60) == []
    assert collect_garbage(shelf.artifacts, NAME, grace_seconds=0) == [first.id]
    assert current(shelf.artifacts, NAME) == second
    # Mapped files stay readable for who had opened them.
    assert reader.index.search(unit_vectors(5, 16)[3], 1)[0].tolist() == [3]


def test_what_a_crash_left_goes_after_the_grace_period(shelf: Shelf) -> None:
    manifest = shelf.build()
    orphan = Path(shelf.artifacts.url) / FOLDER / "20200101T000000-00000000"
    orphan.mkdir()
    half = orphan / "index.annoy#1"
    half.write_bytes(b"half")
    assert collect_garbage(shelf.artifacts, NAME, grace_seconds=60) == []
    old = time.time() - 120
    for path in (half, orphan):
        os.utime(path, (old, old))
    assert collect_garbage(shelf.artifacts, NAME, grace_seconds=60) == [orphan.name]
    assert not orphan.exists()
    assert current(shelf.artifacts, NAME) == manifest


def test_a_long_served_snapshot_is_kept_after_it_was_replaced(shelf: Shelf) -> None:
    # Its files are old, but readers used it until a moment ago.
    first = shelf.build()
    folder = Path(shelf.artifacts.url) / FOLDER / first.id
    for path in (*folder.iterdir(), folder):
        os.utime(path, (1, 1))
    shelf.build(force=True)
    assert collect_garbage(shelf.artifacts, NAME, grace_seconds=60) == []


def test_pointer_history_is_bounded() -> None:
    pointer = Pointer("0", "e", (datetime.now(UTC) - timedelta(days=1)).isoformat())
    for number in range(1, 100):
        pointer = pointer.followed_by(str(number), "e")
    assert pointer.snapshot_id == "99"
    assert len(pointer.replaced) == 32
    assert Pointer.parse(pointer.dump()) == pointer


# Kill


def test_kill_9_at_any_moment_leaves_a_valid_pointer(shelf: Shelf) -> None:
    shelf.put(ids(100), unit_vectors(100, 16))
    shelf.build()
    chance = random.Random(7)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lance", "annoy", "pyarrow.compute", "lookalike.search"])
    process = None
    for _ in range(20):
        if process is None or not process.is_alive():
            process = context.Process(
                target=build_for_ever, args=(shelf.artifacts.url, shelf.work, shelf.config)
            )
            process.start()
            _wait_for_a_build(shelf, current(shelf.artifacts, NAME))
        time.sleep(chance.uniform(0, 0.2))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        manifest = current(shelf.artifacts, NAME)
        assert manifest is not None
        assert open_snapshot(manifest, shelf.artifacts, shelf.work).row_of(ids(100)[99]) == 99
    final = shelf.build(force=True, wait=False, grace_seconds=0)
    assert list_snapshots(shelf.artifacts, NAME) == [final]
    assert [folder.name for folder in (Path(shelf.artifacts.url) / FOLDER).iterdir()] == [final.id]
    assert not [left for left in shelf.work.iterdir() if left.is_dir()]


def _wait_for_a_build(shelf: Shelf, before: SnapshotManifest | None) -> None:
    deadline = time.monotonic() + 60
    while current(shelf.artifacts, NAME) == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
