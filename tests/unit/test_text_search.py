"""Search by words: what a user finds, with titles, without them, misspelt, filtered, and just uploaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.shelf import NAME, Shelf
from fixtures.worded import COLOURS, COUNT, KINDS, concept, stocked

from lookalike.errors import Damaged, InvalidInput
from lookalike.filters import parse_filter
from lookalike.search import Query, QueryPart, Searcher, SearchResult
from lookalike.snapshots import build_text, current, snapshot_folder
from lookalike.storage import Store
from lookalike.text_search import word_vectors as table_module
from lookalike.text_search.text_index import TEXT_FILE


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path
) -> tuple[Searcher, dict[str, tuple[str, str]]]:
    """The collection after a build. Tests only read it."""
    folder = tmp_path_factory.mktemp("shop")
    shelf = Shelf.create(Store(str(folder / "store")), folder / "work", tiny_encoder_folder)
    kinds = stocked(shelf)
    shelf.build()
    return shelf.searcher(), kinds


@pytest.fixture
def shelf(tmp_path: Path, tiny_encoder_folder: Path) -> Shelf:
    return Shelf.create(Store(str(tmp_path / "store")), tmp_path / "work", tiny_encoder_folder)


def words(*texts: str, **options: object) -> Query:
    return Query(tuple(QueryPart("text", text) for text in texts), **options)  # type: ignore[arg-type]


def ids(result: SearchResult) -> list[str]:
    return [match.item.id for match in result.matches]


def share(result: SearchResult, kinds: dict[str, tuple[str, str]], wanted: str) -> float:
    return float(np.mean([wanted in kinds[item_id] for item_id in ids(result)]))


Shop = tuple[Searcher, dict[str, tuple[str, str]]]


def test_words_find_the_items_that_have_them(shop: Shop) -> None:
    searcher, kinds = shop
    right = {item_id for item_id, named in kinds.items() if named == ("red", "shoe")}
    result = searcher.search(words("red shoe", limit=len(right)))
    assert set(ids(result)) == right
    assert result.text is not None
    assert result.text.by == "words and meaning"
    assert [(one.word, one.read_as) for one in result.text.words] == [("red", "red"), ("shoe", "shoe")]
    scores = [match.score for match in result.matches]
    assert scores == sorted(scores, reverse=True)
    assert all(match.distance == pytest.approx(1 - match.score, abs=1e-6) for match in result.matches)


def test_items_without_a_title_are_found_by_their_images(shop: Shop) -> None:
    searcher, kinds = shop
    untitled = [item_id for number, item_id in enumerate(kinds) if number % 5 == 0]
    for item_id in untitled[:10]:
        result = searcher.search(words(" ".join(kinds[item_id]), mode="meaning", limit=COUNT))
        best = next(other for other in ids(result) if other in untitled)
        assert kinds[best] == kinds[item_id]


def test_misspelt_words_are_mended_and_said(shop: Shop) -> None:
    searcher, kinds = shop
    result = searcher.search(words("yelow jaket", limit=3))
    assert result.text is not None
    assert [one.read_as for one in result.text.words] == ["yellow", "jacket"]
    assert share(result, kinds, "yellow") == share(result, kinds, "jacket") == 1


def test_unknown_words_are_said(shop: Shop) -> None:
    searcher, _ = shop
    result = searcher.search(words("qqqqq", mode="words"))
    assert result.text is not None
    assert result.text.words[0].read_as is None
    assert ids(result) == []


@pytest.mark.parametrize("mode", ["auto", "words", "meaning"])
def test_filters_groups_and_pages_are_those_of_a_full_list(shop: Shop, mode: str) -> None:
    searcher, _ = shop
    everything = searcher.search(words("brown shirt", mode=mode, limit=COUNT))
    kept = parse_filter({"price": {"lt": 150}})
    cheap = [match for match in everything.matches if match.item.attributes["price"] < 150]
    assert ids(searcher.search(words("brown shirt", mode=mode, limit=COUNT, filter=kept))) == [
        match.item.id for match in cheap
    ]
    assert ids(searcher.search(words("brown shirt", mode=mode, limit=7, offset=4))) == ids(everything)[4:11]
    best = {match.item.category: match.item.id for match in reversed(everything.matches)}
    grouped = searcher.search(words("brown shirt", mode=mode, limit=COUNT, group_by="category"))
    assert set(ids(grouped)) == set(best.values())


def test_confidence_of_words(shop: Shop) -> None:
    searcher, kinds = shop
    result = searcher.search(words("violet scarf", limit=COUNT))
    assert result.confidence_reason is None
    right = [match.confidence for match in result.matches if kinds[match.item.id][1] == "scarf"]
    wrong = [match.confidence for match in result.matches if kinds[match.item.id][1] != "scarf"]
    assert np.mean(right[:20]) > 0.6 > 2 * np.mean(wrong)  # type: ignore[arg-type]
    assert result.category_estimate[0].category == "scarf"
    least = searcher.search(words("violet scarf", limit=COUNT, min_confidence=0.5))
    assert set(ids(least)) == {match.item.id for match in result.matches if match.confidence >= 0.5}  # type: ignore[operator]
    ranked = searcher.search(words("violet scarf", limit=30, rank_by="confidence"))
    confidences = [match.confidence for match in ranked.matches]
    assert confidences == sorted(confidences, reverse=True)  # type: ignore[type-var]


def test_confidence_of_words_is_calibrated(shop: Shop) -> None:
    searcher, kinds = shop
    said, true = [], []
    for colour in COLOURS:
        for kind in KINDS:
            for match in searcher.search(words(f"{colour} {kind}", limit=20)).matches:
                said.append(match.confidence)
                true.append(kinds[match.item.id][1] == kind)
    assert abs(np.mean(said) - np.mean(true)) < 0.1
    sure = np.array(said) > 0.8
    assert np.mean(np.array(true)[sure]) > 0.9


def test_an_image_and_a_word(shop: Shop) -> None:
    searcher, kinds = shop
    shoe = next(
        item_id for number, item_id in enumerate(kinds) if kinds[item_id] == ("red", "shoe") and number % 5
    )
    alone = searcher.search(Query((QueryPart("id", shoe),), limit=10))
    blue = searcher.search(Query((QueryPart("id", shoe), QueryPart("text", "blue")), limit=10))
    assert share(blue, kinds, "blue") >= max(0.5, 3 * share(alone, kinds, "blue"))
    assert share(blue, kinds, "shoe") >= 0.7 * share(alone, kinds, "shoe")
    assert blue.confidence_reason == "confidence is not known for images and words together"
    assert all(match.confidence is None for match in blue.matches)


def test_less_of_a_word(shop: Shop) -> None:
    searcher, kinds = shop
    plain = searcher.search(words("shoe", mode="meaning", limit=10))
    parts = (QueryPart("text", "shoe"), QueryPart("text", "red", -1.0))
    without = searcher.search(Query(parts, limit=10))
    assert share(without, kinds, "red") <= share(plain, kinds, "red")
    assert share(without, kinds, "red") == 0
    assert share(without, kinds, "shoe") > 0.5


def test_parts_that_cancel_out(shop: Shop) -> None:
    with pytest.raises(InvalidInput, match="query vector is zero"):
        shop[0].search(Query((QueryPart("text", "red"), QueryPart("text", "red", -1.0))))


def test_min_confidence_of_a_mix_is_refused(shop: Shop) -> None:
    with pytest.raises(InvalidInput, match="images and words together"):
        shop[0].search(Query((QueryPart("id", "001.jpg"), QueryPart("text", "red")), min_confidence=0.5))


def test_the_text_of_a_query_may_be_anything(shop: Shop) -> None:
    for text in ("<b>red</b> &amp; shoe", "红色 鞋子", "حذاء أحمر", "red " * 5_000, "!!!", "a"):
        shop[0].search(words(text))


# While items change


def test_words_of_new_changed_and_removed_items(shelf: Shelf) -> None:
    stocked(shelf)
    shelf.build()
    searcher = shelf.searcher()
    assert ids(searcher.search(words("zebra", mode="words"))) == []
    shelf.put(["new.jpg", "plain.jpg"], np.array([concept("red", "hat"), concept("green", "belt")]))
    shelf.describe({"new.jpg": {"title": "Zebra hat"}, "001.jpg": {"title": "Zebra belt"}})
    searcher.refresh(force=True)
    result = searcher.search(words("zebra", mode="words"))
    assert set(ids(result)) == {"new.jpg", "001.jpg"}
    assert result.text is not None
    assert result.text.words[0].read_as == "zebra"
    # Its old title is forgotten.
    assert "001.jpg" not in ids(searcher.search(words("number1", mode="words")))
    # Without a title: by its image, in the delta too.
    assert "plain.jpg" in ids(searcher.search(words("green belt", limit=12)))
    shelf.remove(["new.jpg"])
    searcher.refresh(force=True)
    assert ids(searcher.search(words("zebra", mode="words"))) == ["001.jpg"]
    shelf.build()
    searcher.refresh(force=True)
    assert ids(searcher.search(words("zebra", mode="words"))) == ["001.jpg"]


def test_words_work_before_the_first_index(shelf: Shelf) -> None:
    shelf.put(["a.jpg", "b.jpg"], np.eye(16, dtype=np.float32)[:2])
    shelf.describe({"a.jpg": {"title": "red shoe"}, "b.jpg": {"title": "blue hat"}})
    result = shelf.searcher().search(words("red sheo"))
    assert ids(result) == ["a.jpg"]
    assert result.text is not None
    assert result.text.by == "words"
    assert "no index yet" in str(result.text.note)


def test_too_few_titles_leave_words(shelf: Shelf) -> None:
    shelf.put(["a.jpg", "b.jpg"], np.eye(16, dtype=np.float32)[:2])
    shelf.describe({"a.jpg": {"title": "red shoe"}, "b.jpg": {"title": "blue hat"}})
    manifest = shelf.build()
    assert manifest.text is not None
    assert manifest.text.images_file is None
    searcher = shelf.searcher()
    result = searcher.search(words("red"))
    assert ids(result) == ["a.jpg"]
    assert "there are 2 and 2" in str(result.text and result.text.note)
    with pytest.raises(InvalidInput, match="there are 2 and 2"):
        searcher.search(words("red", mode="meaning"))
    with pytest.raises(InvalidInput, match="min_confidence is not available"):
        searcher.search(words("red", min_confidence=0.5))


def test_a_collection_without_words(shelf: Shelf) -> None:
    shelf.put(["a.jpg"], np.eye(16, dtype=np.float32)[:1])
    assert shelf.build().text is None
    result = shelf.searcher().search(words("red"))
    assert ids(result) == []
    assert "no item has words" in str(result.text and result.text.note)


def test_a_snapshot_of_an_earlier_version_says_what_to_do(shelf: Shelf) -> None:
    stocked(shelf)
    manifest = shelf.build()
    path = f"{snapshot_folder(NAME, manifest.id)}/snapshot.json"
    older = json.loads(shelf.artifacts.get(path).data)
    for name in ("text", "text_confidence", "text_confidence_reason", "checksum"):
        older.pop(name, None)
    shelf.artifacts.put(path, json.dumps(older).encode())
    result = shelf.searcher().search(words("red"))
    assert "earlier version" in str(result.text and result.text.note)
    # The next build is not taken for the same.
    assert shelf.build().id != manifest.id


def test_damaged_words_stop_words_only(shelf: Shelf) -> None:
    stocked(shelf)
    manifest = shelf.build()
    path = shelf.artifacts.local_path(f"{snapshot_folder(NAME, manifest.id)}/{TEXT_FILE}")
    assert path is not None
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    searcher = shelf.searcher()
    assert ids(searcher.search(Query((QueryPart("id", "001.jpg"),))))
    with pytest.raises(Damaged):
        searcher.search(words("red"))


def test_without_its_table_of_words_an_index_finds_by_words(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    stocked(shelf)
    manifest = shelf.build()
    assert manifest.text is not None
    assert manifest.text.table_id is not None
    monkeypatch.setattr(table_module, "PACKAGE", "wordllama_is_not_here")
    for cached in (table_module.word_vectors, table_module.word_vectors_id):
        cached.cache_clear()
    try:
        result = shelf.searcher().search(words("red shoe", limit=3))
        assert len(result.matches) == 3
        assert "lookalike[text]" in str(result.text and result.text.note)
        # A build without the table makes a bridge of letters alone.
        again = shelf.build(force=True)
        assert again.text is not None
        assert again.text.table_id is None
        assert again.text.images_file is not None
        by_letters = shelf.searcher().search(words("red shoe", mode="meaning", limit=3))
        assert len(by_letters.matches) == 3
    finally:
        for cached in (table_module.word_vectors, table_module.word_vectors_id):
            cached.cache_clear()


def test_a_build_makes_the_same_words_again(shelf: Shelf) -> None:
    stocked(shelf)
    first, second = shelf.build(), shelf.build(force=True)
    assert first.text == replace(second.text) if second.text else False
    serving = current(shelf.artifacts, NAME)
    assert serving is not None
    assert {name: first.hashes[name] for name in first.side_files} == {
        name: serving.hashes[name] for name in serving.side_files
    }


def test_what_was_learned_is_kept_until_the_collection_has_grown(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_text, "KEPT_FROM", 100)
    stocked(shelf)
    first = shelf.build()
    shelf.put(["new.jpg"], concept("red", "hat")[None])
    shelf.describe({"new.jpg": {"title": "red zebra"}})
    second = shelf.build()
    assert first.text is not None
    assert second.text is not None
    assert second.text.fitted_on == first.text.fitted_on == COUNT
    assert second.text.items == COUNT + 1
    assert second.text.quality == first.text.quality
    assert second.text_confidence == first.text_confidence
    searcher = shelf.searcher()
    assert ids(searcher.search(words("zebra", mode="words"))) == ["new.jpg"]
    assert "new.jpg" in ids(searcher.search(words("red hat", mode="meaning", limit=20)))
    many = [f"more{number}.jpg" for number in range(100)]
    shelf.put(many, np.array([concept("blue", "hat")] * 100))
    shelf.describe({item_id: {"title": "blue hat"} for item_id in many})
    third = shelf.build()
    assert third.text is not None
    assert third.text.fitted_on == COUNT + 101
