"""Files of a source become objects: whole, once, on a folder and on S3."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lookalike.layout import STAGING_FOLDER
from lookalike.sources.copy_files import LEFTOVER_SECONDS, Intake
from lookalike.storage import Store


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for number in range(20):
        file = folder / f"{number % 3}" / f"{number} ü%.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"picture %d" % number)
        # S3 tells whole seconds: what changed in the second of its upload is uploaded once more.
        os.utime(file, (1_600_000_000, 1_600_000_000))
    return folder


def names_of(source: Path) -> list[str]:
    return sorted(file.relative_to(source).as_posix() for file in source.rglob("*.jpg"))


def test_every_file_arrives_and_again_nothing_is_written(store: Store, source: Path) -> None:
    names = names_of(source)
    for expected in (True, False):
        intake = Intake(store, "shop", source)
        arrivals = intake.take(names, "images")
        intake.close()
        assert [arrival.key for arrival in arrivals] == [f"shop/images/{name}" for name in names]
        assert {(arrival.written, arrival.problem) for arrival in arrivals} == {(expected, None)}
    assert {info.path for info in store.list("shop")} == {f"shop/images/{name}" for name in names}
    assert all(store.get(f"shop/images/{name}").data == (source / name).read_bytes() for name in names)


def test_a_changed_file_is_written_again(store: Store, source: Path) -> None:
    name = names_of(source)[4]
    intake = Intake(store, "shop", source)
    intake.take(names_of(source), "images")
    intake.close()
    (source / name).write_bytes(b"another, longer picture")
    later = time.time() + 5
    os.utime(source / name, (later, later))
    intake = Intake(store, "shop", source)
    written = [arrival.key for arrival in intake.take(names_of(source), "images") if arrival.written]
    intake.close()
    assert written == [f"shop/images/{name}"]
    assert store.get(f"shop/images/{name}").data == b"another, longer picture"


def test_a_file_that_cannot_be_taken_is_told_and_the_others_arrive(tmp_path: Path, source: Path) -> None:
    images = Store(str(tmp_path / "images"))
    (tmp_path / "images" / "shop" / "images" / "0").mkdir(parents=True)
    (tmp_path / "images" / "shop" / "images" / "1").write_bytes(b"a file where a folder should be")
    intake = Intake(images, "shop", source)
    arrivals = intake.take([*names_of(source), "gone.jpg"], "images")
    intake.close()
    told = [arrival.key for arrival in arrivals if arrival.problem]
    assert told == [f"shop/images/{name}" for name in [n for n in names_of(source) if n[0] == "1"]] + [
        "shop/images/gone.jpg"
    ]
    assert sum(arrival.written for arrival in arrivals) == 20 - (len(told) - 1)


def test_no_half_written_file_is_ever_an_object(tmp_path: Path, source: Path) -> None:
    images = Store(str(tmp_path / "images"))
    staging = tmp_path / "images" / "shop" / STAGING_FOLDER
    staging.mkdir(parents=True)
    (staging / "fresh.part").write_bytes(b"another process is writing this now")
    intake = Intake(images, "shop", source)
    intake.take(names_of(source), "images")
    intake.close()
    assert {info.path.split("/")[1] for info in images.list("shop")} == {"images"}
    assert [file.name for file in staging.iterdir()] == ["fresh.part"]


def test_what_a_killed_process_left_is_removed_an_hour_later(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = tmp_path / "images" / "shop" / STAGING_FOLDER
    staging.mkdir(parents=True)
    (staging / "old.part").write_bytes(b"left")
    now = time.time()
    monkeypatch.setattr("lookalike.sources.copy_files.time.time", lambda: now + LEFTOVER_SECONDS + 10)
    Intake(Store(str(tmp_path / "images")), "shop", source).close()
    assert not staging.exists()


def test_the_source_may_be_the_collection_itself(tmp_path: Path, source: Path) -> None:
    images = Store(str(tmp_path / "images"))
    home = tmp_path / "images" / "shop" / "images"
    home.parent.mkdir(parents=True)
    source.rename(home)
    before = {name: (home / name).stat().st_ino for name in names_of(home)}
    intake = Intake(images, "shop", home)
    assert not any(arrival.written for arrival in intake.take(names_of(home), "images"))
    intake.close()
    assert {name: (home / name).stat().st_ino for name in names_of(home)} == before
