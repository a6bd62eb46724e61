"""The newest version of a table on S3, from what a process saw before, while another process writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from lookalike.catalogue import ItemRow, newest_version, schemas
from lookalike.catalogue.tables import Table
from lookalike.storage import Store
from tests.aws_emulator.request_recorder import Recorder

PATH = "collections/shop/items.lance"


class Process:
    """A process that reads and writes the table, with its requests.

    What a process knows of tables is kept by endpoint, and each of these has an endpoint of its own.
    """

    def __init__(self, endpoint: str, bucket: str) -> None:
        self.recorder = Recorder(endpoint)
        self.store = Store(f"s3://{bucket}", s3_endpoint=self.recorder.url)
        self.table = Table(self.store, PATH, schemas.items_schema)

    def put(self, *ids: str) -> None:
        for item_id in ids:
            self.table.upsert(schemas.items_table([ItemRow(item_id, "1")]))

    def ids(self) -> list[str]:
        return sorted(self.table.read(["id"]).column("id").to_pylist())

    def listings(self) -> int:
        return sum(" list " in line for line in self.recorder.taken())


@pytest.fixture
def processes(s3_endpoint: str, s3_bucket: str) -> Iterator[tuple[Process, Process]]:
    pair = Process(s3_endpoint, s3_bucket), Process(s3_endpoint, s3_bucket)
    yield pair
    for each in pair:
        each.recorder.forwarder.close()


def agree(reader: Process, writer: Process, *ids: str) -> None:
    """The reader sees what the writer made, and by the same names as a listing has them."""
    listed = next(iter(writer.store.list(f"{PATH}/_versions")))
    found = reader.table.newest()
    assert found is not None
    assert (found.path, found.etag) == (listed.path, listed.etag)
    assert reader.table.version() == newest_version.version_of(listed)
    assert reader.ids() == sorted(ids)


def test_commits_of_another_process_are_seen_without_a_listing(processes: tuple[Process, Process]) -> None:
    one, other = processes
    one.put("a")
    other.put("b")
    one.recorder.taken()
    agree(one, other, "a", "b")
    other.put("c", "d")
    agree(one, other, "a", "b", "c", "d")
    assert one.listings() == 0


def test_a_commit_lists_once_and_that_is_lance_itself(processes: tuple[Process, Process]) -> None:
    one, other = processes
    one.put("a")
    other.put("b")
    one.recorder.taken()
    one.put("c")
    assert one.listings() == 1
    agree(one, other, "a", "b", "c")


def test_many_commits_of_another_process_are_seen(processes: tuple[Process, Process]) -> None:
    one, other = processes
    one.put("a")
    ids = [f"b{number}" for number in range(newest_version.MAX_STEPS + 2)]
    other.put(*ids)
    agree(one, other, "a", *ids)


def test_a_table_that_another_process_makes_is_seen_and_not_made_again(
    processes: tuple[Process, Process],
) -> None:
    one, other = processes
    assert one.table.version() == 0
    assert one.ids() == []
    other.put("a")
    one.put("b")
    agree(one, other, "a", "b")


@pytest.mark.parametrize("commits", [1, 3, 5])
def test_a_table_that_takes_the_place_of_another_is_seen(
    processes: tuple[Process, Process], commits: int
) -> None:
    """Whether it has fewer versions, as many, or more."""
    one, other = processes
    one.put("a", "b", "c")
    for info in list(other.store.list(PATH)):
        other.store.delete(info.path)
    ids = [f"new-{number}" for number in range(commits)]
    other.put(*ids)
    agree(one, other, *ids)
    one.put("last")
    agree(one, other, *ids, "last")


def test_versions_that_were_cleaned_up_do_not_hide_the_newest(processes: tuple[Process, Process]) -> None:
    one, other = processes
    one.put("a")
    other.put("b", "c", "d")
    other.table.tidy(timedelta(0))
    agree(one, other, "a", "b", "c", "d")
    one.put("e")
    agree(one, other, "a", "b", "c", "d", "e")


def test_what_was_known_long_ago_is_listed_again(
    processes: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = processes
    one.put("a")
    one.recorder.taken()
    assert one.table.version() == 2
    assert one.listings() == 0
    monkeypatch.setattr(newest_version, "KNOWN_SECONDS", 0.0)
    other.put("b")
    assert one.table.version() == 3
    assert one.listings() == 1
