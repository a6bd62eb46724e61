"""The trash, in a folder and on S3: what is deleted comes back whole, and no crash loses an image."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from fixtures.shelf import NAME, Shelf, unit_vectors

from lookalike.errors import Conflict, Damaged, InvalidInput, ItemNotFound, ObjectNotFound, StoreUnavailable
from lookalike.layout import MAX_ID_BYTES, TRASH_DAYS, image_key, upload_metadata_key
from lookalike.snapshots import collect_garbage
from lookalike.storage import Store
from lookalike.trash import Trash

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDS = [
    "plain.jpg",
    "shoes/ä é.jpg",
    "写真/東京.jpg",
    "50%.jpg#2",
    "a\\..\\c.jpg",
    "x.jpg.part",
    "/".join(["long" * 50] * 5)[: MAX_ID_BYTES - len(NAME)],
]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def images(store: Store) -> Store:
    return _beside(store, "images")


@pytest.fixture
def artifacts(store: Store) -> Store:
    return _beside(store, "artifacts")


@pytest.fixture
def trash(images: Store, artifacts: Store, clock: Clock) -> Trash:
    return Trash(images, artifacts, NAME, clock=clock)


def _beside(store: Store, name: str, kind: type[Store] = Store) -> Store:
    """A store below another one."""
    return kind(f"{store.url}/{name}", s3_endpoint=store._s3_endpoint)


def content(item_id: str) -> bytes:
    return hashlib.sha256(item_id.encode()).digest() * 40


def fill(images: Store, *item_ids: str) -> None:
    for item_id in item_ids:
        images.put(image_key(NAME, item_id), content(item_id))
        images.put(upload_metadata_key(NAME, item_id), f'{{"file": "{len(item_id)}"}}\n'.encode())


def everything(store: Store) -> dict[str, bytes]:
    return {info.path: store.get(info.path).data for info in store.list()}


def test_what_is_deleted_is_listed_and_comes_back_whole(
    images: Store, artifacts: Store, trash: Trash
) -> None:
    fill(images, *IDS)
    before = everything(images)
    for item_id in IDS:
        keys = trash.move([item_id])
        assert keys == [image_key(NAME, item_id), upload_metadata_key(NAME, item_id)]
    assert everything(images) == {}
    entries = trash.entries(100)
    assert [entry.id for entry in entries] == [normalize("NFC", item_id) for item_id in reversed(IDS)]
    assert entries[-1].size_bytes == len(content(IDS[0]))
    assert datetime.fromisoformat(entries[0].expires_at) - datetime.fromisoformat(
        entries[0].deleted_at
    ) == timedelta(days=TRASH_DAYS)
    trash.restore(IDS)
    assert everything(images) == before
    assert trash.entries(100) == []
    assert everything(artifacts) == {}


def test_pages_of_the_trash_have_each_entry_once(images: Store, trash: Trash) -> None:
    ids = [f"{number}.jpg" for number in range(7)]
    fill(images, *ids)
    trash.move(ids)
    found, after = [], None
    while page := trash.entries(3, after):
        assert len(page) <= 3
        found += [entry.id for entry in page]
        after = page[-1].name
    assert found == ids[::-1]


def test_an_item_without_metadata_and_one_in_form_d(images: Store, trash: Trash) -> None:
    key = normalize("NFD", image_key(NAME, "é.jpg"))
    images.put(key, b"picture")
    assert trash.move(["é.jpg"]) == [image_key(NAME, "é.jpg")]
    assert everything(images) == {}
    assert trash.restore([normalize("NFD", "é.jpg")]) == [image_key(NAME, "é.jpg")]
    assert images.get(key).data == b"picture"


def test_what_is_not_there_is_refused(images: Store, trash: Trash) -> None:
    fill(images, "a.jpg")
    with pytest.raises(ItemNotFound):
        trash.move(["b.jpg"])
    trash.move(["a.jpg"])
    with pytest.raises(ItemNotFound, match="trash list"):
        trash.restore(["a.jpg", "b.jpg"])
    with pytest.raises(InvalidInput):
        trash.restore(["\ud800"])
    assert everything(images) == {}, "all or nothing"
    assert [entry.id for entry in trash.entries(9)] == ["a.jpg"]


def test_an_id_that_is_taken_again_is_a_conflict_or_swapped(images: Store, trash: Trash) -> None:
    fill(images, "a.jpg", "b.jpg")
    old = everything(images)
    trash.move(["a.jpg", "b.jpg"])
    images.put(image_key(NAME, "a.jpg"), b"another picture")
    with pytest.raises(Conflict, match="again"):
        trash.restore(["b.jpg", "a.jpg"])
    assert everything(images) == {image_key(NAME, "a.jpg"): b"another picture"}
    trash.restore(["b.jpg", "a.jpg"], replace=True)
    assert everything(images) == old
    (entry,) = trash.entries(9)
    assert entry.size_bytes == len(b"another picture")
    trash.restore(["a.jpg"], replace=True)
    assert images.get(image_key(NAME, "a.jpg")).data == b"another picture"
    assert not images.exists(upload_metadata_key(NAME, "a.jpg")), "metadata of the other picture"


def test_of_an_id_deleted_twice_the_latest_comes_back(images: Store, trash: Trash) -> None:
    for picture in (b"first", b"second"):
        images.put(image_key(NAME, "a.jpg"), picture)
        trash.move(["a.jpg"])
    trash.restore(["a.jpg"])
    assert images.get(image_key(NAME, "a.jpg")).data == b"second"
    assert [entry.size_bytes for entry in trash.entries(9)] == [len(b"first")]


def test_entries_expire_after_30_days(images: Store, artifacts: Store, trash: Trash, clock: Clock) -> None:
    fill(images, "old.jpg", "young.jpg")
    trash.move(["old.jpg"])
    clock.now += timedelta(days=1)
    trash.move(["young.jpg"])
    clock.now = START + timedelta(days=TRASH_DAYS, minutes=1)
    assert [entry.id for entry in trash.entries(9)] == ["young.jpg"]
    with pytest.raises(ItemNotFound):
        trash.restore(["old.jpg"])
    fill(images, "new.jpg")
    trash.move(["new.jpg"])
    assert len(artifacts.list_folders(f"trash/{NAME}")) == (2 if artifacts.folder else 3)


def test_housekeeping_removes_what_expired(tmp_path: Path) -> None:
    artifacts, images = Store(str(tmp_path / "artifacts")), Store(str(tmp_path / "images"))
    fill(images, "old.jpg", "young.jpg")
    now = datetime.now(UTC)
    Trash(images, artifacts, NAME, clock=lambda: now - timedelta(days=TRASH_DAYS, minutes=1)).move(
        ["old.jpg"]
    )
    Trash(images, artifacts, NAME, clock=lambda: now - timedelta(days=TRASH_DAYS - 1)).move(["young.jpg"])
    fill(images, "old.jpg")
    Trash(images, artifacts, NAME, clock=lambda: now - timedelta(days=TRASH_DAYS, hours=1)).move(["old.jpg"])
    shelf = Shelf.create(artifacts, tmp_path / "work", "tiny-0")
    shelf.put(["a"], unit_vectors(1, 16))
    shelf.build()
    collect_garbage(artifacts, NAME, 0)
    assert [entry.id for entry in Trash(images, artifacts, NAME).entries(9)] == ["young.jpg"]
    assert len(artifacts.list_folders(f"trash/{NAME}")) == 1


def test_an_emptied_trash_has_nothing_left(images: Store, artifacts: Store, trash: Trash) -> None:
    fill(images, "a.jpg", "b.jpg", "c.jpg")
    trash.move(["a.jpg", "b.jpg"])
    assert trash.empty() == 2
    assert trash.empty() == 0
    assert everything(artifacts) == {}
    assert images.exists(image_key(NAME, "c.jpg"))


def test_a_damaged_entry_names_the_file(images: Store, artifacts: Store, trash: Trash) -> None:
    fill(images, "a.jpg")
    trash.move(["a.jpg"])
    (path,) = [info.path for info in artifacts.list() if info.path.endswith("entry.json")]
    artifacts.put(path, artifacts.get(path).data.replace(b"a.jpg", b"b.jpg"))
    with pytest.raises(Damaged, match=r"entry\.json"):
        trash.restore(["a.jpg"])


class Failing(Store):
    """A real store that fails at its `steps`-th change and at each one after it, like a process that died."""

    steps = 0

    def put(self, *given: Any, **named: Any) -> str:
        self._step()
        return super().put(*given, **named)

    def delete(self, *given: Any, **named: Any) -> None:
        self._step()
        super().delete(*given, **named)

    def delete_folder(self, *given: Any, **named: Any) -> None:
        self._step()
        super().delete_folder(*given, **named)

    def _step(self) -> None:
        Failing.steps -= 1
        if Failing.steps < 0:
            raise StoreUnavailable("the process died")


@pytest.mark.parametrize("work", ["move", "restore", "replace"])
def test_a_crash_at_any_step_loses_nothing_and_can_be_repeated(
    store: Store, images: Store, artifacts: Store, trash: Trash, clock: Clock, work: str
) -> None:
    """After each step the image is in its place or in the trash, and doing it again ends well."""
    failing = Trash(
        _beside(store, "images", Failing), _beside(store, "artifacts", Failing), NAME, clock=clock
    )
    for steps in range(30):
        images.delete_folder(NAME)
        trash.empty()
        fill(images, "a.jpg")
        if work != "move":
            trash.move(["a.jpg"])
        if work == "replace":
            images.put(image_key(NAME, "a.jpg"), b"another picture")
        Failing.steps = steps
        try:
            _do(failing, work)
        except StoreUnavailable:
            saved = _saved(images, artifacts)
            assert content("a.jpg") in saved
            assert work != "replace" or b"another picture" in saved
            _repeat(trash, work)
            placed = [data for key, data in everything(images).items() if "/images/" in key]
            if work == "replace":  # the latest in the trash may now be the image that was replaced
                assert placed in ([content("a.jpg")], [b"another picture"])
                assert {content("a.jpg"), b"another picture"} <= {*_saved(images, artifacts)}
            else:
                assert placed == ([] if work == "move" else [content("a.jpg")])
        else:
            assert steps > 3
            return
    pytest.fail("it never ended")


def _do(trash: Trash, work: str) -> None:
    if work == "move":
        trash.move(["a.jpg"])
    else:
        trash.restore(["a.jpg"], replace=work == "replace")


def _repeat(trash: Trash, work: str) -> None:
    """Do it again; it may have been done but for the last step."""
    try:
        _do(trash, work)
    except ItemNotFound:
        if work == "move":
            return
        assert trash.entries(1) == []


def _saved(images: Store, artifacts: Store) -> list[bytes]:
    """The pictures in their place, and those of complete entries of the trash."""
    found = [data for key, data in everything(images).items() if "/images/" in key]
    for info in artifacts.list("trash"):
        if info.path.endswith("/entry.json"):
            try:
                found.append(artifacts.get(info.path.replace("entry.json", "image")).data)
            except ObjectNotFound:
                continue
    return found
