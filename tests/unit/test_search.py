"""Search: the same answers as plain Python over everything visible, whatever is in snapshot or delta."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from fixtures.pictures import draw_scene
from fixtures.repetition import seeded, times
from fixtures.shelf import NAME, Shelf, unit_vectors
from PIL import Image

import lookalike.search.find_nearest as finding
from lookalike.change_token import mark_changed
from lookalike.collection_config import Collections
from lookalike.encoders import Encoder, Encoders
from lookalike.errors import (
    CollectionNotFound,
    EncoderNotFound,
    FilterError,
    ImageRejected,
    Incompatible,
    InvalidInput,
    ItemNotFound,
    LookalikeError,
    NotReady,
)
from lookalike.filters import parse_filter
from lookalike.images import ImageLimits, read_image
from lookalike.search import Query, QueryPart, Searcher, SearchResult
from lookalike.settings import Settings
from lookalike.snapshots import current
from lookalike.storage import Store
from lookalike.types import Vector

D = 16
SETTINGS = Settings()


@pytest.fixture
def shelf(tmp_path: Path, tiny_encoder_folder: Path) -> Shelf:
    return Shelf.create(Store(str(tmp_path / "store")), tmp_path / "work", tiny_encoder_folder)


def by_vector(vector: Vector, **options: object) -> Query:
    return Query((QueryPart("vector", vector),), **options)  # type: ignore[arg-type]


def by_id(item_id: str, **options: object) -> Query:
    return Query((QueryPart("id", item_id),), **options)  # type: ignore[arg-type]


def found(result: SearchResult) -> list[str]:
    return [match.item.id for match in result.matches]


# Against plain Python


@dataclass
class Twin:
    """A shelf, and beside it what should be on it, in a dict."""

    shelf: Shelf
    vectors: dict[str, Vector] = field(default_factory=dict)
    cells: dict[str, dict[str, object]] = field(default_factory=dict)

    def put(self, ids: list[str], vectors: np.ndarray) -> None:
        self.shelf.put(ids, vectors)
        self.vectors |= dict(zip(ids, vectors, strict=True))

    def remove(self, ids: list[str]) -> None:
        self.shelf.remove(ids)
        for id_ in ids:
            self.vectors.pop(id_, None)

    def describe(self, rows: dict[str, dict[str, object]]) -> None:
        self.shelf.describe(rows)
        self.cells |= rows

    def field(self, id_: str, name: str) -> object:
        if name == "category":
            return self.cells.get(id_, {}).get("category", id_.partition("/")[0])
        return self.cells.get(id_, {}).get(name)

    def distance(self, vector: Vector, id_: str) -> float:
        left, right = vector.astype(float), self.vectors[id_].astype(float)
        match self.shelf.config.metric:
            case "l1":
                exact = np.abs(left - right).sum()
            case "l2":
                exact = np.linalg.norm(left - right)
            case _:
                exact = 0.5 * np.square(left / np.linalg.norm(left) - right / np.linalg.norm(right)).sum()
        return float(np.float32(exact))

    def ranked(self, vector: Vector) -> list[tuple[float, str]]:
        """All items in order; equal distances are by id."""
        return sorted((self.distance(vector, id_), id_) for id_ in self.vectors)

    def answer(
        self, ranked: list[tuple[float, str]], keep: Callable[[str], bool], group_by: str | None
    ) -> list[tuple[str, float]]:
        """All matches in order."""
        seen: set[object] = set()
        answer = []
        for distance, id_ in ranked:
            if not keep(id_):
                continue
            group = self.field(id_, group_by) if group_by else None
            if group is not None and group in seen:
                continue
            seen.add(group)
            answer.append((id_, distance))
        return answer


def populated(twin: Twin, chance: random.Random, *, built: bool) -> None:
    """Items, a snapshot of them, then every kind of change."""
    names = [f"{category}/{number:03}.jpg" for category in ("hat", "shoe", "bag") for number in range(150)]
    vectors = unit_vectors(len(names), D, seed=chance.randrange(1000))
    vectors[7] = vectors[300]  # exact duplicates, far apart in order
    twin.put(names, vectors)
    twin.describe(
        {
            name: {"product_id": f"p{number // 3}", "price": number % 50, "brand": "ABC"[number % 3]}
            for number, name in enumerate(names)
            if number % 4
        }
    )
    if built:
        twin.shelf.build()
    gone = chance.sample(names, 40)
    twin.remove(gone)
    changed = chance.sample([name for name in names if name not in gone], 30)
    twin.put(changed, unit_vectors(30, D, seed=5))
    fresh = [f"new/{number:03}.jpg" for number in range(40)]
    new_vectors = unit_vectors(40, D, seed=6)
    new_vectors[0] = vectors[7]
    twin.put([*fresh, gone[0]], np.concatenate([new_vectors, vectors[:1]]))
    twin.describe(
        {
            name: {"category": "sale", "price": 7, "brand": "D"}
            for name in (*changed[:10], *fresh[:20], names[200])
        }
    )


FILTERS: list[tuple[dict[str, object], Callable[[Twin, str], bool]]] = [
    ({"category": "hat"}, lambda twin, id_: twin.field(id_, "category") == "hat"),
    ({"category": "sale"}, lambda twin, id_: twin.field(id_, "category") == "sale"),
    ({"brand": {"in": ["A", "D"]}}, lambda twin, id_: twin.field(id_, "brand") in ("A", "D")),
    (
        {"price": {"gte": 5, "lt": 9}},
        lambda twin, id_: isinstance(price := twin.field(id_, "price"), int) and 5 <= price < 9,
    ),
    ({"not": {"brand": {"exists": True}}}, lambda twin, id_: twin.field(id_, "brand") is None),
    ({"category": "nothing"}, lambda twin, id_: False),
    ({"id": "hat/001.jpg"}, lambda twin, id_: id_ == "hat/001.jpg"),
]


@pytest.mark.parametrize("metric", ["cosine", "l2", "l1"])
@pytest.mark.parametrize(
    ("engine", "way"), [("exact", "rows"), ("exact", "index"), ("annoy", "rows"), ("exact", "delta only")]
)
def test_agrees_with_plain_python(
    tmp_path: Path,
    tiny_encoder_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    way: str,
    metric: str,
) -> None:
    if way == "index":  # as for a large collection: ask the index first, and for more when too few are left
        monkeypatch.setattr(finding, "EXACT_FLOATS", 0)
        monkeypatch.setattr(finding, "EXACT_FACTOR", 1)
        monkeypatch.setattr(finding, "SPARE", -0.8)
        monkeypatch.setattr(finding, "FETCH_GROWTH", 2)
    chance = random.Random(f"{engine} {way} {metric} {seeded(0)}")
    store = Store(str(tmp_path / "store"))
    shelf = Shelf.create(store, tmp_path / "work", tiny_encoder_folder, engine=engine, metric=metric)
    twin = Twin(shelf)
    populated(twin, chance, built=way != "delta only")
    searcher = shelf.searcher()
    known = [twin.vectors["new/000.jpg"], next(iter(twin.vectors.values()))]
    queries = [*unit_vectors(times(2, soak=12), D, seed=seeded(11)), *known]
    for vector in queries:
        ranked = twin.ranked(vector)
        for body, keeps in [({}, lambda twin, id_: True), *FILTERS]:
            for group_by in (None, "category", "product_id", "price"):
                expected = twin.answer(ranked, lambda id_, keeps=keeps: keeps(twin, id_), group_by)
                limit, offset = chance.choice([(1, 0), (10, 0), (10, 25), (100, 3), (1_000, 0)])
                query = by_vector(
                    vector, filter=parse_filter(body), group_by=group_by, limit=limit, offset=offset
                )
                result = searcher.search(query)
                got = [(match.item.id, match.distance) for match in result.matches]
                wanted = expected[offset : offset + limit]
                assert [id_ for id_, _ in got] == [id_ for id_, _ in wanted], query
                np.testing.assert_allclose([d for _, d in got], [d for _, d in wanted], atol=2e-6)


def test_items_come_with_their_newest_metadata(shelf: Shelf) -> None:
    twin = Twin(shelf)
    populated(twin, random.Random(1), built=True)
    result = shelf.searcher().search(by_vector(unit_vectors(1, D)[0], limit=1_000))
    assert len(result.matches) == len(twin.vectors)
    for match in result.matches:
        assert match.item.category == twin.field(match.item.id, "category")
        assert match.item.product_id == twin.field(match.item.id, "product_id")
        assert match.item.attributes.get("price") == twin.field(match.item.id, "price")
        assert match.score == pytest.approx(1 - match.distance)


def test_the_order_does_not_depend_on_what_is_in_the_snapshot(shelf: Shelf) -> None:
    same = np.repeat(unit_vectors(1, D), 30, axis=0)
    names = [f"x/{number:02}" for number in random.Random(2).sample(range(30), 30)]
    shelf.put(names[:10], same[:10])
    shelf.build()
    shelf.put(names[10:], same[10:])
    searcher = shelf.searcher()
    pages = [by_vector(same[0], limit=7, offset=offset) for offset in (0, 7, 14, 21, 28)]
    before = [found(searcher.search(page)) for page in pages]
    shelf.build()
    assert searcher.refresh(force=True)
    assert [found(searcher.search(page)) for page in pages] == before
    assert list(chain(*before)) == sorted(names)


# Parts of a query


def test_an_item_does_not_find_itself_unless_asked(shelf: Shelf) -> None:
    vectors = unit_vectors(20, D)
    names = [f"a/{number:02}" for number in range(20)]
    shelf.put(names[:15], vectors[:15])
    shelf.build()
    shelf.put(names[15:], vectors[15:])
    searcher = shelf.searcher()
    for name in (names[3], names[17]):
        without = searcher.search(by_id(name, limit=19))
        assert len(without.matches) == 19
        assert name not in found(without)
        own = searcher.search(by_id(name, include_self=True, limit=1)).matches[0]
        assert (own.item.id, own.distance, own.score) == (name, 0.0, 1.0)


def test_a_stored_vector_is_taken_as_it_is(shelf: Shelf) -> None:
    shelf.put(["a", "b"], unit_vectors(2, D))
    shelf.build()
    shelf.put(["a"], unit_vectors(1, D, seed=50))  # its newest vector, not the snapshot's
    searcher = shelf.searcher()
    by_its_id = searcher.search(by_id("a")).matches[0].distance
    by_its_vector = searcher.search(by_vector(unit_vectors(1, D, seed=50)[0], limit=2)).matches
    assert [match.item.id for match in by_its_vector] == ["a", "b"]
    assert by_its_vector[1].distance == by_its_id


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_parts_are_summed_by_weight(tmp_path: Path, tiny_encoder_folder: Path, metric: str) -> None:
    store = Store(str(tmp_path / "store"))
    shelf = Shelf.create(store, tmp_path / "work", tiny_encoder_folder, metric=metric)
    vectors = unit_vectors(50, D)
    shelf.put([f"{number:02}" for number in range(50)], vectors)
    searcher = shelf.searcher()
    parts = (
        QueryPart("id", "03", 2.0),
        QueryPart("vector", vectors[7].tolist()),
        QueryPart("id", "09", -0.5),
    )
    total = 2 * vectors[3] + vectors[7] - 0.5 * vectors[9]
    total = total / (np.linalg.norm(total) if metric == "cosine" else 2.5)
    expected = searcher.search(by_vector(total.astype(np.float32), limit=50))
    result = searcher.search(Query(parts, limit=50, include_self=True))
    assert found(result) == found(expected)
    assert {"03", "09"}.isdisjoint(found(searcher.search(Query(parts, limit=50))))
    assert "07" in found(searcher.search(Query(parts, limit=50)))


def test_weights_do_not_depend_on_the_length_of_vectors_for_cosine(shelf: Shelf) -> None:
    vectors = unit_vectors(50, D)
    shelf.put([f"{number:02}" for number in range(50)], vectors)
    searcher = shelf.searcher()
    one = Query((QueryPart("vector", vectors[1] * 100), QueryPart("vector", vectors[2])), limit=50)
    other = Query((QueryPart("vector", vectors[1]), QueryPart("vector", vectors[2])), limit=50)
    assert found(searcher.search(one)) == found(searcher.search(other))


def test_an_image_is_encoded_with_the_snapshots_encoder(shelf: Shelf, tiny_encoder: Encoder) -> None:
    pictures = [jpeg(draw_scene(seed)) for seed in range(6)]
    shelf.put(
        [f"{number}.jpg" for number in range(6)], np.stack([encoded(tiny_encoder, data) for data in pictures])
    )
    shelf.build()
    searcher = shelf.searcher()
    for number, data in enumerate(pictures):
        best = searcher.search(Query((QueryPart("image", data),), limit=1)).matches[0]
        assert best.item.id == f"{number}.jpg"
        assert best.distance == pytest.approx(0, abs=1e-6)


def jpeg(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def encoded(encoder: Encoder, data: bytes) -> Vector:
    limits = ImageLimits.from_settings(SETTINGS)
    return encoder.encode_one(read_image(data, limits, encoder.manifest.preprocess)[1])


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([("vector", [1.0] * 15)], ["15", "16"]),
        ([("vector", [[1.0] * 16])], ["1 × 16", "16"]),
        ([("vector", [0.0] * 16)], ["vector is zero"]),
        ([("vector", [float("nan")] * 16)], ["not finite"]),
        ([("vector", [1e300] * 16)], ["not finite"]),
        ([("vector", ["x"] * 16)], ["invalid query vector"]),
        ([("text", "red"), ("id", "a")], ["meaning of words", "no index yet"]),
        ([("id", "a"), ("id", "a", -1.0)], ["vector is zero"]),
    ],
)
def test_parts_that_cannot_be_searched(shelf: Shelf, parts: list[tuple], words: list[str]) -> None:
    shelf.put(["a"], unit_vectors(1, D))
    with pytest.raises(InvalidInput) as refusal:
        shelf.searcher().search(Query(tuple(QueryPart(*part) for part in parts)))
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Query(()),
        lambda: Query((QueryPart("id", "a"),), limit=0),
        lambda: Query((QueryPart("id", "a"),), offset=-1),
        lambda: Query((QueryPart("id", "a"),), min_confidence=1.1),
        lambda: QueryPart("id", "a", 0.0),
        lambda: QueryPart("id", "a", float("inf")),
        lambda: QueryPart("image", "text"),
        lambda: QueryPart("id", b"bytes"),
    ],
)
def test_queries_that_cannot_be_asked(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput):
        make()


def test_an_undecodable_image_is_the_callers_fault(shelf: Shelf) -> None:
    shelf.put(["a"], unit_vectors(1, D))
    with pytest.raises(ImageRejected):
        shelf.searcher().search(Query((QueryPart("image", b"no picture"),)))


def test_unknown_names_come_with_the_nearest(shelf: Shelf) -> None:
    shelf.put(["shoes/red-1.jpg", "shoes/red-2.jpg"], unit_vectors(2, D))
    shelf.build()
    shelf.put(["shoes/red-3.jpg"], unit_vectors(1, D))
    shelf.describe({"shoes/red-1.jpg": {"colour": "red"}})
    searcher = shelf.searcher()
    with pytest.raises(ItemNotFound, match=r"red-3\.jpg"):
        searcher.search(by_id("shoes/red-33.jpg"))
    with pytest.raises(ItemNotFound, match=r"red-1\.jpg"):
        searcher.item("shoes/red-1.png")
    with pytest.raises(FilterError, match="colour"):
        searcher.search(by_id("shoes/red-1.jpg", group_by="color"))
    with pytest.raises(FilterError, match="category"):
        searcher.search(by_id("shoes/red-1.jpg", filter=parse_filter({"categroy": "x"})))


def test_one_item_with_its_newest_metadata(shelf: Shelf) -> None:
    shelf.put(["a/1", "a/2"], unit_vectors(2, D))
    shelf.build()
    searcher = shelf.searcher()
    assert searcher.item("a/1").title is None
    shelf.describe({"a/1": {"title": "One", "price": 3.5}})
    shelf.remove(["a/2"])
    searcher.refresh(force=True)
    assert (searcher.item("a/1").title, dict(searcher.item("a/1").attributes)) == ("One", {"price": 3.5})
    with pytest.raises(ItemNotFound):
        searcher.item("a/2")


# Confidence


Said = tuple[str, float, float | None]
"""An item's id, distance and confidence."""


@pytest.fixture
def spread_out(tmp_path: Path, tiny_encoder_folder: Path) -> tuple[Shelf, np.ndarray]:
    """500 items: overlapping categories, one item in ten without, brands across categories, a delta."""
    shelf = Shelf.create(Store(str(tmp_path / "store")), tmp_path / "work", tiny_encoder_folder)
    rng = np.random.default_rng(3)
    centres = unit_vectors(8, D, seed=3)
    kinds = rng.integers(0, 8, 500)
    vectors = centres[kinds] + rng.standard_normal((500, D)).astype(np.float32) * 0.28
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"c{kind}/{number:03}" if number % 10 else f"{number:03}" for number, kind in enumerate(kinds)]
    shelf.put(ids[:450], vectors[:450])
    shelf.describe({id_: {"brand": f"brand {number % 7}"} for number, id_ in enumerate(ids)})
    shelf.build()
    shelf.put(ids[450:], vectors[450:])
    shelf.remove(ids[3:6])
    return shelf, vectors


def everything(searcher: Searcher, vector: Vector) -> list[Said]:
    """Every item, nearest first."""
    matches = searcher.search(by_vector(vector, limit=1_000)).matches
    return [(match.item.id, match.distance, match.confidence) for match in matches]


def by_confidence(said: list[Said]) -> list[Said]:
    return sorted(said, key=lambda one: (-(-1 if one[2] is None else one[2]), one[1]))


def firsts(said: list[Said], value: Callable[[str], str]) -> list[Said]:
    """The first of each value."""
    best: dict[str, Said] = {}
    for one in said:
        best.setdefault(value(one[0]), one)
    return list(best.values())


def test_confidence_comes_with_every_match_and_does_not_depend_on_how_it_was_found(
    spread_out: tuple[Shelf, np.ndarray],
) -> None:
    shelf, vectors = spread_out
    searcher = shelf.searcher()
    for vector in vectors[:20]:
        said = everything(searcher, vector)
        assert len(said) == 497
        known = {id_: confidence for id_, _, confidence in said}
        assert all((value is None) == ("/" not in id_) for id_, value in known.items())
        assert all(0 < value < 1 for value in known.values() if value is not None)
        for kind in range(8):  # within a category, never higher for a larger distance
            own = [value for id_, value in known.items() if id_.startswith(f"c{kind}/")]
            assert own == sorted(own, reverse=True)  # type: ignore[type-var]
        for options in (
            {"limit": 3},
            {"limit": 5, "offset": 100},
            {"limit": 8, "group_by": "category"},
            {"filter": parse_filter({"brand": "brand 2"})},
            {"rank_by": "confidence", "limit": 60},
            {"min_confidence": 0.3, "limit": 60},
        ):
            matches = searcher.search(by_vector(vector, **options)).matches
            assert [(m.item.id, m.confidence) for m in matches] == [
                (m.item.id, known[m.item.id]) for m in matches
            ]


@pytest.mark.parametrize("floats", [finding.EXACT_FLOATS, 0])
def test_ranking_and_the_least_confidence_are_exact(
    spread_out: tuple[Shelf, np.ndarray], floats: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, vectors = spread_out
    searcher = shelf.searcher()
    monkeypatch.setattr(finding, "EXACT_FLOATS", floats)
    monkeypatch.setattr(finding, "EXACT_FACTOR", 1)
    brands = {
        item.id: str(item.attributes["brand"]) for item in map(searcher.item, shelf_ids(searcher, vectors))
    }
    for turn, vector in enumerate(vectors[:12]):
        said = everything(searcher, vector)
        one_brand = [one for one in said if brands[one[0]] == "brand 2"]
        least = float(np.quantile([one[2] for one in said if one[2] is not None], (0.5, 0.8, 0.97)[turn % 3]))

        def sure(some: list[Said], least: float = least) -> list[Said]:
            return [one for one in some if one[2] is not None and one[2] >= least]

        for expected, options in (
            (sure(said), {"min_confidence": least}),
            (sure(one_brand), {"min_confidence": least, "filter": parse_filter({"brand": "brand 2"})}),
            (firsts(sure(said), brands.__getitem__), {"min_confidence": least, "group_by": "brand"}),
            (by_confidence(said), {"rank_by": "confidence"}),
            (
                by_confidence(one_brand),
                {"rank_by": "confidence", "filter": parse_filter({"brand": "brand 2"})},
            ),
            (firsts(by_confidence(said), brands.__getitem__), {"rank_by": "confidence", "group_by": "brand"}),
            (by_confidence(sure(said)), {"rank_by": "confidence", "min_confidence": least}),
        ):
            for limit, offset in ((1_000, 0), (5, 0), (5, max(0, len(expected) - 2)), (7, 40)):
                result = searcher.search(by_vector(vector, limit=limit, offset=offset, **options))
                assert found(result) == [one[0] for one in expected[offset : offset + limit]]


def shelf_ids(searcher: Searcher, vectors: np.ndarray) -> list[str]:
    return [one[0] for one in everything(searcher, vectors[0])]


def test_the_least_confidence_may_be_a_word(spread_out: tuple[Shelf, np.ndarray]) -> None:
    shelf, vectors = spread_out
    searcher = shelf.searcher()
    matches = searcher.search(by_vector(vectors[0], limit=1_000)).matches
    counts = []
    for word, allowed in (("likely", {"likely"}), ("maybe", {"likely", "maybe"})):
        asked = searcher.search(by_vector(vectors[0], limit=1_000, min_confidence=word))
        assert found(asked) == [match.item.id for match in matches if match.likelihood in allowed]
        counts.append(len(asked.matches))
    assert 0 < counts[0] <= counts[1] < 400
    with pytest.raises(InvalidInput, match="likely, maybe, unlikely"):
        by_vector(vectors[0], min_confidence="sure")
    with pytest.raises(InvalidInput, match="similarity or confidence"):
        by_vector(vectors[0], rank_by="colour")


def test_an_item_says_nothing_about_itself(spread_out: tuple[Shelf, np.ndarray]) -> None:
    """Neither its own category, which would make it sure, nor its presence among the matches counts."""
    shelf, _ = spread_out
    searcher = shelf.searcher()
    item_id = "c1/015"
    without = searcher.search(by_id(item_id, limit=20))
    with_self = searcher.search(by_id(item_id, limit=21, include_self=True))
    assert found(with_self)[0] == item_id
    assert [m.confidence for m in with_self.matches[1:]] == [m.confidence for m in without.matches]
    assert with_self.category_estimate == without.category_estimate


def test_what_the_query_is(shelf: Shelf) -> None:
    centres = unit_vectors(8, D, seed=3)
    vectors = centres[np.arange(400) % 8] + unit_vectors(400, D, seed=5) * np.float32(0.5)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shelf.put([f"c{number % 8}/{number:03}" for number in range(400)], vectors)
    shelf.build()
    searcher = shelf.searcher()
    estimate = searcher.search(by_vector(centres[4])).category_estimate
    assert estimate[0].category == "c4"
    assert estimate[0].probability > 0.9
    assert len(estimate) <= 5
    # At a right angle to the centre of every category.
    odd = np.linalg.svd(centres)[2][-1].astype(np.float32)
    result = searcher.search(by_vector(odd))
    usual = searcher.search(by_vector(vectors[0]))
    assert result.matches[0].score < usual.matches[-1].score
    assert result.category_estimate[0].category is None


def test_confidence_is_absent_where_labels_do_not_say_with_the_reason(shelf: Shelf) -> None:
    shelf.put([f"{number:03}" for number in range(100)], unit_vectors(100, D))
    searcher = shelf.searcher()
    result = searcher.search(by_id("000"))
    assert result.matches[0].confidence is None
    assert result.reason(result.matches[0]) == result.confidence_reason
    assert "no index yet" in str(result.confidence_reason)
    shelf.build()
    searcher.refresh(force=True)
    result = searcher.search(by_id("000"))
    assert result.matches[0].confidence is None
    assert result.category_estimate == ()
    assert "only 0 of 100 items have a category" in str(result.confidence_reason)
    with pytest.raises(InvalidInput, match="min_confidence is not available: only 0 of 100"):
        searcher.search(by_id("000", min_confidence=0.5))
    with pytest.raises(InvalidInput, match="rank_by: confidence is not available"):
        searcher.search(by_id("000", rank_by="confidence"))


# Keeping up


def test_what_is_not_there(shelf: Shelf) -> None:
    with pytest.raises(NotReady):
        shelf.searcher().search(by_id("a"))
    absent = Searcher(shelf.artifacts, "shelv", SETTINGS, Encoders(shelf.artifacts), shelf.work / "cache")
    with pytest.raises(CollectionNotFound, match="shelf"):
        absent.search(by_id("a"))
    assert absent.status().problem is not None


def test_an_empty_snapshot_answers_with_nothing(shelf: Shelf) -> None:
    shelf.build()
    result = shelf.searcher().search(by_vector(unit_vectors(1, D)[0]))
    assert result.matches == ()
    assert result.snapshot is not None


def test_uploads_are_found_before_and_after_every_build(shelf: Shelf) -> None:
    searcher = shelf.searcher(refresh_seconds=1e-9)
    vectors = unit_vectors(40, D)
    for number in range(40):
        shelf.put([f"{number:02}"], vectors[number : number + 1])
        if number % 7 == 3:
            shelf.build()
        assert searcher.refresh()
        result = searcher.search(by_vector(vectors[number], limit=40))
        assert found(result)[0] == f"{number:02}"
        assert len(result.matches) == number + 1
    status = searcher.status()
    assert (status.items, status.delta, status.problem) == (40, 1, None)


def test_a_search_after_a_pause_sees_what_came_meanwhile(shelf: Shelf) -> None:
    shelf.put(["a"], unit_vectors(1, D))
    shelf.build()
    searcher = shelf.searcher(refresh_seconds=0.01)
    assert found(searcher.search(by_vector(unit_vectors(1, D)[0]))) == ["a"]
    shelf.put(["b"], unit_vectors(1, D))
    time.sleep(0.05)
    assert found(searcher.search(by_vector(unit_vectors(1, D)[0]))) == ["a", "b"]


def test_nothing_is_looked_for_before_its_time(shelf: Shelf) -> None:
    shelf.put(["a"], unit_vectors(1, D))
    searcher = shelf.searcher(refresh_seconds=3_600)
    assert searcher.refresh()
    shelf.put(["b"], unit_vectors(1, D))
    assert not searcher.refresh()
    assert found(searcher.search(by_vector(unit_vectors(1, D)[0]))) == ["a"]
    assert searcher.refresh(force=True)
    assert not searcher.refresh(force=True)


def test_a_delta_read_in_steps_equals_one_read_at_once(shelf: Shelf) -> None:
    twin = Twin(shelf)
    twin.put([f"{number:03}" for number in range(60)], unit_vectors(60, D))
    shelf.build()
    stepwise = shelf.searcher()
    chance = random.Random(8)
    for step in range(12):
        some = [f"{chance.randrange(80):03}" for _ in range(5)]
        match step % 3:
            case 0:
                twin.put(sorted(set(some)), unit_vectors(len(set(some)), D, seed=step))
            case 1:
                twin.remove([id_ for id_ in set(some) if id_ in twin.vectors])
            case 2:
                twin.describe({id_: {"title": f"step {step}"} for id_ in some if id_ in twin.vectors})
        stepwise.refresh(force=True)
        query = by_vector(unit_vectors(1, D, seed=99)[0], limit=1_000)
        results = [stepwise.search(query), shelf.searcher().search(query)]
        assert results[0].matches == results[1].matches
        assert sorted(found(results[0])) == sorted(twin.vectors)


def test_an_untouched_collection_is_opened_without_lance(shelf: Shelf) -> None:
    import subprocess
    import sys

    shelf.put(["a/1", "a/2"], unit_vectors(2, D))
    shelf.build()
    script = f"""
import sys
from pathlib import Path
from lookalike.encoders import Encoders
from lookalike.search import Query, QueryPart, Searcher
from lookalike.settings import Settings
from lookalike.settings import Settings
from lookalike.storage import Store
store = Store({shelf.artifacts.url!r})
searcher = Searcher(store, {NAME!r}, Settings(), Encoders(store), Path("unused"))
assert searcher.search(Query((QueryPart("id", "a/1"),))).matches[0].item.id == "a/2"
heavy = {{"lance", "pyarrow.compute", "pandas", "tensorflow", "fastapi", "ai_edge_litert"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# When things go wrong


def test_a_snapshot_that_cannot_be_served_leaves_the_last_one_serving(shelf: Shelf) -> None:
    shelf.put(["a"], unit_vectors(1, D))
    good = shelf.build()
    searcher = shelf.searcher()
    searcher.refresh(force=True)
    bad = shelf.build(force=True)
    path = f"collections/{NAME}/snapshots/{bad.id}/snapshot.json"
    shelf.artifacts.put(path, replace(bad, format=99).dump())
    shelf.put(["b"], unit_vectors(1, D))
    with pytest.raises(Incompatible, match="99"):
        searcher.refresh(force=True)
    assert "99" in (searcher.status().problem or "")
    result = searcher.search(by_vector(unit_vectors(1, D)[0]))
    assert result.snapshot == good.id
    assert found(result) == ["a", "b"]  # and new rows are found all the same
    with pytest.raises(Incompatible):
        shelf.searcher().search(by_id("a"))
    assert shelf.build().count == 2
    searcher.refresh(force=True)
    assert searcher.status().problem is None
    assert searcher.search(by_id("a")).snapshot == current(shelf.artifacts, NAME).id  # type: ignore[union-attr]


def test_an_encoder_of_another_dimension_is_refused(shelf: Shelf) -> None:
    shelf.dimension = 8
    shelf.put(["a"], unit_vectors(1, 8))
    shelf.build()
    with pytest.raises(Incompatible, match=r"dimension 8 .* dimension 16 "):
        shelf.searcher().search(by_id("a"))


def test_an_encoder_that_is_gone(shelf: Shelf) -> None:
    shelf.put(["a", "b"], unit_vectors(2, D))
    shelf.build()
    searcher = shelf.searcher()
    searcher.refresh(force=True)
    shelf.artifacts.delete_folder(f"encoders/{shelf.config.encoder_id}")
    assert found(searcher.search(by_id("a"))) == ["b"]
    with pytest.raises(EncoderNotFound):
        searcher.search(Query((QueryPart("image", jpeg(draw_scene(1))),)))


def test_a_deleted_collection_is_not_served_from_memory(shelf: Shelf) -> None:
    shelf.put(["a"], unit_vectors(1, D))
    shelf.build()
    searcher = shelf.searcher()
    searcher.refresh(force=True)
    Collections(shelf.artifacts).delete(NAME)
    with pytest.raises(CollectionNotFound):
        searcher.refresh(force=True)
    with pytest.raises(CollectionNotFound):
        searcher.search(by_id("a"))


def test_a_recreated_collection_starts_empty(shelf: Shelf) -> None:
    shelf.put(["old"], unit_vectors(1, D))
    searcher = shelf.searcher()
    searcher.refresh(force=True)
    collections = Collections(shelf.artifacts)
    collections.delete(NAME)
    collections.create(replace(shelf.config, created_at="2024-06-01T00:00:00+00:00"))
    searcher.refresh(force=True)
    with pytest.raises(NotReady):
        searcher.search(by_id("old"))
    shelf.put(["new"], unit_vectors(1, D))
    searcher.refresh(force=True)
    assert found(searcher.search(by_vector(unit_vectors(1, D)[0]))) == ["new"]


def test_a_refresh_that_fails_fails_no_search(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.put(["a"], unit_vectors(1, D))
    shelf.build()
    searcher = shelf.searcher(refresh_seconds=0.001)
    searcher.search(by_vector(unit_vectors(1, D)[0]))
    shelf.artifacts.put(f"collections/{NAME}/current.json", b"{")
    mark_changed(shelf.artifacts, NAME)
    time.sleep(0.01)
    for _ in range(5):
        assert found(searcher.search(by_vector(unit_vectors(1, D)[0]))) == ["a"]
        time.sleep(0.005)
    assert "current.json" in (searcher.status().problem or "")
    assert "cannot be refreshed" in caplog.text


def test_many_first_searches_load_once(shelf: Shelf) -> None:
    shelf.put(["a", "b"], unit_vectors(2, D))
    shelf.build()
    searcher = shelf.searcher()
    states, errors = [], []

    def ask() -> None:
        try:
            searcher.search(by_id("a"))
            states.append(searcher.state())
        except LookalikeError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len({id(state) for state in states}) == 1
