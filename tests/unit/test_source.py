"""What of a folder is taken, and what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.errors import InvalidInput
from lookalike.sources.scan import Source

JPEG = b"\xff\xd8\xff\xe0 not a whole one, but it begins like one"


def write(folder: Path, *names: str, data: bytes = JPEG) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def test_pictures_at_any_depth_and_metadata_at_the_top(tmp_path: Path) -> None:
    write(tmp_path, "b/2.JPG", "a/deep/er/1.webp", "top.png", "meta.csv", "more.jsonl", "rows.PARQUET")
    write(tmp_path, "a/notes.csv", data=b"file\n")
    source = Source.scan(tmp_path)
    assert source.pictures == ["top.png", "a/deep/er/1.webp", "b/2.JPG"]
    assert source.metadata == ["meta.csv", "more.jsonl", "rows.PARQUET"]
    assert (source.ignored, source.examples) == (1, ["a/notes.csv"])


def test_hidden_files_and_leftovers_are_passed_over(tmp_path: Path) -> None:
    write(
        tmp_path, ".hidden.jpg", ".git/a.jpg", "__MACOSX/a.jpg", "x/.DS_Store", "x/Thumbs.db", "x/desktop.ini"
    )
    write(tmp_path, "x/kept.jpg")
    source = Source.scan(tmp_path)
    assert (source.pictures, source.ignored) == (["x/kept.jpg"], 0)


def test_a_picture_under_another_name_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    write(tmp_path, "photo", "photo.bin")
    write(tmp_path, "sticker.dat", data=b"RIFF\x00\x00\x00\x00WEBPVP8 ")
    write(tmp_path, "modern.x", data=b"\x00\x00\x00\x20ftypavif")
    write(tmp_path, "readme.txt", "empty", data=b"")
    source = Source.scan(tmp_path)
    assert source.pictures == ["modern.x", "photo", "photo.bin", "sticker.dat"]
    assert source.ignored == 2


def test_formats_that_are_not_read_are_taken_so_that_they_are_rejected_by_name(tmp_path: Path) -> None:
    write(tmp_path, "drawing.svg", "phone.heic", data=b"whatever")
    assert Source.scan(tmp_path).pictures == ["drawing.svg", "phone.heic"]


def test_links_are_followed_only_while_they_stay_inside(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    write(inside, "real.jpg")
    write(outside, "secret.jpg")
    (inside / "again.jpg").symlink_to(inside / "real.jpg")
    (inside / "leak.jpg").symlink_to(outside / "secret.jpg")
    (inside / "broken.jpg").symlink_to(inside / "nowhere.jpg")
    (inside / "loop.jpg").symlink_to(inside / "loop.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "round").symlink_to(inside)
    source = Source.scan(inside)
    assert source.pictures == ["again.jpg", "real.jpg"]
    assert sorted(source.examples) == ["broken.jpg", "leak.jpg", "loop.jpg"]


def test_what_is_no_file_or_cannot_be_an_id_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    write(tmp_path, "line\nbreak.jpg", " space.jpg", "copy.jpg#12", "under-way.part", "fine #1 ü 100%.jpg")
    write(tmp_path, "-".join(["deep/"] + ["x" * 200 + "/"] * 5) + "a.jpg")
    with (tmp_path / os.fsdecode(b"caf\xe9.jpg")).open("wb") as file:
        file.write(JPEG)
    source = Source.scan(tmp_path)
    assert source.pictures == [" space.jpg", "copy.jpg#12", "fine #1 ü 100%.jpg", "under-way.part"]
    assert source.ignored == 4  # with the pipe
    reasons = dict(source.skipped)
    assert reasons.pop(r"'caf\xe9.jpg'") == "it is not UTF-8"
    assert reasons.pop(r"'line\nbreak.jpg'") == "it has control characters"
    assert ["too long" in reason for reason in reasons.values()] == [True]


def test_of_two_spellings_of_one_id_one_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "caf\u00e9.jpg", "cafe\u0301.jpg", "u\u0308.jpg")
    source = Source.scan(tmp_path)
    assert source.pictures == ["caf\u00e9.jpg", "u\u0308.jpg"]
    assert source.skipped == [("'cafe\u0301.jpg'", "another file has the same id")]


def test_folders_of_the_store_are_no_source(tmp_path: Path) -> None:
    write(tmp_path, "mine.jpg", "store/images/c/images/mine.jpg", "store/artifacts/x.csv")
    roots = (tmp_path / "store" / "images", tmp_path / "store" / "artifacts")
    assert Source.scan(tmp_path, without=roots).pictures == ["mine.jpg"]


@pytest.mark.parametrize("name", ["nowhere", "file.jpg"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, "file.jpg")
    with pytest.raises(InvalidInput, match="no such folder"):
        Source.scan(tmp_path / name)
