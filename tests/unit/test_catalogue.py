"""The tables of record over a folder; what must hold on S3 too is in conformance/test_catalogues.py."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.catalogue import (
    Catalogue,
    CatalogueVersion,
    Delta,
    ItemRow,
    MetadataProblem,
    normalise_sequencer,
    sequencer_after,
)
from lookalike.catalogue.reading import BATCH_ROWS
from lookalike.catalogue.tables import LEVEL_FACTOR, LEVEL_ROWS, LOOKUP_IDS, fragment_target
from lookalike.errors import Incompatible, InvalidInput, ItemNotFound, StoreUnavailable
from lookalike.metadata import MetadataRow, MetadataTable, RowProblem
from lookalike.storage import Store
from lookalike.types import Item, Vector

DIMENSION = 4
LONG_AGO = "2020-01-01T00:00:00.000+00:00"
NOW = timedelta(0)


@pytest.fixture
def artifacts(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def catalogue(artifacts: Store) -> Catalogue:
    return Catalogue(artifacts, "food", "tiny-1", DIMENSION)


def vector_of(item_id: str, sequencer: str = "") -> Vector:
    seed = sum(map(ord, item_id + sequencer))
    return np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)


def put(catalogue: Catalogue, sequencer: str, *ids: str) -> None:
    """Commit items as ingest does: vectors first."""
    vectors = np.stack([vector_of(item_id, sequencer) for item_id in ids])
    hashes = [f"{item_id}@{sequencer}" for item_id in ids]
    catalogue.put_vectors(ids, [sequencer] * len(ids), hashes, vectors)
    catalogue.put_items(
        [
            ItemRow(item_id, sequencer, content_hash=content, width=3, height=2, ingested_at=LONG_AGO)
            for item_id, content in zip(ids, hashes, strict=True)
        ]
    )


def remove(catalogue: Catalogue, sequencer: str, *ids: str) -> None:
    catalogue.put_items([ItemRow(i, sequencer, status="removed", ingested_at=LONG_AGO) for i in ids])


def table(*rows: MetadataRow, problems: tuple[RowProblem, ...] = ()) -> MetadataTable:
    return MetadataTable(list(rows), list(problems))


def everything(catalogue: Catalogue, version: CatalogueVersion | None = None) -> dict[str, Item]:
    return {item.id: item for batch in catalogue.scan(version) for item in batch.items}


def all_vectors(catalogue: Catalogue) -> dict[str, list[float]]:
    return {
        item.id: vector.tolist()
        for batch in catalogue.scan()
        for item, vector in zip(batch.items, batch.vectors, strict=True)
    }


# Sequencers

SEQUENCERS = st.text("0123456789abcdefABCDEF", min_size=1, max_size=18)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SEQUENCERS, SEQUENCERS)
def test_normalised_sequencers_compare_as_s3_says(one: str, other: str) -> None:
    width = max(len(one), len(other))
    padded = [text.lower().ljust(width, "0") for text in (one, other)]
    normalised = [normalise_sequencer(text) for text in (one, other)]
    assert (normalised[0] < normalised[1]) == (padded[0] < padded[1])
    assert (normalised[0] == normalised[1]) == (padded[0] == padded[1])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SEQUENCERS, SEQUENCERS)
def test_a_repair_lies_between_what_is_known_and_what_comes(known: str, later: str) -> None:
    repaired = known
    for _ in range(20):
        following = sequencer_after(repaired)
        assert following > normalise_sequencer(repaired)
        repaired = following
    if normalise_sequencer(later) > normalise_sequencer(known):
        assert normalise_sequencer(later) > repaired


def test_the_first_repair_is_below_any_event() -> None:
    assert sequencer_after(None) < normalise_sequencer("000000000000000001")


@pytest.mark.parametrize("sequencer", ["", "x", "12 ", "1" * 33, "-1", "0x1"])
def test_what_cannot_be_ordered_is_refused(catalogue: Catalogue, sequencer: str) -> None:
    with pytest.raises(InvalidInput):
        normalise_sequencer(sequencer)
    with pytest.raises(InvalidInput):
        put(catalogue, sequencer, "a.jpg")
    assert catalogue.known() == {}


# Writing and looking up


def test_an_empty_catalogue_answers_everything(catalogue: Catalogue) -> None:
    assert catalogue.version() == CatalogueVersion(0, 0, 0)
    assert catalogue.known(["a"]) == catalogue.known() == {}
    assert catalogue.known_vectors(["a"]) == {}
    ids, vectors = catalogue.vectors(["a"])
    assert (ids, vectors.shape) == ([], (0, DIMENSION))
    assert list(catalogue.scan()) == []
    delta = catalogue.delta(CatalogueVersion())
    assert delta.is_empty
    assert delta.vectors.shape == (0, DIMENSION)
    assert catalogue.rejections() == []
    assert catalogue.metadata_problems() == []
    assert catalogue.stats().live == 0
    assert catalogue.count_changes(CatalogueVersion()) == 0
    assert catalogue.oldest_change(CatalogueVersion()) is None
    catalogue.compact(CatalogueVersion())
    with pytest.raises(ItemNotFound):
        catalogue.item("a")


@pytest.mark.parametrize("order", list(itertools.permutations(["1", "2", "3"])))
def test_the_highest_sequencer_stays_in_any_order(catalogue: Catalogue, order: tuple[str, ...]) -> None:
    for sequencer in (*order, *reversed(order)):
        put(catalogue, sequencer, "a.jpg")
    row = catalogue.known(["a.jpg"])["a.jpg"]
    assert (row.sequencer, row.content_hash) == (normalise_sequencer("3"), "a.jpg@3")
    assert catalogue.known_vectors(["a.jpg"]) == {"a.jpg": (normalise_sequencer("3"), "a.jpg@3")}
    assert all_vectors(catalogue) == {"a.jpg": vector_of("a.jpg", "3").tolist()}


def test_an_equal_sequencer_changes_nothing(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a.jpg")
    catalogue.put_items([ItemRow("a.jpg", "10", status="removed")])
    assert catalogue.known(["a.jpg"])["a.jpg"].status == "live"


def test_of_one_id_twice_in_a_put_the_highest_is_kept(catalogue: Catalogue) -> None:
    vectors = np.arange(3 * DIMENSION, dtype=np.float32).reshape(3, DIMENSION)
    catalogue.put_vectors(["a", "a", "a"], ["1", "3", "2"], ["h1", "h3", "h2"], vectors)
    catalogue.put_items([ItemRow("a", "1"), ItemRow("a", "3", etag="x"), ItemRow("a", "2")])
    assert catalogue.known_vectors() == {"a": (normalise_sequencer("3"), "h3")}
    assert catalogue.known()["a"].etag == "x"
    assert all_vectors(catalogue) == {"a": vectors[1].tolist()}


@pytest.mark.parametrize("padding", [0, LOOKUP_IDS])
def test_odd_ids_are_found_among_few_and_many(catalogue: Catalogue, padding: int) -> None:
    odd = ["it's.jpg", 'say "x".jpg', "back\\slash", "per%cent_", "日本/🍎.png", " ", "a;--", "${x}", "?"]
    put(catalogue, "1", *odd, "other.jpg")
    asked = [*odd, *(f"absent-{number}" for number in range(padding))]
    assert set(catalogue.known(asked)) == set(odd)
    assert set(catalogue.known_vectors(asked)) == set(odd)
    found, vectors = catalogue.vectors(asked)
    assert found == sorted(odd)
    np.testing.assert_array_equal(vectors, np.stack([vector_of(name, "1") for name in sorted(odd)]))
    remove(catalogue, "2", *odd)
    catalogue.compact(catalogue.version())
    assert set(catalogue.known()) == {"other.jpg"}


def test_what_is_known_of_a_row_is_what_was_put(catalogue: Catalogue) -> None:
    row = ItemRow(
        "a/b.jpg",
        normalise_sequencer("12ab"),
        etag='"x"',
        content_hash="ff",
        size_bytes=2**40,
        width=10,
        height=20,
        perceptual_hash=bytes(range(32)),
        ingested_at=LONG_AGO,
    )
    catalogue.put_items([row])
    assert catalogue.known(["a/b.jpg"]) == {"a/b.jpg": row}


def test_vectors_of_another_dimension_are_refused(catalogue: Catalogue, artifacts: Store) -> None:
    with pytest.raises(Incompatible, match=r"got shape \(1, 5\); expected \(1, 4\)"):
        catalogue.put_vectors(["a"], ["1"], ["h"], np.zeros((1, 5), np.float32))
    put(catalogue, "1", "a")
    other = Catalogue(artifacts, "food", "tiny-1", 5)
    with pytest.raises(Incompatible, match="dimension"):
        other.put_vectors(["b"], ["1"], ["h"], np.zeros((1, 5), np.float32))
    with pytest.raises(Incompatible, match="dimension"):
        list(other.scan())


def test_encoders_have_vectors_of_their_own_and_items_in_common(
    catalogue: Catalogue, artifacts: Store
) -> None:
    put(catalogue, "1", "a.jpg")
    other = Catalogue(artifacts, "food", "large-2", 8)
    assert set(other.known()) == {"a.jpg"}
    assert everything(other) == {}
    other.put_vectors(["a.jpg"], ["1"], ["h"], np.ones((1, 8), np.float32))
    assert set(everything(other)) == set(everything(catalogue)) == {"a.jpg"}


# What is visible


def test_an_item_is_visible_when_live_and_encoded(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a/seen.jpg", "a/gone.jpg", "a/broken.jpg")
    catalogue.put_vectors(["vector-only"], ["1"], ["h"], np.ones((1, DIMENSION), np.float32))
    catalogue.put_items([ItemRow("row-only", "1")])
    remove(catalogue, "2", "a/gone.jpg", "never-seen")
    catalogue.put_items([ItemRow("a/broken.jpg", "2", status="rejected", reason="empty")])
    assert set(everything(catalogue)) == {"a/seen.jpg"}
    assert set(catalogue.delta(CatalogueVersion()).items) == {"a/seen.jpg"}
    assert catalogue.item("a/seen.jpg") == everything(catalogue)["a/seen.jpg"]
    for item_id in ("a/gone.jpg", "a/broken.jpg", "vector-only", "row-only", "never-seen", "unknown"):
        with pytest.raises(ItemNotFound):
            catalogue.item(item_id)


def test_a_scan_is_in_order_and_in_batches(catalogue: Catalogue) -> None:
    names = [f"{number % 7}/{number:05}.jpg" for number in range(BATCH_ROWS + 100)]
    random.Random(1).shuffle(names)
    for start in range(0, len(names), 500):
        put(catalogue, "1", *names[start : start + 500])
    batches = list(catalogue.scan())
    assert [len(batch.items) for batch in batches] == [BATCH_ROWS, 100]
    scanned = [item.id for batch in batches for item in batch.items]
    assert scanned == sorted(names)
    vectors = np.concatenate([batch.vectors for batch in batches])
    np.testing.assert_array_equal(vectors, np.stack([vector_of(name, "1") for name in scanned]))


def test_a_scan_stays_at_its_version(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a.jpg", "b.jpg")
    catalogue.put_metadata("m.csv", "1", table(MetadataRow("a.jpg", title="old")))
    version = catalogue.version()
    before = everything(catalogue)
    put(catalogue, "2", "a.jpg", "c.jpg")
    remove(catalogue, "2", "b.jpg")
    catalogue.put_metadata("m.csv", "2", table(MetadataRow("a.jpg", title="new")))
    catalogue.compact()
    assert everything(catalogue, version) == before
    assert set(everything(catalogue)) == {"a.jpg", "c.jpg"}


def test_a_version_that_is_not_kept_says_so(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a.jpg")
    version = catalogue.version()
    put(catalogue, "1", "b.jpg")
    catalogue.compact(version_grace=NOW)
    with pytest.raises(StoreUnavailable, match="not kept any more"):
        everything(catalogue, version)
    assert set(everything(catalogue)) == {"a.jpg", "b.jpg"}


def test_rejections_come_latest_first_in_pages(catalogue: Catalogue) -> None:
    catalogue.put_items(
        [
            ItemRow(
                name,
                "1",
                status="rejected",
                reason="empty",
                message=f"{name}!",
                ingested_at=f"2024-01-0{day}",
            )
            for name, day in (("a", 1), ("b", 3), ("c", 3), ("d", 2))
        ]
    )
    put(catalogue, "1", "fine.jpg")
    assert [rejection.id for rejection in catalogue.rejections()] == ["b", "c", "d", "a"]
    assert [rejection.id for rejection in catalogue.rejections(1, 2)] == ["c", "d"]
    first = catalogue.rejections(limit=1)[0]
    assert (first.reason, first.message, first.at) == ("empty", "b!", "2024-01-03")


def test_stats_count(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a", "b", "c")
    remove(catalogue, "2", "a")
    catalogue.put_items([ItemRow("x", "1", status="rejected")])
    problems = (RowProblem(3, "oops"),)
    catalogue.put_metadata("m.csv", "1", table(MetadataRow("b"), MetadataRow("c"), problems=problems))
    catalogue.put_metadata("gone.csv", "1", table(MetadataRow("b")))
    catalogue.put_metadata("gone.csv", "2", None)
    stats = catalogue.stats()
    assert (stats.live, stats.removed, stats.rejected, stats.vectors) == (2, 1, 1, 3)
    assert (stats.metadata_files, stats.metadata_rows, stats.metadata_problems) == (1, 2, 1)
    assert stats.version == catalogue.version()


# Metadata


def test_the_folder_is_the_category_unless_a_file_says_otherwise(catalogue: Catalogue) -> None:
    put(catalogue, "1", "shoes/red/1.jpg", "shoes/2.jpg", "top.jpg")
    catalogue.put_metadata("m.csv", "1", table(MetadataRow("shoes/2.jpg", category="boots")))
    categories = {item.id: item.category for item in everything(catalogue).values()}
    assert categories == {"shoes/red/1.jpg": "shoes", "shoes/2.jpg": "boots", "top.jpg": None}


def test_metadata_may_come_before_its_image(catalogue: Catalogue) -> None:
    catalogue.put_metadata("m.csv", "1", table(MetadataRow("a.jpg", title="A", attributes={"price": 1.5})))
    version = catalogue.version()
    put(catalogue, "1", "a.jpg")
    item = catalogue.item("a.jpg")
    assert (item.title, item.attributes) == ("A", {"price": 1.5})
    assert catalogue.delta(version).items == {"a.jpg": item}


FIRST = table(
    MetadataRow("a", title="A1", product_id="P", attributes={"x": 1, "y": "one"}),
    MetadataRow("b", title="B1"),
)
SECOND = table(MetadataRow("a", title="A2"), MetadataRow("c", title="C2"))
OTHER = table(
    MetadataRow("a", category="other", attributes={"y": "two", "z": True}), MetadataRow("b", title="")
)
HISTORY: list[tuple[str, str, MetadataTable | None]] = [
    ("m.csv", "1", FIRST),
    ("m.csv", "3", SECOND),
    ("o.csv", "2", OTHER),
    ("gone.csv", "1", FIRST),
    ("gone.csv", "4", None),
]


@pytest.mark.parametrize("seed", range(6))
def test_files_of_metadata_merge_alike_in_any_order(catalogue: Catalogue, seed: int) -> None:
    put(catalogue, "1", "a", "b", "c")
    events = HISTORY * 2
    random.Random(seed).shuffle(events)
    for file, sequencer, content in events:
        catalogue.put_metadata(file, sequencer, content)
    items = everything(catalogue)
    facts = {i.id: (i.title, i.product_id, i.category, dict(i.attributes)) for i in items.values()}
    assert facts == {
        "a": ("A2", None, "other", {"y": "two", "z": True}),
        "b": (None, None, None, {}),
        "c": ("C2", None, None, {}),
    }


def test_column_by_column_the_later_file_wins(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a")
    late = table(MetadataRow("a", title="late", attributes={"y": 2}))
    early = table(MetadataRow("a", title="early", product_id="P", attributes={"x": 1, "y": 1}))
    catalogue.put_metadata("late.csv", "2", late)
    catalogue.put_metadata("early.csv", "1", early)
    item = catalogue.item("a")
    assert (item.title, item.product_id, dict(item.attributes)) == ("late", "P", {"x": 1, "y": 2})


def test_problems_are_kept_with_the_file_and_go_with_it(catalogue: Catalogue) -> None:
    catalogue.put_metadata("m.csv", "1", table(problems=(RowProblem(7, "seven"), RowProblem(9, "nine"))))
    assert catalogue.metadata_problems() == [
        MetadataProblem("m.csv", 7, "seven"),
        MetadataProblem("m.csv", 9, "nine"),
    ]
    file = catalogue.metadata_files()["m.csv"]
    assert (file.sequencer, file.removed, file.rows) == (normalise_sequencer("1"), False, 0)
    catalogue.put_metadata("m.csv", "2", None)
    assert catalogue.metadata_problems() == []
    assert catalogue.metadata_files()["m.csv"].removed


# Changes


def test_a_delta_says_what_changed_and_no_more(catalogue: Catalogue) -> None:
    put(catalogue, "1", "stays", "goes", "changes", "described")
    version = catalogue.version()
    put(catalogue, "2", "changes", "comes")
    remove(catalogue, "2", "goes")
    catalogue.put_metadata("m.csv", "1", table(MetadataRow("described", title="D")))
    delta = catalogue.delta(version)
    assert delta.version == catalogue.version()
    assert delta.removed == {"goes"}
    assert delta.vector_ids == ["changes", "comes"]
    np.testing.assert_array_equal(delta.vectors, np.stack([vector_of(i, "2") for i in delta.vector_ids]))
    assert delta.items == {
        item_id: item for item_id, item in everything(catalogue).items() if item_id != "stays"
    }
    assert catalogue.delta(delta.version).is_empty


def test_an_item_whose_vector_was_committed_earlier_is_in_the_delta(catalogue: Catalogue) -> None:
    """A crash fell between the two commits, a snapshot was built, and then the event came again."""
    catalogue.put_vectors(["a"], ["1"], ["h"], vector_of("a")[None])
    version = catalogue.version()
    catalogue.put_items([ItemRow("a", "1")])
    delta = catalogue.delta(version)
    assert delta.vector_ids == ["a"]
    assert delta.vectors.tolist() == [vector_of("a").tolist()]


def test_a_row_that_its_file_drops_is_a_change(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a", "b")
    catalogue.put_metadata("m.csv", "1", table(MetadataRow("a", title="A"), MetadataRow("b", title="B")))
    version = catalogue.version()
    catalogue.put_metadata("m.csv", "2", table(MetadataRow("b", title="B")))
    assert catalogue.delta(version).items["a"].title is None


def test_changes_are_counted_and_dated(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a", "b")
    version = catalogue.version()
    assert catalogue.count_changes(version) == 0
    assert catalogue.oldest_change(version) is None
    catalogue.put_metadata("m.csv", "1", table(MetadataRow("a", title="A")))
    described = catalogue.oldest_change(version)
    assert described is not None
    assert datetime.now(UTC) - described < timedelta(minutes=5)
    remove(catalogue, "2", "b")
    assert catalogue.count_changes(version) == 3  # a tombstone, a row and its file's head
    assert catalogue.oldest_change(version) == datetime.fromisoformat(LONG_AGO)


class Reader:
    """A searcher's view of a catalogue: what a snapshot said, and all deltas since."""

    def __init__(self) -> None:
        self.version = CatalogueVersion()
        self.items: dict[str, Item] = {}
        self.vectors: dict[str, list[float]] = {}

    def follow(self, delta: Delta) -> None:
        for item_id in delta.removed:
            self.items.pop(item_id, None)
            self.vectors.pop(item_id, None)
        self.items |= delta.items
        self.vectors |= dict(zip(delta.vector_ids, delta.vectors.tolist(), strict=True))
        self.version = delta.version


NAMES = st.sampled_from(["a/1", "a/2", "b/1"])
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("reject"), NAMES),
    st.tuples(st.just("vector"), NAMES),
    st.tuples(st.just("describe"), NAMES),
    st.tuples(st.just("undescribe"), NAMES),
    st.tuples(st.just("follow"), NAMES),
    st.tuples(st.just("compact"), NAMES),
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(STEPS, min_size=4, max_size=14))
def test_whoever_follows_the_deltas_sees_the_whole(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    store = Store(str(tmp_path_factory.mktemp("catalogue")))
    catalogue = Catalogue(store, "food", "tiny-1", DIMENSION)
    reader = Reader()
    actions: dict[str, Callable[[str, str], object]] = {
        "put": lambda name, at: put(catalogue, at, name),
        "remove": lambda name, at: remove(catalogue, at, name),
        "reject": lambda name, at: catalogue.put_items([ItemRow(name, at, status="rejected")]),
        "vector": lambda name, at: catalogue.put_vectors([name], [at], ["h"], vector_of(name, at)[None]),
        "describe": lambda name, at: catalogue.put_metadata(
            f"{name[0]}.csv", at, table(MetadataRow(name, title=at))
        ),
        "undescribe": lambda name, at: catalogue.put_metadata(f"{name[0]}.csv", at, None),
        "follow": lambda name, at: reader.follow(catalogue.delta(reader.version)),
        "compact": lambda name, at: catalogue.compact(reader.version, grace=NOW, version_grace=NOW),
    }
    for number, (action, name) in enumerate(steps, start=1):
        actions[action](name, f"{number:04x}")
    for follower in (reader, Reader()):
        follower.follow(catalogue.delta(follower.version))
        assert follower.items == everything(catalogue)
        assert {name: follower.vectors[name] for name in follower.items} == all_vectors(catalogue)


def test_who_follows_beside_racing_writers_misses_nothing(catalogue: Catalogue, artifacts: Store) -> None:
    """A commit that lost a race and came later must be in the next delta, not in one already read."""

    def write(writer: int) -> None:
        own = Catalogue(artifacts, "food", "tiny-1", DIMENSION)
        for step in range(8):
            put(own, f"{step + 1:02x}{writer}", f"{writer}-{step}", "shared")

    reader = Reader()
    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, writer) for writer in range(3)]
        while not all(writer.done() for writer in writers):
            reader.follow(catalogue.delta(reader.version))
            catalogue.compact()
        for writer in writers:
            writer.result()
    reader.follow(catalogue.delta(reader.version))
    assert len(reader.items) == 25
    assert reader.items == everything(catalogue)
    assert reader.vectors == all_vectors(catalogue)


# Cheap looks


def test_the_fingerprint_follows_every_commit_and_nothing_else(catalogue: Catalogue) -> None:
    seen = [catalogue.fingerprint()]
    for action in (
        lambda: catalogue.put_vectors(["a"], ["1"], ["h"], vector_of("a")[None]),
        lambda: catalogue.put_items([ItemRow("a", "1")]),
        lambda: catalogue.put_metadata("m.csv", "1", table()),
        lambda: remove(catalogue, "2", "a"),
    ):
        action()
        assert catalogue.fingerprint() not in seen
        seen.append(catalogue.fingerprint())
        catalogue.known(["a"])
        catalogue.delta(CatalogueVersion())
        assert catalogue.fingerprint() == seen[-1]


def test_a_collection_made_anew_has_another_fingerprint(catalogue: Catalogue, artifacts: Store) -> None:
    put(catalogue, "1", "a")
    before = catalogue.fingerprint(), catalogue.version()
    artifacts.delete_folder("collections/food")
    put(catalogue, "1", "b")
    assert catalogue.version() == before[1]
    assert catalogue.fingerprint() != before[0]


def test_version_and_fingerprint_need_neither_lance_nor_arrow(catalogue: Catalogue, tmp_path: Path) -> None:
    put(catalogue, "1", "a")
    script = (
        "import json, sys\n"
        "from lookalike.catalogue import Catalogue\n"
        "from lookalike.storage import Store\n"
        "catalogue = Catalogue(Store(sys.argv[1]), 'food', 'tiny-1', 4)\n"
        "print(json.dumps([catalogue.fingerprint(), catalogue.version().to_json(),\n"
        "                  sorted({'lance', 'pyarrow'} & sys.modules.keys())]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    version = catalogue.version().to_json()
    assert json.loads(done.stdout) == [catalogue.fingerprint(), version, []]
    assert CatalogueVersion.from_json(version) == catalogue.version()


# Housekeeping


def test_tombstones_are_purged_when_old_and_published(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a", "b", "c")
    remove(catalogue, "2", "a")
    published = catalogue.version()
    remove(catalogue, "2", "b")
    catalogue.compact()
    assert set(catalogue.known()) == {"a", "b", "c"}
    catalogue.compact(published, grace=timedelta(days=36_500))
    assert set(catalogue.known()) == {"a", "b", "c"}
    catalogue.compact(published)
    assert set(catalogue.known()) == set(catalogue.known_vectors()) == {"b", "c"}
    assert catalogue.delta(published).removed == {"b"}
    put(catalogue, "3", "a")
    assert set(everything(catalogue)) == {"a", "c"}


def test_dropped_metadata_is_purged_when_published(catalogue: Catalogue) -> None:
    put(catalogue, "1", "a", "b")
    rows = [MetadataRow("a", title="A"), MetadataRow("b", title="it's")]
    catalogue.put_metadata("o'neill.csv", "1", table(*rows))
    before = catalogue.version()
    catalogue.put_metadata("o'neill.csv", "2", table(rows[0]))
    catalogue.compact(before)
    assert catalogue.delta(before).items["b"].title is None
    catalogue.compact(catalogue.version())
    catalogue.put_metadata("o'neill.csv", "1", table(*rows))  # late, and without effect
    titles = {item.id: item.title for item in everything(catalogue).values()}
    assert titles == {"a": "A", "b": None}


def test_many_small_commits_leave_few_files(catalogue: Catalogue, tmp_path: Path) -> None:
    """Fragments are merged on the way; old versions and their files go after their grace."""
    for number in range(40):
        put(catalogue, "1", f"{number:03}.jpg")
    version = catalogue.version()
    vectors = tmp_path / "collections" / "food" / "vectors" / "tiny-1.lance"
    assert len(list((vectors / "_versions").glob("*.manifest"))) > 40
    catalogue.compact(version_grace=NOW)
    assert len(list((vectors / "_versions").glob("*.manifest"))) == 1
    assert len(list((vectors / "data").iterdir())) <= 2
    assert len(everything(catalogue)) == 40
    assert catalogue.delta(version).is_empty
    assert len(catalogue.delta(CatalogueVersion(35, 0, 35)).vector_ids) < 10


def test_tiers_of_fragments_rewrite_a_row_once_per_tier() -> None:
    """N batches cost O(N log N) rows written, and leave O(log N) fragments."""
    fragments: list[int] = []
    written = 0
    for batch in range(1, 20_001):
        fragments.append(LEVEL_ROWS)
        written += LEVEL_ROWS
        if batch % 32 == 0:
            target = fragment_target(fragments)
            merged: list[int] = []
            run = 0
            for rows in [*fragments, target]:
                if rows < target:
                    run += rows
                    if run < target:
                        continue
                if run:
                    merged.append(run)
                    written += run
                    run = 0
                if rows >= target:
                    merged.append(rows)
            fragments = merged[:-1]
        tiers = 1 + np.log(max(batch, 2)) / np.log(LEVEL_FACTOR)
        assert written <= (1 + tiers) * batch * LEVEL_ROWS
        assert len(fragments) <= 3 * LEVEL_FACTOR * tiers
    assert sum(fragments) == 20_000 * LEVEL_ROWS
