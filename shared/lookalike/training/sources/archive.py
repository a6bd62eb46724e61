"""Unpack an untrusted zip file of images.

Files are written under numbers, never under their own names. So no name can escape the folder, be too long
for the disk, or collide with another name on a case-insensitive disk. A list next to the files keeps their
names. Bytes are counted while unpacking.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lookalike.errors import InvalidInput
from lookalike.images.files import HEAD_BYTES, is_leftover
from lookalike.integrity import convert, load_json, reading
from lookalike.metadata import is_metadata
from lookalike.text import counted, listed
from lookalike.training.sources.listing import Listing, is_wanted, passed_over
from lookalike.training.sources.spelling import free_name, spelled
from lookalike.training.sources.zip_directory import directory_bytes, raw_name

CHUNK_BYTES = 1 << 20
LIST_FILE = "files.json"
SPARE_BYTES = 256 << 20
DIRECTORY_BYTES_PER_ENTRY = 400
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Limits on a zip file.

    Attributes:
        max_entries: files and folders in it.
        max_bytes: of all its files together, unpacked.
        max_ratio: unpacked bytes of one file divided by its packed bytes, checked for files over
            `free_bytes`. Images are compressed already and stay near 1; a bomb of zeros reaches 1,000.
        free_bytes: see `max_ratio`.
    """

    max_entries: int = 500_000
    max_bytes: int = 50 << 30
    max_ratio: float = 100.0
    free_bytes: int = 8 << 20


def unpack(file: Path, scratch: Path, *, limits: ArchiveLimits = ArchiveLimits()) -> Listing:
    """Unpack the images and metadata files of a zip file below `scratch`.

    The folder is named by the hash of the zip's content. A killed run resumes; a complete folder is reused.

    Raises:
        InvalidInput: it is not a zip file, is truncated, needs a password, has a path outside its folder, or
            exceeds `limits`.
    """
    folder = scratch / f"zip-{_sha256(file)[:20]}"
    if not (folder / LIST_FILE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(file, folder, limits)
    with reading(str(folder / LIST_FILE), "Delete this file: the zip file is then unpacked again."):
        known = load_json((folder / LIST_FILE).read_text("utf-8"))
        files = {name: folder / number for name, number in known["files"].items()}
        notes = convert(tuple[str, ...], known["notes"])
    return Listing(
        file,
        {name: path for name, path in files.items() if not is_metadata(name)},
        {name: path for name, path in files.items() if is_metadata(name)},
        notes,
    )


def _unpack(file: Path, folder: Path, limits: ArchiveLimits) -> None:
    if directory_bytes(file) > limits.max_entries * DIRECTORY_BYTES_PER_ENTRY:
        raise _bomb("a directory of too many files", f"at most {limits.max_entries:,}; split it into several")
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            _check_whole(archive, file, limits)
            spelt, notes = spelled([raw_name(entry) for entry in entries])
            names = [_with_slashes(name) for name in spelt]
            for name, entry in zip(names, entries, strict=True):
                _check_entry(name, entry, file)
            writer = _Writer(archive, folder, limits)
            for name, entry in zip(names, entries, strict=True):
                if not entry.is_dir() and not name.endswith("/"):
                    writer.add(name, entry)
    except DAMAGE as error:
        raise _not_whole(file, error) from error
    known = {"files": writer.files, "notes": [*notes, *writer.notes()]}
    staged = folder / f"{LIST_FILE}.{os.getpid()}.part"
    staged.write_text(json.dumps(known, ensure_ascii=False), "utf-8", errors="surrogateescape")
    staged.replace(folder / LIST_FILE)  # last: a folder with a list is complete


class _Writer:
    """Writes the wanted files of an archive and counts their bytes."""

    def __init__(self, archive: zipfile.ZipFile, folder: Path, limits: ArchiveLimits) -> None:
        self.files: dict[str, str] = {}
        self._archive = archive
        self._folder = folder
        self._limits = limits
        self._allowed = min(limits.max_bytes, shutil.disk_usage(folder).free - SPARE_BYTES)
        self._written = 0
        self._number = 0
        self._leftovers: list[str] = []
        self._others: list[str] = []
        self._damaged: list[str] = []
        self._twice: list[str] = []

    def add(self, name: str, entry: zipfile.ZipInfo) -> None:
        """Write one file if it is an image. Records a damaged file."""
        self._number += 1
        if hidden := next((part for part in name.split("/") if is_leftover(part)), None):
            self._leftovers.append(hidden)
            return
        target = self._folder / f"{self._number:06}"
        try:
            if not self._is_there(target, entry) and not self._write(name, entry, target):
                self._others.append(name)
                return
        except (*DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk's, not bzip2's
                raise
            self._damaged.append(f"{name} ({error})")
            return
        free = free_name(name, self.files)
        if free != name:
            self._twice.append(name)
        self.files[free] = target.name

    def notes(self) -> list[str]:
        """Notes for users: which files were skipped."""
        notes = passed_over(self._leftovers, self._others)
        if self._damaged:
            notes.append(
                f"{counted(len(self._damaged), 'file')} in the zip cannot be unpacked: "
                f"{listed(self._damaged)}"
            )
        if self._twice:
            notes.append(f"names that occur twice in the zip were numbered: {listed(self._twice)}")
        return notes

    def _is_there(self, target: Path, entry: zipfile.ZipInfo) -> bool:
        """Whether an earlier run wrote it. Writes are atomic, so comparing the length is enough."""
        if not target.is_file() or target.stat().st_size != entry.file_size:
            return False
        self._count(entry.file_size)
        return True

    def _write(self, name: str, entry: zipfile.ZipInfo, target: Path) -> bool:
        staged = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            with self._archive.open(entry) as packed:
                head = packed.read(HEAD_BYTES)
                if not is_wanted(name, head):
                    return False
                with staged.open("wb") as out:
                    self._copy(name, entry, head, packed, out)
            staged.replace(target)
            return True
        finally:
            staged.unlink(missing_ok=True)

    def _copy(
        self, name: str, entry: zipfile.ZipInfo, head: bytes, packed: IO[bytes], out: IO[bytes]
    ) -> None:
        size = 0
        for chunk in _chunks(head, packed):
            size += len(chunk)
            self._count(len(chunk))
            if size > self._limits.free_bytes and size > self._limits.max_ratio * entry.compress_size:
                raise _bomb(
                    f"{name} grows to more than {size >> 20} MB from {entry.compress_size:,} bytes",
                    f"images, which grow less than {self._limits.max_ratio:g} times",
                )
            out.write(chunk)

    def _count(self, size: int) -> None:
        self._written += size
        if self._written > self._limits.max_bytes:
            raise _bomb(
                f"more than {self._limits.max_bytes >> 20:,} MB unpacked", "less; split it into several"
            )
        if self._written > self._allowed:
            raise InvalidInput(
                "the disk has too little space to unpack the zip file",
                got=f"{max(0, self._allowed) >> 20:,} MB free",
                fix="Free some space, or set XDG_CACHE_HOME to a folder on another disk.",
            )


def _chunks(head: bytes, packed: IO[bytes]) -> Iterator[bytes]:
    while head:
        yield head
        head = packed.read(CHUNK_BYTES)


def _with_slashes(name: str) -> str:
    """Some Windows programs write backslashes; a leading `./` is dropped."""
    name = name.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    return name


def _check_whole(archive: zipfile.ZipFile, file: Path, limits: ArchiveLimits) -> None:
    entries = archive.infolist()
    if len(entries) > limits.max_entries:
        raise _bomb(f"{len(entries):,} files", f"at most {limits.max_entries:,}; split it into several")
    packed, size = sum(entry.compress_size for entry in entries), file.stat().st_size
    if packed > size:
        raise _bomb(f"files of {packed:,} packed bytes in a zip of {size:,}", "files that do not share bytes")
    claimed = sum(entry.file_size for entry in entries)
    if claimed > limits.max_bytes:
        raise _bomb(f"{claimed >> 20:,} MB unpacked", f"at most {limits.max_bytes >> 20:,} MB")


def _check_entry(name: str, entry: zipfile.ZipInfo, file: Path) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    drive = len(name) > 1 and name[1] == ":"
    problem = None
    if name.startswith("/") or drive:
        problem = "an absolute path"
    elif ".." in name.split("/"):
        problem = "a path that leads out of its folder"
    elif kind == stat.S_IFLNK:
        problem = "a link"
    elif kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        problem = "a device or a pipe"
    if problem:
        raise InvalidInput(
            f"{file.name} holds {problem}, and is rejected as a whole",
            got=repr(name[:200]),
            expected="images in folders, such as shoes/1.jpg",
            fix="Zip the folder of images itself, without links.",
        )
    if entry.flag_bits & 0x1:
        raise InvalidInput(
            f"{file.name} needs a password",
            got=f"{name[:200]}, encrypted",
            expected="a zip file without one",
            fix="Zip the images again without a password.",
        )


def _bomb(got: str, expected: str) -> InvalidInput:
    return InvalidInput("the zip file is too large when unpacked", got=got, expected=expected)


def _not_whole(file: Path, error: Exception) -> InvalidInput:
    size = file.stat().st_size
    with file.open("rb") as opened:
        begins = opened.read(4) == b"PK\x03\x04"
    problem = "the zip file is truncated or damaged" if begins else "this is not a zip file"
    return InvalidInput(
        problem,
        got=f"{file.name}, {size:,} bytes: {error}",
        expected="a complete zip file, or a folder of images",
        fix="Copy or upload it again." if begins else None,
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
