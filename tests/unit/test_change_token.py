"""The object that tells readers whether a collection changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.shelf import NAME, Shelf, unit_vectors

from lookalike import change_token
from lookalike.api.keys import Keys
from lookalike.change_token import ChangeTokens, token_path
from lookalike.collection_config import CollectionConfig, Collections
from lookalike.storage import Store

D = 16


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf.create(Store(str(tmp_path / "artifacts")), tmp_path, "encoder", dimension=D)


def rows(shelf: Shelf) -> None:
    shelf.put(["a", "b"], unit_vectors(2, D))


CHANGES: dict[str, Callable[[Shelf], object]] = {
    "rows": rows,
    "removal": lambda shelf: shelf.remove(["a"]),
    "metadata": lambda shelf: shelf.describe({"a": {"category": "hat"}}),
    "vectors": lambda shelf: shelf.catalogue.put_vectors(["a"], ["ff"], ["0"], np.ones((1, D), np.float32)),
    "snapshot": lambda shelf: shelf.build(force=True),
    "configuration": lambda shelf: Collections(shelf.artifacts).update(NAME, engine="exact"),
    "key": lambda shelf: Keys(shelf.artifacts).create("another"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_has_a_new_token(shelf: Shelf, change: str) -> None:
    rows(shelf)
    tokens = ChangeTokens(shelf.artifacts)
    before = tokens.look(NAME, max_age=0)
    assert before.is_unchanged(tokens.look(NAME, max_age=0))
    CHANGES[change](shelf)
    assert not before.is_unchanged(tokens.look(NAME, max_age=0))


def test_what_belongs_together_is_one_change(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = Store.put

    def noted(store: Store, path: str, data: bytes | Path) -> str:
        written.append(path)
        return put(store, path, data)

    monkeypatch.setattr(Store, "put", noted)
    catalogue = shelf.catalogue
    with catalogue.one_change():
        catalogue.put_vectors(["a"], ["01"], ["0"], unit_vectors(1, D))
        catalogue.put_metadata("m.jsonl", "01", None)
        assert token_path(NAME) not in written
    assert written.count(token_path(NAME)) == 1
    with catalogue.one_change():
        pass
    assert written.count(token_path(NAME)) == 1


def test_an_error_within_a_change_reports_what_was_committed_before(shelf: Shelf) -> None:
    tokens = ChangeTokens(shelf.artifacts)
    before = tokens.look(NAME, max_age=0)
    catalogue = shelf.catalogue
    with suppress(ZeroDivisionError), catalogue.one_change():
        catalogue.put_vectors(["a"], ["01"], ["0"], unit_vectors(1, D))
        _ = 1 / 0
    assert not before.is_unchanged(tokens.look(NAME, max_age=0))


def test_a_missing_token_never_says_that_nothing_changed(shelf: Shelf) -> None:
    shelf.artifacts.delete(token_path(NAME))
    tokens = ChangeTokens(shelf.artifacts)
    before = tokens.look(NAME, max_age=0)
    assert not before.is_unchanged(tokens.look(NAME, max_age=0))


def test_after_a_while_everything_is_looked_at(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = ChangeTokens(shelf.artifacts)
    before = tokens.look(NAME, max_age=0)
    later = replace(before, at=before.at + 59.0)
    assert before.is_unchanged(later)
    assert not before.is_unchanged(replace(before, at=before.at + 60.0))


def test_within_the_age_the_store_is_not_asked(shelf: Shelf) -> None:
    tokens = ChangeTokens(shelf.artifacts)
    first = tokens.look(NAME, max_age=0)
    rows(shelf)
    assert tokens.look(NAME, max_age=3_600) is first
    time.sleep(0.01)
    assert tokens.look(NAME, max_age=0.005).token != first.token


def test_a_change_is_made_though_its_token_cannot_be_written(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    path = shelf.artifacts.local_path(token_path(NAME))
    assert path is not None
    path.unlink()
    path.mkdir()  # a file cannot replace it
    (path / "x").touch()
    rows(shelf)
    assert set(shelf.catalogue.known()) == {"a", "b"}
    assert "see the change late" in caplog.text


def test_names_that_no_collection_has_are_not_read(tmp_path: Path) -> None:
    tokens = ChangeTokens(Store(str(tmp_path)))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "changed").touch()
    for name in ("../secret", "", "a/b", "A"):
        assert tokens.look(name, max_age=0).token is None


def test_many_names_do_not_fill_the_memory(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    Collections(store).create(CollectionConfig("shop", "encoder"))
    tokens = ChangeTokens(store)
    for number in range(change_token.MAX_KNOWN + 10):
        tokens.look(f"name{number}", max_age=3_600)
    assert len(tokens._known) == change_token.MAX_KNOWN
    assert tokens.look("shop", max_age=0).token is not None
