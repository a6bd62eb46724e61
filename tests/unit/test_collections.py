from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lookalike.collection_config import CollectionConfig, Collections
from lookalike.errors import CollectionNotFound, Conflict, Incompatible, InvalidInput
from lookalike.layout import check_collection_name
from lookalike.storage import Store


@pytest.fixture
def artifacts(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def collections(artifacts: Store) -> Collections:
    return Collections(artifacts)


def test_a_collection_is_read_as_it_was_created(collections: Collections) -> None:
    given = CollectionConfig(
        "fashion", "lite0-abc", metric="l1", engine="exact", n_trees=7, search_k=99, recall_target=0.9
    )
    collections.create(given)
    found = collections.get("fashion")
    assert found.created_at.endswith("+00:00")
    assert {**found.to_json(), "created_at": ""} == given.to_json()


def test_a_second_creation_conflicts_and_changes_nothing(collections: Collections) -> None:
    collections.create(CollectionConfig("fashion", "first"))
    with pytest.raises(Conflict, match="fashion"):
        collections.create(CollectionConfig("fashion", "second"))
    assert collections.get("fashion").encoder_id == "first"


@pytest.mark.parametrize("name", ["a", "0", "a-b-", "x" * 63])
def test_names_within_the_rule(name: str) -> None:
    check_collection_name(name)


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a/b", "..", "ä", "a\n", "x" * 64])
def test_names_outside_the_rule(collections: Collections, name: str) -> None:
    with pytest.raises(InvalidInput):
        CollectionConfig(name, "encoder")
    with pytest.raises(CollectionNotFound):
        collections.get(name)


@pytest.mark.parametrize(
    "change",
    [
        {"encoder_id": ""},
        {"metric": "dot"},
        {"engine": "hnsw"},
        {"recall_target": 0},
        {"recall_target": 1.01},
        {"n_trees": 0},
        {"dimensions": -1},
        {"search_k": -5},
    ],
)
def test_values_that_cannot_be_used(collections: Collections, change: dict[str, object]) -> None:
    collections.create(CollectionConfig("food", "encoder"))
    before = collections.get("food")
    with pytest.raises(InvalidInput):
        collections.update("food", **change)
    assert collections.get("food") == before


def test_an_unknown_collection_is_named_with_its_neighbours(collections: Collections) -> None:
    with pytest.raises(CollectionNotFound, match="There are no collections yet"):
        collections.get("fashion")
    for name in ("fashion", "food"):
        collections.create(CollectionConfig(name, "encoder"))
    with pytest.raises(CollectionNotFound, match=r"'fasion'.*Did you mean fashion\?"):
        collections.get("fasion")


def test_names_are_those_of_complete_collections(collections: Collections, artifacts: Store) -> None:
    assert collections.names() == []
    for name in ("things", "food"):
        collections.create(CollectionConfig(name, "encoder"))
    artifacts.put("collections/half-made/items.lance/data", b"")
    artifacts.put("collections/Not A Name/collection.json", b"{}")
    assert collections.names() == ["food", "things"]


def test_an_update_changes_what_it_names(collections: Collections) -> None:
    collections.create(CollectionConfig("food", "old", n_trees=5))
    updated = collections.update("food", encoder_id="new", metric="l2")
    assert updated == collections.get("food")
    assert (updated.encoder_id, updated.metric, updated.n_trees) == ("new", "l2", 5)
    with pytest.raises(CollectionNotFound):
        collections.update("absent", metric="l2")


def test_racing_updates_of_different_fields_all_count(collections: Collections) -> None:
    collections.create(CollectionConfig("food", "old"))
    changes = [{"n_trees": 11}, {"search_k": 22}, {"encoder_id": "new"}, {"metric": "l1"}]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda change: collections.update("food", **change), changes))
    found = collections.get("food")
    assert (found.n_trees, found.search_k, found.encoder_id, found.metric) == (11, 22, "new", "l1")


def test_a_deleted_collection_leaves_nothing(collections: Collections, artifacts: Store) -> None:
    collections.create(CollectionConfig("food", "encoder"))
    collections.create(CollectionConfig("foods", "encoder"))
    artifacts.put("collections/food/items.lance/_versions/1.manifest", b"")
    artifacts.put("collections/food/snapshots/1/index.ann", b"")
    collections.delete("food")
    left = [info.path for info in artifacts.list()]
    assert left == ["collections/foods/changed", "collections/foods/collection.json"]
    assert collections.names() == ["foods"]
    with pytest.raises(CollectionNotFound):
        collections.delete("food")


def test_a_file_of_another_format_is_refused(collections: Collections, artifacts: Store) -> None:
    data = {**CollectionConfig("food", "encoder").to_json(), "format": 2}
    artifacts.put("collections/food/collection.json", json.dumps(data).encode())
    with pytest.raises(Incompatible, match="got 2; expected 1"):
        collections.get("food")
