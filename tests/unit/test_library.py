"""The Python API: `lookalike.open(store).collection(name)`, and what its methods do and refuse."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.photos import write_photos

import lookalike
from lookalike.errors import (
    CollectionNotFound,
    Conflict,
    EncoderNotFound,
    FilterError,
    ImageRejected,
    InvalidInput,
    ItemNotFound,
    NotReady,
)
from lookalike.library import Collection, Library

COUNT = 12


@pytest.fixture
def library(tmp_path: Path, tiny_encoder_folder: Path) -> Library:
    """A store with one encoder, opened as a caller opens it."""
    opened = lookalike.open(str(tmp_path / "store"), cache=tmp_path / "cache")
    opened.encoders.add(tiny_encoder_folder)
    return opened


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", COUNT)
    return tmp_path / "photos"


@pytest.fixture
def shop(library: Library, photos: Path) -> Collection:
    collection = library.create_collection("shop")
    collection.add(photos)
    return collection


def ids(collection: Collection) -> set[str]:
    return {entry.id for entry in collection.neighbors(1)}


def test_the_package_exports_the_library_without_importing_it() -> None:
    """Importing `lookalike` loads no other module; the classes are loaded when they are first named."""
    script = (
        "import sys; before = set(sys.modules); import lookalike; print(*set(sys.modules) - before); "
        "assert lookalike.Library.__name__ == 'Library'; assert lookalike.Collection.__name__ == 'Collection'"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) <= {"lookalike", "__future__"}
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = lookalike.nothing_of_this_name


def test_added_images_are_found(shop: Collection, photos: Path) -> None:
    files = sorted(photos.rglob("*.jpg"))
    result = shop.search(files[0], k=5)
    assert [len(result.matches), result.matches[0].item.id] == [5, files[0].relative_to(photos).as_posix()]
    assert shop.search(files[0].read_bytes(), k=1).matches == result.matches[:1]
    assert shop.search(str(files[0]), k=2, offset=1).matches == result.matches[1:3]
    similar = shop.search(id=result.matches[0].item.id, k=COUNT)
    assert len(similar.matches) == COUNT - 1
    assert len(shop.search(id=result.matches[0].item.id, k=COUNT, include_self=True).matches) == COUNT


def test_a_search_filters_and_groups(shop: Collection, photos: Path) -> None:
    item = shop.item(sorted(photos.rglob("*.jpg"))[0].relative_to(photos).as_posix())
    same = shop.search(id=item.id, k=COUNT, filter={"category": item.category})
    assert same.matches
    assert {match.item.category for match in same.matches} == {item.category}
    grouped = shop.search(id=item.id, k=COUNT, group_by="category").matches
    assert len({match.item.category for match in grouped}) == len(grouped) > 1


def test_what_a_search_refuses(shop: Collection, library: Library, photos: Path) -> None:
    with pytest.raises(InvalidInput, match="query is empty"):
        shop.search()
    with pytest.raises(InvalidInput, match="not both"):
        shop.search(photos / "x.jpg", id="x")
    with pytest.raises(ItemNotFound):
        shop.search(id="nothing.jpg")
    with pytest.raises(ImageRejected):
        shop.search(b"not an image")
    with pytest.raises(FilterError):
        shop.search(id="x", filter={"price": {"about": 5}})
    with pytest.raises(FileNotFoundError):
        shop.search(photos / "nowhere.jpg")
    with pytest.raises(NotReady):
        library.create_collection("empty").search(next(photos.rglob("*.jpg")))


def test_files_and_folders_can_be_added_below_a_category(shop: Collection, tmp_path: Path) -> None:
    written = write_photos(tmp_path / "more", 3, seed=50)
    files = [tmp_path / "more" / name for name in written]
    renamed = [file.rename(file.with_name(f"new-{number}.jpg")) for number, file in enumerate(files)]
    before = ids(shop)
    seen: list[tuple[str, int, int]] = []
    report = shop.add(renamed[:2], category="boots", progress=lambda *step: seen.append(step))
    assert (report.encoded, report.pictures, report.failed) == (2, 2, [])
    assert seen[0] == ("indexing", 0, 2)
    assert ("indexing", 2, 2) in seen
    assert ids(shop) - before == {"boots/new-0.jpg", "boots/new-1.jpg"}
    assert shop.item("boots/new-0.jpg").category == "boots"
    shop.add(str(renamed[2]))
    assert shop.search(renamed[2], k=1).matches[0].item.id == "new-2.jpg"
    assert shop.add(renamed[:2], category="boots").unchanged == 2
    with pytest.raises(InvalidInput, match="no such file or folder"):
        shop.add(tmp_path / "nowhere")


def test_removed_items_are_not_found_any_more(shop: Collection, photos: Path) -> None:
    first, second, *rest = sorted(ids(shop))
    with pytest.raises(ItemNotFound):
        shop.remove([first, "nothing.jpg"])
    assert shop.item(first).id == first
    assert shop.remove([first, second, first]) == 2
    assert ids(shop) == set(rest)
    assert shop.remove(rest[0]) == 1
    assert (photos / first).exists()  # the copy was deleted, not the original


def test_removed_items_are_restored_from_the_trash(shop: Collection) -> None:
    first, second, *rest = sorted(ids(shop))
    before = shop.item(first)
    shop.remove([first, second])
    assert [entry.id for entry in shop.trash.entries(9)] == [second, first]
    with pytest.raises(ItemNotFound):
        shop.restore([first, rest[0]])
    assert shop.restore([first, second]) == 2
    assert ids(shop) == {first, second, *rest}
    assert replace(shop.item(first), ingested_at="") == replace(before, ingested_at="")
    shop.remove(first)
    shop.library.delete_collection("shop")
    assert list(shop.library.artifacts.list("trash")) == []


def test_another_process_finds_what_was_added(shop: Collection, tmp_path: Path) -> None:
    other = lookalike.open(str(tmp_path / "store"), cache=tmp_path / "other").collection("shop")
    assert ids(other) == ids(shop)


def test_collections_are_created_and_deleted(library: Library, photos: Path) -> None:
    made = library.create_collection("shop", engine="exact", metric="l2")
    assert (made.config.engine, made.config.metric) == ("exact", "l2")
    assert repr(made) == "Collection('shop')"
    made.add(photos)
    with pytest.raises(Conflict):
        library.create_collection("shop")
    with pytest.raises(EncoderNotFound):
        library.create_collection("other", encoder="nothing")
    with pytest.raises(InvalidInput):
        library.create_collection("Not A Name")
    library.delete_collection("shop")
    with pytest.raises(CollectionNotFound):
        library.collection("shop")
    with pytest.raises(CollectionNotFound):
        library.delete_collection("shop")
    assert list(library.images.list("shop")) == []
    assert len(ids_of_new(library, photos)) == COUNT


def ids_of_new(library: Library, photos: Path) -> set[str]:
    """Items of a collection that is created again under the name of a deleted one."""
    again = library.create_collection("shop")
    again.add(photos)
    return ids(again)


def test_many_threads_share_one_library(shop: Collection, library: Library, photos: Path) -> None:
    files = sorted(photos.rglob("*.jpg"))[:6]
    found: dict[Path, str] = {}

    def search(file: Path) -> None:
        found[file] = library.collection("shop").search(file, k=1).matches[0].item.id

    threads = [threading.Thread(target=search, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {file: file.relative_to(photos).as_posix() for file in files}


def test_duplicates_are_grouped(shop: Collection, photos: Path, tmp_path: Path) -> None:
    original = sorted(photos.rglob("*.jpg"))[0]
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(original.read_bytes())
    shop.add(copy)
    groups = [{member.id for member in group.members} for group in shop.duplicates()]
    assert any({original.relative_to(photos).as_posix(), "copy.jpg"} <= group for group in groups)
