"""Decisions about duplicates: stored for ever, changed by several writers, and never offered again."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from lookalike.duplicates import Decision, Decisions, DuplicateDecisions
from lookalike.duplicates.groups import linked_groups, star_groups
from lookalike.errors import Incompatible, InvalidInput
from lookalike.storage import Store


@pytest.fixture
def artifacts(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "artifacts"))


def test_a_decision_is_about_all_pairs_or_about_each_with_the_others(artifacts: Store) -> None:
    stored = DuplicateDecisions(artifacts, "shop")
    assert stored.read() == Decisions()
    stored.add("not_duplicates", ["c", "a", "b"])
    stored.add("keep_all", ["z"], ["x", "y"])
    known = DuplicateDecisions(artifacts, "shop").read()
    assert known.pairs() == {("a", "b"), ("a", "c"), ("b", "c"), ("x", "z"), ("y", "z")}
    assert [entry.kind for entry in known.entries] == ["not_duplicates", "keep_all"]
    assert all(entry.at for entry in known.entries)
    assert DuplicateDecisions(artifacts, "other").read() == Decisions()


def test_a_decision_made_twice_is_stored_once(artifacts: Store) -> None:
    stored = DuplicateDecisions(artifacts, "shop")
    stored.add("keep_all", ["a", "b"])
    assert len(stored.add("keep_all", ["b", "a"]).entries) == 1


def test_forgetting_a_pair_leaves_the_others_decided(artifacts: Store) -> None:
    stored = DuplicateDecisions(artifacts, "shop")
    stored.add("not_duplicates", ["a", "b", "c"])
    assert stored.remove(["c", "a"]).pairs() == {("a", "b"), ("b", "c")}
    assert DuplicateDecisions(artifacts, "shop").read().pairs() == {("a", "b"), ("b", "c")}


@pytest.mark.parametrize(
    ("ids", "others"), [([], []), (["a"], []), (["a", "a"], []), (["a"], ["a"]), (["/x", "b"], [])]
)
def test_a_decision_about_no_pair_is_refused(artifacts: Store, ids: list[str], others: list[str]) -> None:
    with pytest.raises(InvalidInput):
        DuplicateDecisions(artifacts, "shop").add("keep_all", ids, others)
    assert DuplicateDecisions(artifacts, "shop").read() == Decisions()


def test_writers_at_the_same_time_lose_no_decision(artifacts: Store) -> None:
    def write(number: int) -> None:
        DuplicateDecisions(artifacts, "shop").add("keep_all", [f"{number}-a", f"{number}-b"])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(DuplicateDecisions(artifacts, "shop").read().entries) == 6


GOOD = json.loads(Decisions((Decision("keep_all", ("a", "b"), at="2024"),)).dump())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        json.dumps(GOOD | {"format": 9}).encode(),
        json.dumps(GOOD | {"decisions": [1]}).encode(),
        json.dumps(GOOD | {"decisions": [GOOD["decisions"][0] | {"kind": "no"}]}).encode(),
        json.dumps(GOOD | {"decisions": [GOOD["decisions"][0] | {"ids": "ab"}]}).encode(),
        json.dumps(GOOD | {"decisions": [GOOD["decisions"][0] | {"ids": [1]}]}).encode(),
    ],
)
def test_a_damaged_file_is_reported_as_such(artifacts: Store, document: bytes) -> None:
    artifacts.put("collections/shop/duplicates.json", document)
    with pytest.raises(Incompatible, match=r"duplicates\.json"):
        DuplicateDecisions(artifacts, "shop").read()


def test_one_wrong_link_does_not_merge_two_groups() -> None:
    pairs = {(0, 1), (0, 2), (3, 4), (3, 5), (2, 3)}
    assert star_groups(pairs, set(), sorted) == [[0, 1, 2], [3, 4, 5]]
    assert linked_groups(pairs, set(), sorted) == [[0, 1, 2, 3, 4, 5]]


def test_no_group_has_a_decided_pair() -> None:
    pairs = {(0, 1), (0, 2), (1, 2)}
    assert star_groups(pairs, {(1, 2)}, sorted) == [[0, 1]]
    assert linked_groups(pairs, {(0, 1)}, sorted) == [[0, 2]]
    assert star_groups({(0, 1)}, {(0, 1)}, sorted) == []
