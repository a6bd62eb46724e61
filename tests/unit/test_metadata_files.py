"""Many small metadata files, as uploads bring them: few commits, and each file keeps its own history."""

from __future__ import annotations

import json

import pytest

from lookalike.catalogue import Catalogue, MetadataVersion
from lookalike.errors import StoreUnavailable
from lookalike.ingest import IngestReport, metadata_files
from lookalike.ingest.metadata_files import MetadataFiles
from lookalike.layout import metadata_key
from lookalike.metadata import MetadataRow, MetadataTable
from lookalike.storage import Store
from lookalike.types import ObjectEvent


@pytest.fixture
def catalogue(tmp_path):
    return Catalogue(Store(str(tmp_path / "artifacts")), "c", "tiny-000000000000", 4)


@pytest.fixture
def images(tmp_path):
    return Store(str(tmp_path / "images"))


def table(title: str) -> MetadataTable:
    return MetadataTable([MetadataRow("a.jpg", title=title)], [])


def events(images: Store, count: int) -> dict[str, ObjectEvent]:
    names = [f"uploads/{number}.jpg.jsonl" for number in range(count)]
    for number, name in enumerate(names):
        row = {"file": f"{number}.jpg", "title": f"Thing {number}"}
        images.put(metadata_key("c", name), json.dumps(row).encode())
    return {name: ObjectEvent("c", metadata_key("c", name), "created", "1") for name in names}


def test_many_files_are_one_commit(catalogue, images):
    report = IngestReport()
    MetadataFiles(images).apply(catalogue, events(images, 30), report)
    assert (report.metadata_files, report.metadata_rows) == (30, 30)
    assert len(catalogue.metadata_files()) == 30
    # The table is made in one version and filled in the next.
    assert catalogue.version().metadata <= 2


def test_large_groups_are_cut(catalogue, images, monkeypatch):
    monkeypatch.setattr(metadata_files, "GROUP_ROWS", 10)
    report = IngestReport()
    MetadataFiles(images).apply(catalogue, events(images, 30), report)
    assert report.metadata_files == 30
    assert catalogue.version().metadata >= 6  # two rows a file, ten rows a commit


def test_a_commit_that_fails_fails_the_events_of_its_files_only(catalogue, images, monkeypatch):
    monkeypatch.setattr(metadata_files, "GROUP_ROWS", 20)
    put, calls = catalogue.put_metadata_files, []

    def fail_second(versions):
        calls.append(len(versions))
        if len(calls) == 2:
            raise StoreUnavailable("away")
        put(versions)

    monkeypatch.setattr(catalogue, "put_metadata_files", fail_second)
    asked, report = events(images, 25), IngestReport()
    MetadataFiles(images).apply(catalogue, asked, report)
    assert calls == [10, 10, 5]
    assert [event for event, _ in report.failed] == list(asked.values())[10:20]
    again = IngestReport()
    MetadataFiles(images).apply(catalogue, asked, again)
    assert (again.unchanged, again.metadata_files) == (15, 10)


def test_of_two_versions_of_a_file_the_newer_is_kept_within_one_commit_and_over_many(catalogue):
    new, old = MetadataVersion("m.csv", "2", table("new"), "e2"), MetadataVersion("m.csv", "1", table("old"))
    catalogue.put_metadata_files([new, old])
    assert catalogue.metadata_files()["m.csv"].etag == "e2"
    catalogue.put_metadata_files([old, MetadataVersion("n.csv", "1", None)])
    found = catalogue.metadata_files()
    assert (found["m.csv"].etag, found["n.csv"].removed) == ("e2", True)


def test_files_are_looked_up_by_name(catalogue):
    names = ["a.csv", "it's.csv", "ü/b.jsonl"]
    catalogue.put_metadata_files([MetadataVersion(name, "1", table(name)) for name in names])
    assert set(catalogue.metadata_files(["it's.csv", "ü/b.jsonl", "none.csv"])) == {"it's.csv", "ü/b.jsonl"}
    assert catalogue.metadata_files([]) == {}
    assert set(catalogue.metadata_files([*names, *(f"{number}.csv" for number in range(2_000))])) == set(
        names
    )
    assert set(catalogue.metadata_files()) == set(names)


def test_nothing_to_commit_is_no_commit(catalogue):
    catalogue.put_metadata_files([])
    assert catalogue.version().metadata == 0
