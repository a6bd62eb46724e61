"""Search by words over every store, in a search space too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.shelf import NAME, Shelf
from fixtures.worded import concept, stocked

from lookalike.search import Query, QueryPart, Searcher
from lookalike.storage import Store
from lookalike.text_search.text_index import TEXT_FILE


def found(searcher: Searcher, text: str, **options: object) -> list[str]:
    query = Query((QueryPart("text", text),), **options)  # type: ignore[arg-type]
    return [match.item.id for match in searcher.search(query).matches]


@pytest.mark.parametrize("dimensions", [None, 12])
def test_words_and_meaning_in_snapshot_and_delta(
    store: Store, tmp_path: Path, tiny_encoder_folder: Path, dimensions: int | None
) -> None:
    shelf = Shelf.create(store, tmp_path / "work", tiny_encoder_folder, dimensions=dimensions)
    kinds = stocked(shelf)
    manifest = shelf.build()
    assert (manifest.space is None) == (dimensions is None)
    searcher = shelf.searcher()
    assert {kinds[item_id] for item_id in found(searcher, "red shoe", limit=3)} == {("red", "shoe")}
    assert {kinds[item_id] for item_id in found(searcher, "red shoe", mode="meaning", limit=3)} == {
        ("red", "shoe")
    }
    shelf.put(["new.jpg", "plain.jpg"], np.array([concept("red", "hat"), concept("green", "belt")]))
    shelf.describe({"new.jpg": {"title": "Zebra hat"}})
    searcher.refresh(force=True)
    assert found(searcher, "zebra", mode="words") == ["new.jpg"]
    assert "plain.jpg" in found(searcher, "green belt", mode="meaning", limit=12)


def test_a_damaged_copy_of_words_is_downloaded_again(
    s3_store: Store, tmp_path: Path, tiny_encoder_folder: Path
) -> None:
    shelf = Shelf.create(s3_store, tmp_path / "work", tiny_encoder_folder)
    shelf.put(["a.jpg"], concept("red", "hat")[None])
    shelf.describe({"a.jpg": {"title": "red hat"}})
    manifest = shelf.build()
    assert found(shelf.searcher(), "red") == ["a.jpg"]
    copy = shelf.work / "cache" / "snapshots" / NAME / manifest.id / TEXT_FILE
    copy.write_bytes(copy.read_bytes()[:-1] + b"?")
    assert found(shelf.searcher(), "red") == ["a.jpg"]
