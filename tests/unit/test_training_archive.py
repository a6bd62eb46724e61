"""Zip files: what a hostile, a careless and a foreign one do."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from fixtures.sources import entry, fill, picture, raw_zip, zipped

from lookalike.errors import InvalidInput
from lookalike.training.sources import archive
from lookalike.training.sources.archive import ArchiveLimits, unpack

SHOP = ("shoes/1.jpg", "shoes/2.jpg", "hats/1.jpg", "hats/2.jpg")


def test_pictures_come_out_as_they_went_in(tmp_path: Path) -> None:
    found = unpack(zipped(tmp_path / "shop.zip", ["shoes/", *SHOP, "metadata.csv"]), tmp_path / "scratch")
    assert list(found.pictures) == list(SHOP)
    assert list(found.metadata) == ["metadata.csv"]
    assert [path.read_bytes() for path in found.pictures.values()] == [picture(n) for n in range(1, 5)]
    assert found.notes == ()


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_any_packing_will_do(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "shop.zip", "w", method) as packed:
        packed.writestr("shoes/1.jpg", picture())
    (path,) = unpack(tmp_path / "shop.zip", tmp_path).pictures.values()
    assert path.read_bytes() == picture()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../evil.jpg", "leads out of its folder"),
        ("shoes/../../evil.jpg", "leads out of its folder"),
        ("..\\evil.jpg", "leads out of its folder"),
        ("__MACOSX/../../evil.jpg", "leads out of its folder"),
        ("/etc/evil.jpg", "absolute path"),
        ("\\\\server\\share\\evil.jpg", "absolute path"),
        ("C:\\evil.jpg", "absolute path"),
        ("c:evil.jpg", "absolute path"),
    ],
)
def test_a_name_that_leads_out_is_refused_by_name(tmp_path: Path, name: str, problem: str) -> None:
    file = raw_zip(tmp_path / "evil.zip", [(b"shoes/1.jpg", picture()), (name.encode(), b"x")])
    with pytest.raises(InvalidInput, match=problem) as caught:
        unpack(file, tmp_path / "scratch")
    assert "evil.jpg" in str(caught.value.got)
    assert not list(tmp_path.rglob("evil.jpg"))
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("mode", "problem"),
    [
        (stat.S_IFLNK | 0o777, "a link"),
        (stat.S_IFIFO, "a device or a pipe"),
        (stat.S_IFBLK, "a device or a pipe"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, mode: int, problem: str) -> None:
    file = zipped(tmp_path / "shop.zip", [*SHOP, entry("shoes/link.jpg", mode)], data=b"/etc/passwd")
    with pytest.raises(InvalidInput, match=f"holds {problem}, and is rejected.*shoes/link.jpg"):
        unpack(file, tmp_path / "scratch")


def test_a_bomb_is_stopped_while_it_unpacks(tmp_path: Path) -> None:
    bomb = raw_zip(tmp_path / "bomb.zip", [(b"a/1.bmp", b"BM" + bytes(64 << 20))])
    with pytest.raises(
        InvalidInput, match=r"too large when unpacked.*a/1.bmp grows to more than \d+ MB from [\d,]+ bytes"
    ):
        unpack(bomb, tmp_path / "scratch")
    assert _size(tmp_path / "scratch") == 0


def test_a_bomb_that_lies_about_its_length_gets_no_further_than_its_lie(tmp_path: Path) -> None:
    bomb = raw_zip(
        tmp_path / "bomb.zip", [(b"a/1.bmp", b"BM" + bytes(64 << 20)), (b"a/2.jpg", picture())], lie=500
    )
    found = unpack(bomb, tmp_path / "scratch")
    assert not found.pictures
    assert any("2 files in the zip cannot be unpacked: a/1.bmp (Bad CRC-32" in note for note in found.notes)
    assert _size(tmp_path / "scratch") < 10_000


def test_many_small_files_that_are_much_together_are_stopped(tmp_path: Path) -> None:
    limits = ArchiveLimits(max_bytes=10_000)
    with pytest.raises(InvalidInput, match=r"too large when unpacked.*at most"):
        unpack(zipped(tmp_path / "1.zip", [f"a/{n}.jpg" for n in range(20)]), tmp_path, limits=limits)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path / "many.zip", [f"a/{n}.jpg" for n in range(30)], data=b"")
    with pytest.raises(InvalidInput, match="30 files; expected at most 20"):
        unpack(file, tmp_path, limits=ArchiveLimits(max_entries=20))
    with pytest.raises(InvalidInput, match="a directory of too many files"):
        unpack(file, tmp_path, limits=ArchiveLimits(max_entries=2))


def test_files_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "overlap.zip"
    zipped(file, [f"a/{n}.jpg" for n in range(9)])
    data = bytearray(file.read_bytes())
    first = at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 20 : at + 24] = (first).to_bytes(4, "little")
        at = data.find(b"PK\x01\x02", at + 1)
    file.write_bytes(data)
    with pytest.raises(InvalidInput, match="expected files that do not share bytes"):
        unpack(file, tmp_path)


def test_a_full_disk_is_seen_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SPARE_BYTES", 1 << 62)
    with pytest.raises(InvalidInput, match=r"too little space.*0 MB free"):
        unpack(zipped(tmp_path / "shop.zip", SHOP), tmp_path)


def test_a_password_is_asked_for(tmp_path: Path) -> None:
    file = raw_zip(tmp_path / "secret.zip", [(b"a/1.jpg", picture())], flags=1)
    with pytest.raises(InvalidInput, match=r"secret\.zip needs a password.*without a password"):
        unpack(file, tmp_path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_zip_that_was_cut_off(tmp_path: Path, kept: float) -> None:
    whole = zipped(tmp_path / "shop.zip", SHOP).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(InvalidInput, match=r"truncated or damaged; got cut\.zip.*Copy or upload it again"):
        unpack(tmp_path / "cut.zip", tmp_path)


@pytest.mark.parametrize("data", [b"", b"Rar!\x1a\x07", picture(), b"\x1f\x8b\x08"])
def test_what_is_no_zip(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "shop.zip").write_bytes(data)
    with pytest.raises(InvalidInput, match=r"this is not a zip file; got shop\.zip, [\d,]+ bytes"):
        unpack(tmp_path / "shop.zip", tmp_path)


def test_one_damaged_file_is_left_out(tmp_path: Path) -> None:
    file = zipped(tmp_path / "shop.zip", SHOP)
    data = bytearray(file.read_bytes())
    data[data.find(picture(1)) + 200] ^= 0xFF
    file.write_bytes(data)
    found = unpack(file, tmp_path)
    assert sorted(found.pictures) == sorted({*SHOP} - {"shoes/2.jpg"})
    assert "1 file in the zip cannot be unpacked: shoes/2.jpg" in found.notes[0]


def test_leftovers_and_other_files_are_passed_over(tmp_path: Path) -> None:
    hidden = (".DS_Store", "._1.jpg", "Thumbs.db", "__MACOSX")
    junk = [
        "__MACOSX/shoes/._1.jpg",
        "shoes/.DS_Store",
        "shoes/._1.jpg",
        "Thumbs.db",
        "inner.zip",
        "a/notes.txt",
    ]
    file = tmp_path / "shop.zip"
    with zipfile.ZipFile(file, "w") as packed:
        for name in junk:
            packed.writestr(name, b"\0\5\26\7 no picture")
        packed.writestr("shoes/photo", picture())
    found = unpack(file, tmp_path)
    assert list(found.pictures) == ["shoes/photo"]
    assert found.notes == (
        f"hidden files and leftovers of archives were skipped: {', '.join(hidden)}",
        "2 other files left out: inner.zip, a/notes.txt",
    )


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        ("Schöne Äpfel/é.jpg".encode("latin-1"), 0, "Schöne Äpfel/é.jpg"),
        ("Schöne Äpfel/é.jpg".encode("cp437"), 0, "Schöne Äpfel/é.jpg"),
        ("Schöne Äpfel/é.jpg".encode(), 0, "Schöne Äpfel/é.jpg"),
        ("Schöne Äpfel/é.jpg".encode(), 0x800, "Schöne Äpfel/é.jpg"),
        ("Scho\u0308ne A\u0308pfel/e\u0301.jpg".encode(), 0x800, "Schöne Äpfel/é.jpg"),
        ("靴/1.jpg".encode(), 0x800, "靴/1.jpg"),
        (b"shoes\\red\\1.jpg", 0, "shoes/red/1.jpg"),
        (b"./shoes/1.jpg", 0, "shoes/1.jpg"),
        (b"shoes/line\nbreak.jpg", 0, "shoes/line_break.jpg"),
    ],
)
def test_names_stay_readable(tmp_path: Path, name: bytes, flags: int, expected: str) -> None:
    file = raw_zip(tmp_path / "names.zip", [(name, picture())], flags=flags)
    assert list(unpack(file, tmp_path).pictures) == [expected]


def test_two_files_never_become_one(tmp_path: Path) -> None:
    names = [
        *("Shoes/1.JPG", "shoes/1.jpg", "SHOES/1.jpg", "a/x.jpg", "a\\x.jpg", "a/x.jpg", "b/long.jpg"),
        f"b/{'x' * 300}.jpg",
        f"b/{'x' * 299}y.jpg",
        *("c/é.jpg", "c/e\u0301.jpg", "d/\x01.jpg", "d/\x02.jpg", "e/con.jpg", "e/con", "e/con/1.jpg"),
    ]
    file = raw_zip(
        tmp_path / "names.zip", [(name.encode(), picture(n)) for n, name in enumerate(names)], flags=0x800
    )
    found = unpack(file, tmp_path)
    assert [path.read_bytes() for path in found.pictures.values()] == [picture(n) for n in range(len(names))]
    assert "a/x (2).jpg" in found.pictures
    assert "a/x (3).jpg" in found.pictures
    assert any(note.startswith("names that occur twice") for note in found.notes)


def test_unpacked_once(tmp_path: Path) -> None:
    file, scratch = zipped(tmp_path / "shop.zip", SHOP), tmp_path / "scratch"
    first = unpack(file, scratch)
    times = {path: path.stat().st_mtime_ns for path in first.pictures.values()}
    renamed = file.rename(tmp_path / "other.zip")
    second = unpack(renamed, scratch)
    assert {path: path.stat().st_mtime_ns for path in second.pictures.values()} == times
    assert [path.name for path in scratch.iterdir()] == [next(iter(times)).parent.name]


def test_what_was_cut_off_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, scratch = zipped(tmp_path / "shop.zip", SHOP), tmp_path / "scratch"
    expected = [picture(n) for n in range(4)]

    class Killed(BaseException):
        pass

    written, rename = [], Path.rename

    def replace(self: Path, target: Path) -> Path:
        if len(written) == 2:
            raise Killed
        written.append(target)
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        with pytest.raises(Killed):
            unpack(file, scratch)
    times = [path.stat().st_mtime_ns for path in written]
    found = unpack(file, scratch)
    assert [path.read_bytes() for path in found.pictures.values()] == expected
    assert [path.stat().st_mtime_ns for path in written] == times


def test_a_source_that_is_a_folder_is_not_unpacked_but_listed_alike(tmp_path: Path) -> None:
    from lookalike.training.sources.listing import list_folder

    folder = fill(
        tmp_path / "shop", *SHOP, "__MACOSX/._1.jpg", "notes.txt", "metadata.csv", data=b"no picture"
    )
    listing = list_folder(folder)
    assert sorted(listing.pictures) == sorted(SHOP)
    assert list(listing.metadata) == ["metadata.csv"]
    assert listing.notes == (
        "hidden files and leftovers of archives were skipped: __MACOSX",
        "1 other file left out: notes.txt",
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".json")
