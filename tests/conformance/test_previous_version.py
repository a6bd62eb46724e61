"""An upgrade: processes of the previous version still run on a store that the current one writes.

`fixtures/stores/previous_version.tar.xz` is the library of the previous version. Its process starts before
the current code writes, and goes on reading and writing, as functions on AWS do during a deployment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.photos import write_photos
from fixtures.shelf import Shelf, unit_vectors

import lookalike
from lookalike.library import Library

PACKED = Path(__file__).parents[1] / "fixtures" / "stores" / "previous_version.tar.xz"
NAME = "shop"
SHELF = "shelf"
COUNT = 16
# Answers each line of its input, a JSON array of a word, its argument and a collection,
# with a line of JSON.
PROGRAM = """
import json, sys
from pathlib import Path
import lookalike
assert lookalike.__file__.startswith(sys.argv[3]), lookalike.__file__
library = lookalike.open(sys.argv[1], cache=Path(sys.argv[2]))
for line in sys.stdin:
    word, argument, name = json.loads(line)
    if word == "add":
        report = library.collection(name).add(argument)
        answer = [report.encoded, len(report.failed)]
    elif word == "remove":
        answer = library.collection(name).remove(argument)
    elif word == "build":
        answer = library.build_snapshot(name).id
    else:
        found = library.collection(name).search(id=argument, k=100)
        answer = [[match.item.id, match.item.title, match.score] for match in found.matches]
    print(json.dumps(answer), flush=True)
"""


class Previous:
    """A process of the previous version."""

    def __init__(self, url: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, str(folder / "cache"), str(folder)],
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, word: str, argument: str = "", collection: str = NAME) -> Any:
        self.ask(word, argument, collection)
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, word: str, argument: str, collection: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([word, argument, collection]) + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of both kinds, for both versions."""
    monkeypatch.setenv("LOOKALIKE_REFRESH_SECONDS", "0.01")
    if request.param == "folder":
        return str(tmp_path / "store")
    monkeypatch.setenv("LOOKALIKE_S3_ENDPOINT", request.getfixturevalue("s3_endpoint"))
    return f"s3://{request.getfixturevalue('s3_bucket')}/store"


@pytest.fixture
def library(place: str, tmp_path: Path, tiny_encoder_folder: Path) -> Library:
    """The store as the current version opens it."""
    found = lookalike.open(place, cache=tmp_path / "cache")
    found.encoders.add(tiny_encoder_folder)
    found.create_collection(NAME)
    return found


@pytest.fixture
def previous(place: str, library: Library, tmp_path: Path) -> Iterator[Previous]:
    folder = tmp_path / "previous"
    with tarfile.open(PACKED) as archive:
        archive.extractall(folder, filter="data")
    made = Previous(place, folder)
    yield made
    made.close()


def found_by(library: Library, item_id: str, collection: str = NAME) -> list[Any]:
    result = library.collection(collection).search(id=item_id, k=100)
    return [[match.item.id, match.item.title, match.score] for match in result.matches]


def test_old_functions_read_what_the_new_ones_write(
    library: Library, previous: Previous, tmp_path: Path
) -> None:
    first = write_photos(tmp_path / "first", COUNT)
    assert previous.do("add", str(tmp_path / "first")) == [COUNT, 0]
    previous.do("build")
    before = previous.do("search", first[0])
    assert len(before) == COUNT - 1
    assert found_by(library, first[0]) == before
    # A delta that the new version wrote, then its snapshot.
    second = write_photos(tmp_path / "second", COUNT + 8, seed=1)
    for item_id in first:
        (tmp_path / "second" / item_id).unlink()
        second.remove(item_id)
    assert library.collection(NAME).add(tmp_path / "second").encoded == len(second) == 8
    for build in (False, True):
        if build:
            library.build_snapshot(NAME)
        seen = previous.do("search", first[0])
        assert {item_id for item_id, _, _ in seen} == {*first[1:], *second}
        assert seen == found_by(library, first[0])


def test_old_and_new_functions_write_at_once(library: Library, previous: Previous, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 2 * COUNT)
    for number, item_id in enumerate(photos):
        half = tmp_path / ("old" if number % 2 else "new") / item_id
        half.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / item_id).rename(half)
    with ThreadPoolExecutor(2) as pool:
        old = pool.submit(previous.do, "add", str(tmp_path / "old"))
        new = pool.submit(library.collection(NAME).add, tmp_path / "new")
        assert old.result() == [COUNT, 0]
        assert (new.result().encoded, new.result().failed) == (COUNT, [])
    for build in (previous.do, None):
        if build:
            build("build")
        else:
            library.build_snapshot(NAME)
        seen = previous.do("search", photos[0])
        assert {item_id for item_id, _, _ in seen} == set(photos[1:])
        assert seen == found_by(library, photos[0])
    assert previous.do("remove", photos[1]) == 1
    assert library.collection(NAME).remove(photos[2]) == 1
    left = [item_id for item_id, _, _ in previous.do("search", photos[0])]
    assert sorted(left) == sorted(photos[3:])
    assert [item_id for item_id, _, _ in found_by(library, photos[0])] == left


def test_old_functions_follow_a_snapshot_with_a_search_space_and_words(
    library: Library, previous: Previous, tmp_path: Path
) -> None:
    config = replace(library.collections.get(NAME), name=SHELF, dimensions=8)
    shelf = Shelf(library.artifacts, tmp_path / "work", config, 16)
    library.collections.create(shelf.config)
    names = [f"a/{number:03}" for number in range(201)]
    vectors = unit_vectors(201, 16)
    shelf.put(names[:199], vectors[:199])
    previous.do("build", SHELF)
    before = previous.do("search", names[0], SHELF)
    assert len(before) == 100
    shelf.put(names[199:], np.stack([vectors[0], vectors[200]]))
    shelf.describe({name: {"title": f"item {number}"} for number, name in enumerate(names)})
    manifest = shelf.build()
    assert manifest.space is not None
    assert manifest.text is not None
    seen = previous.do("search", names[0], SHELF)
    assert seen[0][0] == names[199]
    assert seen == found_by(library, names[0], SHELF)
