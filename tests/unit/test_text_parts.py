"""The parts of a search by words, each against something simpler."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lookalike.text_search.bridge import Bridge, Moments, units
from lookalike.text_search.fit_bridge import fit_bridge
from lookalike.text_search.fusion import UNTITLED, fused, squeezed
from lookalike.text_search.inverted_index import InvertedIndex, trigrams
from lookalike.text_search.item_text import ItemText
from lookalike.text_search.sparse_rows import SparseRows, right_singular_vectors
from lookalike.text_search.spelling import nearest_word
from lookalike.text_search.text_encoder import TextEncoder, fit_text_encoder, normal_text
from lookalike.text_search.word_pieces import WordPieces
from lookalike.text_search.word_vectors import read_table, word_vectors
from lookalike.types import Item

TEXTS = [{"red": 1.0, "shoe": 1.0}, {"red": 2.0, "dress": 1.0, "long": 1.0}, {}, {"blue": 1.0, "shoe": 1.0}]


# Words


@pytest.mark.parametrize(
    ("text", "ids"),
    [  # as the library `tokenizers` 0.22 splits them
        ("red trainers", [2654, 7945, 414]),
        ("żółty 鞋 👟", [13918, 8166, 1017, 29871, 236, 161, 142, 29871, 243, 162, 148, 162]),
        ("", []),
    ],
)
def test_a_text_is_split_as_the_table_of_words_was_made(text: str, ids: list[int]) -> None:
    table = word_vectors()
    assert table is not None
    assert table.pieces.ids(text) == ids


def test_pieces_are_joined_in_the_order_of_the_merges(tmp_path: Path) -> None:
    vocabulary = {
        piece: number for number, piece in enumerate(["▁", "a", "b", "ab", "▁ab", "<0xC3>", "<0xA9>"])
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"vocab": vocabulary, "merges": ["a b", ["▁", "ab"]]}}))
    pieces = WordPieces.read(path)
    assert pieces.ids("ab abb é") == [4, 4, 2, 0, 5, 6]
    assert pieces.is_word("ab")
    assert not pieces.is_word("b")


def test_the_table_is_read_where_it_lies(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype=np.float16).reshape(4, 3)
    head = json.dumps({"w": {"dtype": "F16", "shape": [4, 3], "data_offsets": [0, 24]}}).encode()
    path = tmp_path / "table.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + numbers.tobytes())
    table = read_table(path)
    assert isinstance(table, np.memmap)
    assert np.array_equal(table, numbers)


def test_like_words_are_near_in_the_table() -> None:
    table = word_vectors()
    assert table is not None
    shoe, boot, invoice = table.encode_all(["shoe", "boot", "invoice"])
    assert shoe @ boot > shoe @ invoice + 0.2
    assert not table.encode("").any()


@pytest.mark.parametrize(
    ("item", "title", "short", "further"),
    [
        (Item("a"), "", "", ""),
        (Item("a", title="<b>Red</b> shoe &amp; box"), "Red shoe & box", "Red shoe & box", ""),
        (Item("a", category="shoes"), "shoes", "shoes", ""),
        (
            Item("a", title="Shoe", category="shoes", product_id="sku-17", attributes={"colour": "red"}),
            "Shoe",
            "Shoe shoes red",
            "sku-17",
        ),
        (
            Item("a", title="Shoe", attributes={"url": "https://x.test/a", "photo": "in/a.jpg", "n": 5}),
            "Shoe",
            "Shoe",
            "",
        ),
        (
            Item("a", category="cup", attributes={"code": "1f34e", "about": "a very long story of one shoe"}),
            "a very long story of one shoe",
            "a very long story of one shoe cup",
            "1f34e",
        ),
        (Item("a", title="红色 鞋", attributes={"split": "test"}), "红色 鞋", "红色 鞋", ""),
    ],
)
def test_what_describes_an_item(item: Item, title: str, short: str, further: str) -> None:
    text = ItemText.of(item)
    assert (text.title, text.short) == (title, short)
    assert sorted(text.further.split()) == sorted(further.split())


def test_a_title_of_ten_thousand_words_is_cut() -> None:
    text = ItemText.of(Item("a", title=" ".join(f"word{number}" for number in range(10_000))))
    assert 100 < len(text.terms()) < 1_000
    assert len(normal_text(text.short).split()) == 64


def test_words_of_the_title_count_more_than_others() -> None:
    terms = ItemText.of(Item("a", title="Red shoe", category="shoe", attributes={"colour": "red"})).terms()
    assert terms == {"red": 1.5, "shoe": 1.5}
    assert ItemText.of(Item("a", title="Red", category="shoe")).terms() == {"red": 1, "shoe": 0.5}


# The inverted index


def bm25(texts: list[dict[str, float]], query: dict[str, float]) -> list[float]:
    """Robertson & Zaragoza 2009 by hand, divided by what the query's words could say."""
    filled = [text for text in texts if text]
    mean = sum(sum(text.values()) for text in filled) / len(filled)

    def rarity(term: str) -> float:
        count = sum(term in text for text in texts)
        if not count:
            return max(rarity(known) for text in texts for known in text)
        return math.log(1 + (len(filled) - count + 0.5) / (count + 0.5))

    def says(text: dict[str, float], term: str) -> float:
        often = text.get(term, 0.0)
        return often * 2.2 / (often + 1.2 * (0.25 + 0.75 * sum(text.values()) / mean))

    whole = sum(weight * rarity(term) for term, weight in query.items())
    return [
        sum(weight * rarity(term) * says(text, term) for term, weight in query.items()) / whole
        for text in texts
    ]


@pytest.mark.parametrize(
    "query", [{"red": 1.0}, {"red": 1.0, "shoe": 2.0}, {"red": 1.0, "unknown": 1.0}, {"x": 1.0}]
)
def test_scores_are_those_of_the_formula(query: dict[str, float]) -> None:
    index = InvertedIndex.build(TEXTS)
    assert index.scores(query) == pytest.approx(bm25(TEXTS, query), abs=1e-6)


def test_an_index_is_the_same_after_it_was_stored() -> None:
    index = InvertedIndex.build(TEXTS)
    read = InvertedIndex.of(index.arrays("a"), "a")
    assert read.terms == index.terms
    assert read.scores({"red": 1.0}) == pytest.approx(index.scores({"red": 1.0}), abs=1e-3)
    empty = InvertedIndex.build([{}, {}])
    assert InvertedIndex.of(empty.arrays("a"), "a").scores({"red": 1.0}).tolist() == [0, 0]


def test_newer_items_are_scored_as_if_they_were_in_the_index() -> None:
    index = InvertedIndex.build(TEXTS)
    newer = InvertedIndex.build([TEXTS[3]], like=index)
    query = {"shoe": 1.0, "blue": 1.0}
    assert newer.scores(query, like=index)[0] == pytest.approx(index.scores(query)[3])


def test_letters_of_a_word() -> None:
    assert trigrams(["red"]) == {"^re": 1, "red": 1, "ed$": 1}
    assert trigrams(["a"]) == {"^a$": 1}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("shoos", "shoes"),
        ("sheos", "shoes"),  # two letters swapped
        ("shirst", "shirts"),
        ("tshirt", "t-shirt"),
        ("turtleneks", "turtlenecks"),
        ("turtlanekcs", "turtlenecks"),  # two mistakes in a long word
        ("shxxs", None),
        ("red", None),  # too short to be read otherwise
        ("12345", None),
        ("wwww", None),
    ],
)
def test_misspelt_words_are_read_as_the_nearest(word: str, meant: str | None) -> None:
    counts = {"shoes": 9, "shoe": 2, "shirts": 5, "t-shirt": 3, "turtlenecks": 1, "rod": 4, "12346": 1}
    assert nearest_word(word, sorted(counts), lambda one: counts[one]) == meant


def test_of_equally_near_words_the_more_frequent_is_meant() -> None:
    counts = {"boots": 1, "books": 9}
    assert nearest_word("booxs", sorted(counts), lambda one: counts[one]) == "books"


# Letters


def test_the_truncated_svd_finds_what_the_full_one_finds() -> None:
    random = np.random.default_rng(0)
    dense = (random.standard_normal((60, 6)) @ random.standard_normal((6, 40))).astype(np.float32)
    dense[7] = 0
    matrix = SparseRows.of(
        [{column: float(value) for column, value in enumerate(row) if value} for row in dense], 40
    )
    found = right_singular_vectors(matrix, 6)
    wanted = np.linalg.svd(dense, full_matrices=False)[2][:6].T
    assert found.shape == (40, 6)
    assert np.linalg.norm(found.T @ wanted, "nuc") == pytest.approx(6, abs=1e-3)
    assert np.allclose(matrix.times(found), dense @ found, atol=1e-3)
    assert np.allclose(matrix.transposed().times(dense[:, :2]), dense.T @ dense[:, :2], atol=1e-2)


def test_texts_are_near_by_their_letters_and_the_same_after_storing() -> None:
    encoder = fit_text_encoder([f"{colour} {kind}" for colour in COLOURS for kind in KINDS])
    red, misspelt, other = encoder.encode(["red jacket", "red jackt", "blue scarf"])
    assert red @ misspelt > red @ other + 0.3
    stored = {name: np.asarray(value) for name, value in encoder.arrays().items()}
    again = TextEncoder.of(stored, encoder.table_id)
    assert np.array_equal(again.encode(["red jacket"]), red[None])
    assert encoder.encode([""]).shape == (1, encoder.dimension)


# The bridge

COLOURS = ["red", "blue", "green", "black", "white", "yellow", "brown", "violet"]
KINDS = ["shoe", "jacket", "scarf", "dress", "shirt", "trousers", "hat", "belt"]


def world(count: int, *, blind: bool = False, seed: int = 0) -> tuple[np.ndarray, list[ItemText]]:
    """Items whose vectors say what their titles say: a colour and a kind. `blind`: they say nothing."""
    random = np.random.default_rng(seed)
    directions = np.eye(16, dtype=np.float32)
    vectors, texts = [], []
    for _ in range(count):
        colour, kind = random.integers(8), random.integers(8)
        shown = (
            directions[random.integers(8) if blind else colour]
            + directions[8 + (random.integers(8) if blind else kind)]
        )
        vectors.append(shown + 0.2 * random.standard_normal(16))
        texts.append(ItemText.of(Item("x", title=f"{COLOURS[colour]} {KINDS[kind]}")))
    return np.array(vectors, np.float32), texts


def test_the_bridge_finds_titles_that_it_has_not_seen() -> None:
    vectors, texts = world(400)
    fitted, reason = fit_bridge(vectors, texts)
    assert reason is None
    assert fitted is not None
    assert fitted.quality.recall_1 > 0.5 > 4 * fitted.quality.chance_1
    assert fitted.quality.titles >= 8
    asked = fitted.bridge.texts(fitted.encoder.encode(["red shoe"]))[0]
    both = np.zeros((1, 16), np.float32)
    both[0, [0, 8]] = 1
    other = np.roll(both, 3, axis=1)
    assert fitted.bridge.images(both)[0] @ asked > fitted.bridge.images(other)[0] @ asked + 0.5


def test_a_bridge_that_finds_nothing_is_not_used() -> None:
    fitted, reason = fit_bridge(*world(400, blind=True))
    assert fitted is None
    assert reason is not None
    assert "no better than by chance" in reason


@pytest.mark.parametrize("count", [0, 30])
def test_a_bridge_needs_words(count: int) -> None:
    fitted, reason = fit_bridge(*world(count))
    assert fitted is None
    assert reason is not None
    assert f"there are {count} and" in reason


def test_the_bridge_solves_the_ridge_regression() -> None:
    vectors, _ = world(200)
    random = np.random.default_rng(1)
    texts = random.standard_normal((200, 5)).astype(np.float32)
    moments = Moments.of(vectors, texts)
    solved = moments.solved(0.1)
    centred = units(vectors) - units(vectors).mean(axis=0)
    strength = 0.1 * float((centred**2).sum()) / 16
    # At the minimum the gradient of the squared error and the penalty vanish.
    gradient = centred.T @ (centred @ solved - (texts - texts.mean(axis=0))) + strength * solved
    assert np.abs(gradient).max() < 1e-2
    bridge = moments.bridge(0.1, 5)
    assert np.allclose(np.linalg.norm(bridge.images(vectors), axis=1), 1, atol=1e-5)
    again = Bridge.of(bridge.arrays())
    assert np.array_equal(again.images(vectors), bridge.images(vectors))


# The score


def test_words_decide_where_the_collection_has_them() -> None:
    words = np.array([1.0, 0.0, 0.0], np.float32)
    meaning = np.array([0.1, 0.9, 0.5], np.float32)
    has_words = np.array([True, True, False])
    scores = fused(words, words, meaning, has_words, 0.5)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True) or scores[0] > scores[2] > scores[1]
    assert scores[2] == pytest.approx(UNTITLED * 0.5 / 0.9)


def test_meaning_decides_where_no_item_has_the_words() -> None:
    nothing = np.zeros(3, np.float32)
    meaning = np.array([0.1, 0.9, 0.5], np.float32)
    scores = fused(nothing, nothing, meaning, np.array([True, True, False]), 0.5)
    assert np.argsort(-scores).tolist() == [1, 2, 0]


def test_words_that_mean_nothing_here_score_low() -> None:
    nothing = np.zeros(2, np.float32)
    scores = fused(nothing, nothing, np.array([0.1, 0.05], np.float32), np.zeros(2, bool), 0.8)
    assert scores.max() == pytest.approx(UNTITLED * 0.1 / 0.8)


def test_scores_stay_in_order_and_below_one() -> None:
    raw = np.linspace(0, 2, 201)
    found = squeezed(raw)
    assert (np.diff(found) >= 0).all()
    assert found.max() < 1.0000001
    assert found[:91] == pytest.approx(raw[:91])
