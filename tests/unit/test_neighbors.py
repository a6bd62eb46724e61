"""All pairs top-K: the same as comparing everything with everything, in memory that does not grow with it."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from fixtures.shelf import NAME, Shelf, unit_vectors

from lookalike.errors import InvalidInput
from lookalike.neighbors import iter_neighbors, write_neighbors
from lookalike.storage import Store

DIMENSION = 16


@pytest.fixture
def shelf(tmp_path: Path, tiny_encoder_folder: Path) -> Shelf:
    return Shelf.create(Store(str(tmp_path / "artifacts")), tmp_path, tiny_encoder_folder, engine="exact")


@pytest.fixture
def grown(shelf: Shelf) -> dict[str, np.ndarray]:
    """Vectors by id of what can be found: some in the snapshot, some newer, some replaced, some removed."""
    vectors = unit_vectors(60, DIMENSION)
    ids = [f"{'ab'[row % 2]}/{row:02}" for row in range(60)]
    shelf.put(ids[:40], vectors[:40])
    shelf.describe({id_: {"product_id": f"p{row}", "category": id_[0]} for row, id_ in enumerate(ids)})
    shelf.build()
    shelf.put(ids[40:], vectors[40:])
    vectors[3] = -vectors[3]
    shelf.put([ids[3]], vectors[3:4])
    shelf.remove([ids[5], ids[45]])
    return {id_: vector for id_, vector in zip(ids, vectors, strict=True) if id_ not in {ids[5], ids[45]}}


def test_every_item_has_its_nearest_others(shelf: Shelf, grown: dict[str, np.ndarray]) -> None:
    found = {entry.id: entry for entry in iter_neighbors(shelf.searcher().state(), 4)}
    assert found.keys() == grown.keys()
    for id_, vector in grown.items():
        distances = {other: 1 - float(vector @ theirs) for other, theirs in grown.items() if other != id_}
        nearest = sorted(distances, key=distances.__getitem__)[:4]
        assert [near.id for near in found[id_].neighbors] == nearest
        for near in found[id_].neighbors:
            assert near.distance == pytest.approx(distances[near.id], abs=1e-5)
            assert near.score == pytest.approx(1 - near.distance, abs=1e-5)
            assert near.product_id == f"p{int(near.id[2:])}"
        assert found[id_].product_id == f"p{int(id_[2:])}"


def test_pages_are_slices_of_the_whole(shelf: Shelf, grown: dict[str, np.ndarray]) -> None:
    state = shelf.searcher().state()
    whole = list(iter_neighbors(state, 3))
    pages = [entry for start in range(0, 60, 7) for entry in iter_neighbors(state, 3, offset=start, limit=7)]
    assert pages == whole


def test_items_equal_to_others_are_never_their_own_neighbours(shelf: Shelf) -> None:
    same = np.repeat(unit_vectors(1, DIMENSION), 6, axis=0)
    shelf.put([f"{row}" for row in range(6)], same)
    shelf.build()
    for entry in iter_neighbors(shelf.searcher().state(), 3):
        near = [neighbor.id for neighbor in entry.neighbors]
        assert len(near) == 3
        assert entry.id not in near


def test_fewer_items_than_asked_for(shelf: Shelf) -> None:
    shelf.put(["one", "two"], unit_vectors(2, DIMENSION))
    entries = list(iter_neighbors(shelf.searcher().state(), 10))
    assert [[near.id for near in entry.neighbors] for entry in entries] == [["two"], ["one"]]


@pytest.mark.parametrize(
    ("k", "offset", "limit"), [(0, 0, None), (1_001, 0, None), (1, -1, None), (1, 0, -1)]
)
def test_what_is_out_of_range_is_refused(shelf: Shelf, k: int, offset: int, limit: int | None) -> None:
    shelf.put(["one"], unit_vectors(1, DIMENSION))
    with pytest.raises(InvalidInput):
        iter_neighbors(shelf.searcher().state(), k, offset=offset, limit=limit)


def test_the_file_is_one_json_document(shelf: Shelf, grown: dict[str, np.ndarray], tmp_path: Path) -> None:
    state = shelf.searcher().state()
    target = tmp_path / "out" / "neighbors.json"
    told: list[int] = []
    assert write_neighbors(target, NAME, state, 2, progress=told.append) == 58
    document = json.loads(target.read_text("utf-8"))
    assert sum(told) == document["count"] == len(document["items"]) == 58
    assert document["collection"] == NAME
    assert document["snapshot"] == state.snapshot.manifest.id
    first = next(iter_neighbors(state, 2))
    assert document["items"][0]["id"] == first.id
    assert document["items"][0]["neighbors"][0] == {
        "id": first.neighbors[0].id,
        "product_id": first.neighbors[0].product_id,
        "score": first.neighbors[0].score,
        "distance": first.neighbors[0].distance,
        "confidence": first.neighbors[0].confidence,
    }
    assert [file.name for file in target.parent.iterdir()] == ["neighbors.json"]


def test_a_file_that_is_cut_off_never_takes_its_place(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(["one", "two", "three"], unit_vectors(3, DIMENSION))
    target = tmp_path / "neighbors.json"
    target.write_text("the one before")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_neighbors(target, NAME, shelf.searcher().state(), 2, progress=stop)
    assert target.read_text() == "the one before"
    assert not list(tmp_path.glob("*.part"))


def test_memory_does_not_grow_with_the_answers(
    tmp_path: Path, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times the items cost some bytes each while one is looked for; kept answers cost thousands."""
    monkeypatch.setattr("lookalike.neighbors.REMEMBERED", 100)  # both collections are larger than that
    peaks = {}
    for count in (150, 600):
        store = Store(str(tmp_path / f"{count}" / "artifacts"))
        shelf = Shelf.create(store, tmp_path / f"{count}", tiny_encoder_folder, engine="annoy")
        shelf.put([f"{row:05}" for row in range(count)], unit_vectors(count, DIMENSION))
        shelf.build()
        state = shelf.searcher().state()
        next(iter_neighbors(state, 20))  # whatever is made once is made now
        tracemalloc.start()
        try:
            assert write_neighbors(tmp_path / "out.json", NAME, state, 20) == count
            peaks[count] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peaks[600] - peaks[150] < 450 * 500, peaks
