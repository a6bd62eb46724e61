"""A folder on this machine as a source: which of its files are images, and which are metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.errors import InvalidInput
from lookalike.images.files import PICTURE_SUFFIXES, is_leftover, looks_like_picture
from lookalike.layout import check_item_id, item_id_problem, normalise, shown

METADATA_SUFFIXES = frozenset({".csv", ".jsonl", ".parquet"})
EXAMPLES = 5


@dataclass(slots=True)
class Source:
    """The files to index, by path relative to `folder`, with `/`, in a fixed order.

    Attributes:
        folder: absolute.
        images: every file that is meant to be an image, at any depth. Files in formats that lookalike does
            not read are included, so that they are rejected by name.
        metadata: CSV, JSONL and Parquet files at the top.
        ignored: number of files left out: other files, links to elsewhere, names that cannot be ids.
        examples: the first few of those, as they are shown to people.
        skipped: files that cannot have an id: the name as it is shown to people, and the reason. These are
            counted in `ignored` too.
    """

    folder: Path
    pictures: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)
    ignored: int = 0
    examples: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def scan(cls, folder: Path, *, without: tuple[Path, ...] = (), collection: str = "c") -> Source:
        """List `folder`, except hidden files, leftovers of archives and desktops, and `without`.

        Links to files are followed if the target is below `folder`. Links to folders are not: their target is
        either listed already or not part of `folder`. Of two files whose ids are equal in NFC, the one whose
        name is in NFC is used.

        Args:
            folder: to list.
            without: folders to leave out.
            collection: that the ids are for: its name counts towards the length of an object key.

        Raises:
            InvalidInput: `folder` is not a folder that can be read.
        """
        if not folder.is_dir():
            raise InvalidInput("there is no such folder", got=folder, fix="Name a folder of images.")
        source = cls(folder.resolve())
        outside = {path.resolve() for path in without} - {source.folder}
        taken: set[str] = set()
        late: list[Path] = []
        for file in _files(source.folder, outside):
            name = _name(source.folder, file)
            if name == normalise(name):
                taken.add(name)
                source._add(file, name, collection)
            else:
                late.append(file)
        for file in late:
            name = _name(source.folder, file)
            if normalise(name) in taken:
                source._skip(name, "another file has the same id")
                continue
            taken.add(normalise(name))
            source._add(file, name, collection)
        return source

    @classmethod
    def of_file(cls, file: Path, collection: str) -> Source:
        """One file with any extension. Raises InvalidInput: it does not exist, or cannot have an id."""
        if not file.is_file():
            raise InvalidInput("there is no such file or folder", got=file)
        check_item_id(file.name, collection)
        return cls(file.absolute().parent, pictures=[file.name])

    def _add(self, file: Path, name: str, collection: str) -> None:
        suffix = file.suffix.lower()
        if not self._is_inside(file):
            self._ignore(name)
        elif problem := item_id_problem(name, collection):
            self._skip(name, problem)
        elif suffix in PICTURE_SUFFIXES:
            self.pictures.append(name)
        elif suffix in METADATA_SUFFIXES and "/" not in name:
            self.metadata.append(name)
        elif looks_like_picture(file):
            self.pictures.append(name)
        else:
            self._ignore(name)

    def _is_inside(self, file: Path) -> bool:
        if not file.is_file():  # a broken link, a socket, a device
            return False
        return not file.is_symlink() or file.resolve().is_relative_to(self.folder)

    def _skip(self, name: str, problem: str) -> None:
        self.skipped.append((shown(name), problem))
        self._ignore(name)

    def _ignore(self, name: str) -> None:
        self.ignored += 1
        if len(self.examples) < EXAMPLES:
            # Use the name itself if it can be printed.
            self.examples.append(name if name.isprintable() else shown(name))


def _name(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()


def _files(folder: Path, outside: set[Path]) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(
            name for name in folders if not is_leftover(name) and Path(parent, name) not in outside
        )
        yield from (Path(parent, name) for name in sorted(names) if not is_leftover(name))


def _refuse(error: OSError) -> None:
    raise InvalidInput(
        "a folder cannot be read", got=error.filename, fix="Allow reading it, or move it away."
    ) from error
