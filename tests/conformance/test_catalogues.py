"""The tables of record over a folder and over S3: the same writes, races and answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest

from lookalike.catalogue import Catalogue, CatalogueVersion, ItemRow, normalise_sequencer
from lookalike.metadata import MetadataRow, MetadataTable
from lookalike.storage import Store
from tests.aws_emulator.faulty_proxy import FaultyProxy

DIMENSION = 8
WRITERS = 4


@pytest.fixture
def catalogue(store: Store) -> Catalogue:
    return Catalogue(store, "food", "tiny-1", DIMENSION)


def put(catalogue: Catalogue, sequencer: str, value: float, *ids: str) -> None:
    """Commit items whose vectors are all `value`."""
    hashes = [f"{value}"] * len(ids)
    vectors = np.full((len(ids), DIMENSION), value, np.float32)
    catalogue.put_vectors(ids, [sequencer] * len(ids), hashes, vectors)
    catalogue.put_items([ItemRow(i, sequencer, content_hash=hashes[0]) for i in ids])


def visible(catalogue: Catalogue) -> dict[str, tuple[float, str | None]]:
    return {
        item.id: (float(vector[0]), item.title)
        for batch in catalogue.scan()
        for item, vector in zip(batch.items, batch.vectors, strict=True)
    }


def test_a_history_ends_alike(catalogue: Catalogue) -> None:
    assert catalogue.version() == CatalogueVersion()
    put(catalogue, "1", 1, "a/x.jpg", "it's ümläut.jpg", "b/gone.jpg")
    version, fingerprint = catalogue.version(), catalogue.fingerprint()
    catalogue.put_items([ItemRow("b/gone.jpg", "3", status="removed", ingested_at="2020-01-01T00:00:00")])
    put(catalogue, "2", 2, "b/gone.jpg", "a/x.jpg")
    put(catalogue, "1", 9, "a/x.jpg")
    catalogue.put_metadata("m.csv", "5", MetadataTable([MetadataRow("a/x.jpg", title="X")], []), etag="e")
    expected = {"a/x.jpg": (2.0, "X"), "it's ümläut.jpg": (1.0, None)}
    assert visible(catalogue) == expected
    assert catalogue.fingerprint() != fingerprint
    delta = catalogue.delta(version)
    assert delta.removed == {"b/gone.jpg"}
    assert delta.vector_ids == ["a/x.jpg"]
    assert delta.version == catalogue.version()
    assert catalogue.item("a/x.jpg").title == "X"
    catalogue.compact(catalogue.version(), version_grace=timedelta(0))
    assert visible(catalogue) == expected
    assert set(catalogue.known()) == set(catalogue.known_vectors()) == set(expected)
    assert catalogue.delta(delta.version).is_empty


def test_racing_writers_lose_nothing_and_double_nothing(store: Store) -> None:
    """Writers that start with no table at all, on the same ids, end with one row each, the newest."""
    ids = [f"{number}.jpg" for number in range(10)]

    def write(writer: int) -> None:
        catalogue = Catalogue(store, "food", "tiny-1", DIMENSION)
        for step in range(2):
            put(catalogue, f"{writer + 1:x}{step:x}", 10 * writer + step, *ids, f"own-{writer}-{step}.jpg")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    catalogue = Catalogue(store, "food", "tiny-1", DIMENSION)
    newest = normalise_sequencer(f"{WRITERS:x}1")
    scanned = [item.id for batch in catalogue.scan() for item in batch.items]
    own = [f"own-{writer}-{step}.jpg" for writer in range(WRITERS) for step in range(2)]
    assert scanned == sorted([*ids, *own])
    assert catalogue.stats().live == catalogue.stats().vectors == len(scanned)
    assert {row.sequencer for row in catalogue.known(ids).values()} == {newest}
    assert set(catalogue.known_vectors(ids).values()) == {(newest, f"{10 * (WRITERS - 1) + 1}")}
    assert {name: visible(catalogue)[name][0] for name in ids} == dict.fromkeys(ids, 31.0)


def test_compaction_beside_a_writer_costs_no_row(store: Store) -> None:
    catalogue = Catalogue(store, "food", "tiny-1", DIMENSION)
    put(catalogue, "1", 0, "first.jpg")

    def write() -> None:
        for number in range(5):
            put(catalogue, f"{number + 2:02x}", number, "same.jpg", f"{number}.jpg")

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write)
        while not writing.done():
            catalogue.compact(catalogue.version())
        writing.result()
    catalogue.compact(catalogue.version())
    expected = {f"{number}.jpg": float(number) for number in range(5)} | {"same.jpg": 4.0, "first.jpg": 0.0}
    assert {name: value for name, (value, _) in visible(catalogue).items()} == expected


def test_commits_and_news_cost_no_more_requests_however_many_came_before(
    s3_endpoint: str, s3_bucket: str
) -> None:
    with FaultyProxy(s3_endpoint) as proxy:
        catalogue = Catalogue(Store(f"s3://{s3_bucket}", s3_endpoint=proxy.url), "food", "tiny-1", DIMENSION)
        costs = []
        for number in range(24):  # the thirty-second commit would tidy
            before = proxy.requests
            since = catalogue.version()
            put(catalogue, f"{number + 1:x}", number, f"{number}.jpg")
            assert catalogue.delta(since).vector_ids == [f"{number}.jpg"]
            costs.append(proxy.requests - before)
    assert max(costs[12:]) <= max(costs[2:8]), costs
