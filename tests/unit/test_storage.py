"""What is special to a folder; what a folder and S3 share is in conformance/test_stores.py."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lookalike.errors import InvalidInput, StoreUnavailable
from lookalike.layout import lock_name, temporary_name
from lookalike.settings import Settings
from lookalike.storage import Store


def test_urls_that_name_no_store(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown scheme"):
        Store("gs://bucket")
    with pytest.raises(InvalidInput, match="names no bucket"):
        Store("s3://")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidInput, match="folder cannot be made"):
        Store(str(tmp_path / "file" / "store"))


def test_the_two_roots_of_settings(tmp_path: Path) -> None:
    settings = Settings(store=f"{tmp_path}/")
    assert Store.images(settings).folder == tmp_path / "images"
    assert Store.artifacts(settings).folder == tmp_path / "artifacts"
    apart = Settings(store="unused", images=str(tmp_path / "i"), artifacts=str(tmp_path / "a"))
    assert Store.images(apart).folder == tmp_path / "i"
    assert Store.artifacts(apart).folder == tmp_path / "a"


def test_where_lance_finds_the_same_place(tmp_path: Path) -> None:
    folder = Store(str(tmp_path))
    assert folder.lance_uri("x/items.lance") == str(tmp_path / "x" / "items.lance")
    assert folder.lance_options() is None
    s3 = Store("s3://bucket/prefix/", s3_endpoint="http://127.0.0.1:1", s3_region="eu-central-1")
    assert s3.lance_uri("x/items.lance") == "s3://bucket/prefix/x/items.lance"
    assert s3.lance_options() == {
        "aws_region": "eu-central-1",
        "aws_endpoint": "http://127.0.0.1:1",
        "allow_http": "true",
        "pool_idle_timeout": "15 seconds",
    }
    assert s3.local_path("x") is None
    assert (s3.can_sign, folder.can_sign) == (True, False)


def test_a_relative_folder_survives_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("store")
    store.put("a", b"1")
    monkeypatch.chdir("/")
    assert store.get("a").data == b"1"
    assert store.local_path("a") == tmp_path / "store" / "a"


def test_a_listing_passes_what_is_not_an_object(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.put("a/good.jpg", b"")
    skipped: list[str] = []
    hidden = (temporary_name("0" * 32), lock_name("pointer.json.lock"), "pointer.json.lock")
    for name in (*hidden, "line\nbreak.jpg"):
        (tmp_path / "a" / name).write_bytes(b"")
    (tmp_path / "a" / ".staging").mkdir()
    (tmp_path / "a" / ".staging" / "big.bin.77.part").write_bytes(b"")
    (tmp_path / "a" / "dangling").symlink_to(tmp_path / "nowhere")
    assert [info.path for info in store.list(skipped=skipped.append)] == ["a/good.jpg"]
    assert skipped == ["a/line\nbreak.jpg"]


def test_names_like_those_of_temporary_files_are_objects(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    names = ["a/big.bin.77.part", "a/good.jpg#12", "a/pointer.json.lock"]
    for name in names:
        store.put(name, name.encode())
    assert [info.path for info in store.list()] == names
    assert [store.get(name).data.decode() for name in names] == names
    assert not store.create(names[1], b"")


def test_a_name_that_is_not_unicode_does_not_stop_a_listing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.put("good.jpg", b"")
    try:
        with Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).open("wb"):
            pass
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    assert [info.path for info in store.list()] == ["good.jpg"]


def test_a_deleted_folder_takes_its_locks_along(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    etag = store.put("a/pointer", b"1")
    store.replace("a/pointer", b"2", etag=etag)
    assert (tmp_path / "a" / ".pointer.lock").exists()
    store.delete_folder("a")
    assert not (tmp_path / "a").exists()


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    store, other = Store(str(tmp_path)), Store(str(tmp_path))
    with store.lock("work.lock"):
        failures: list[Exception] = []

        def enter() -> None:
            try:
                with other.lock("work.lock", seconds=0.05):
                    pass
            except StoreUnavailable as error:
                failures.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert "locked by another process" in str(failures[0])
    with other.lock("work.lock", seconds=0.05):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    script = (
        "import os, sys; from lookalike.storage import Store\n"
        "with Store(sys.argv[1]).lock('work.lock'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(StoreUnavailable), Store(str(tmp_path)).lock("work.lock", seconds=0.05):
        pass
    process.kill()
    process.communicate()
    with Store(str(tmp_path)).lock("work.lock", seconds=5):
        pass


def test_an_object_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A reader beside a writer of large objects sees one of them, never a part."""
    store = Store(str(tmp_path))
    versions = [bytes([number]) * 2_000_000 for number in range(4)]
    store.put("a", versions[0])
    done = threading.Event()

    def write() -> None:
        for _ in range(5):
            for version in versions:
                store.put("a", version)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    reads = 0
    while not done.is_set() or not reads:
        assert store.get("a").data in versions
        reads += 1
    thread.join()
