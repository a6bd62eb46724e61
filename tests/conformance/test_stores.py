"""The same assertions over a folder and over S3: whatever is built on `Store` may take either."""

from __future__ import annotations

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lookalike.errors import InvalidInput, ObjectNotFound
from lookalike.storage import Store

ODD_NAMES = [
    "images/with space.jpg",
    "images/plus+percent%20and%2Fslash.jpg",
    "images/quote'double\".jpg",
    "images/hash#tag.jpg",
    "images/question?and&more=.jpg",
    "images/ümläut-日本語-🍎.jpg",
    "images/[brackets]{braces}.jpg",
    "images/back\\slash.jpg",
    "images/tilde~dollar$comma,semi;.jpg",
    "images/" + "long" * 50 + ".jpg",
]
REFUSED_NAMES = ["../outside", "a/../b", "a//b", "./a", ""]


def test_what_was_put_is_read(store: Store) -> None:
    etag = store.put("a/b.bin", b"hello")
    blob = store.get("a/b.bin")
    assert blob.data == b"hello"
    assert blob.etag == etag
    assert store.exists("a/b.bin")


def test_put_takes_a_file(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"x" * 100_000)
    store.put("copy.bin", source)
    assert store.get("copy.bin").data == source.read_bytes()


def test_every_way_of_asking_names_the_same_etag_and_size(store: Store) -> None:
    store.put("a/b.bin", b"hello")
    listed = next(iter(store.list("a")))
    assert listed == store.head("a/b.bin")
    assert (listed.path, listed.size, listed.etag) == ("a/b.bin", 5, store.get("a/b.bin").etag)


def test_the_etag_changes_with_the_content(store: Store) -> None:
    assert store.put("a", b"one") != store.put("a", b"another")


def test_what_is_not_there_is_not_found(store: Store, tmp_path: Path) -> None:
    store.put("there", b"")
    for ask in (store.get, store.head, lambda path: store.get_limited(path, 10)):
        with pytest.raises(ObjectNotFound):
            ask("absent")
    with pytest.raises(ObjectNotFound):
        store.download("absent", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert not store.exists("absent")
    store.delete("absent")
    assert [info.path for info in store.list()] == ["there"]


def test_a_limit_is_inclusive_and_spares_the_read(store: Store) -> None:
    store.put("five", b"12345")
    blob = store.get_limited("five", 5)
    assert blob is not None
    assert blob.data == b"12345"
    assert store.get_limited("five", 4) is None


def test_a_known_etag_spares_the_read(store: Store) -> None:
    etag = store.put("a", b"one")
    assert store.get_if_changed("a", etag) is None
    store.put("a", b"other")
    changed = store.get_if_changed("a", etag)
    assert changed is not None
    assert changed.data == b"other"
    first = store.get_if_changed("a", None)
    assert first is not None
    assert first.data == b"other"


def test_create_lets_the_first_win(store: Store) -> None:
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.get("a").data == b"first"


def test_of_racing_creators_one_wins(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda worker: store.create("a", bytes([worker])), range(8)))
    assert won.count(True) == 1
    assert store.get("a").data == bytes([won.index(True)])


def test_replace_refuses_a_stale_etag(store: Store) -> None:
    old = store.put("a", b"one")
    assert store.replace("a", b"two", etag=old)
    assert not store.replace("a", b"three", etag=old)
    assert store.get("a").data == b"two"


def test_replace_refuses_what_is_gone(store: Store) -> None:
    etag = store.put("a", b"one")
    store.delete("a")
    assert not store.replace("a", b"two", etag=etag)
    assert not store.exists("a")
    assert store.replace("a", b"again", etag=None)
    assert not store.replace("a", b"twice", etag=None)


def test_racing_swaps_lose_no_update(store: Store) -> None:
    """Four threads add to one counter by compare-and-swap; every addition counts."""
    store.put("counter", b"0")

    def add(times: int) -> None:
        while times:
            blob = store.get("counter")
            times -= store.replace("counter", str(int(blob.data) + 1).encode(), etag=blob.etag)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, [10] * 4))
    assert store.get("counter").data == b"40"


def test_a_listing_goes_by_folder_not_by_prefix_of_the_name(store: Store) -> None:
    for path in ("a/b/1", "a/b/c/2", "a/bc/3", "a/b.txt", "d"):
        store.put(path, b"")
    assert sorted(info.path for info in store.list("a/b")) == ["a/b/1", "a/b/c/2"]
    assert sorted(info.path for info in store.list("a/b/")) == ["a/b/1", "a/b/c/2"]
    assert sorted(info.path for info in store.list()) == ["a/b.txt", "a/b/1", "a/b/c/2", "a/bc/3", "d"]
    assert list(store.list("absent")) == []


def test_a_listing_is_whole_beyond_one_page(store: Store) -> None:
    names = {f"many/{number:04}" for number in range(1_010)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(name, b""), sorted(names)))
    assert {info.path for info in store.list("many")} == names


def test_folders_are_listed_by_name(store: Store) -> None:
    for path in ("top/b/x", "top/a/y/z", "top/file", "other/c/x"):
        store.put(path, b"")
    assert store.list_folders("top") == ["a", "b"]
    assert store.list_folders() == ["other", "top"]
    assert store.list_folders("absent") == []


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_go_in_and_come_out_alike(store: Store, name: str) -> None:
    store.put(name, name.encode())
    assert [info.path for info in store.list()] == [name]
    assert store.get(name).data == name.encode()
    assert store.head(name).path == name
    store.delete(name)
    assert not store.exists(name)


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_names_that_lead_elsewhere_are_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidInput):
        store.put(name, b"")
    assert list(store.list()) == []


def test_a_folder_is_deleted_with_all_below_it(store: Store) -> None:
    for path in ("a/1", "a/b/2", "ab/3"):
        store.put(path, b"")
    store.delete_folder("a")
    assert [info.path for info in store.list()] == ["ab/3"]
    assert store.list_folders() == ["ab"]


def test_a_download_is_the_object(store: Store, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    store.put("big", data)
    store.download("big", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["big"]


def test_a_signed_url_gives_and_takes_on_s3(s3_store: Store) -> None:
    put = urllib.request.Request(s3_store.sign("PUT", "a b.txt", 60), data=b"hello", method="PUT")
    put.add_header("Content-Type", "text/plain")
    with urllib.request.urlopen(put) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(s3_store.sign("GET", "a b.txt", 60)) as answer:
        assert answer.read() == b"hello"


def test_a_version_is_read_where_the_bucket_keeps_them(
    s3_endpoint: str, s3_bucket: str, s3_store: Store
) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    client.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(Bucket=s3_bucket, Key="some/prefix/a", Body=b"old")["VersionId"]
    s3_store.put("a", b"new")
    blob = s3_store.get_limited("a", 100, version=first)
    assert blob is not None
    assert blob.data == b"old"
    newest = s3_store.get_limited("a", 100)
    assert newest is not None
    assert newest.data == b"new"
