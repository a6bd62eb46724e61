"""A folder of pictures on this machine: which of its files are pictures, and which describe them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.api.names import check_item_id
from lookalike.errors import InvalidInput
from lookalike.images.files import PICTURE_SUFFIXES, is_leftover, looks_like_picture

METADATA_SUFFIXES = frozenset({".csv", ".jsonl", ".parquet"})
EXAMPLES = 5


@dataclass(slots=True)
class Source:
    """What is to be indexed, by path relative to `folder`, with `/`, in a fixed order.

    Attributes:
        folder: absolute.
        pictures: every file that is meant to be a picture, at any depth. Those in formats that lookalike does
            not read are here too, so that they are rejected by name and not lost in silence.
        metadata: CSV, JSONL and Parquet files at the top.
        ignored: how many files were left out: other files, links to elsewhere, names that cannot be ids.
        examples: the first few of those.
    """

    folder: Path
    pictures: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)
    ignored: int = 0
    examples: list[str] = field(default_factory=list)

    @classmethod
    def scan(cls, folder: Path, *, without: tuple[Path, ...] = ()) -> Source:
        """List `folder`. Hidden files, leftovers of archives and desktops, and `without` are passed.

        Links to files are followed while they stay below `folder`; links to folders are not, since what they
        lead to is either listed already or not part of `folder`.

        Raises:
            InvalidInput: `folder` is not a folder that can be read.
        """
        if not folder.is_dir():
            raise InvalidInput("there is no such folder", got=folder, fix="Name a folder of images.")
        source = cls(folder.resolve())
        outside = {path.resolve() for path in without} - {source.folder}
        for file in _files(source.folder, outside):
            source._add(file)
        return source

    @classmethod
    def of_file(cls, file: Path) -> Source:
        """One file, whatever its ending. Raises InvalidInput: it does not exist, or cannot have an id."""
        if not file.is_file():
            raise InvalidInput("there is no such file or folder", got=file)
        check_item_id(file.name)
        return cls(file.resolve().parent, pictures=[file.name])

    def _add(self, file: Path) -> None:
        name = file.relative_to(self.folder).as_posix()
        suffix = file.suffix.lower()
        if not self._can_hold(file, name):
            self._ignore(name)
        elif suffix in PICTURE_SUFFIXES:
            self.pictures.append(name)
        elif suffix in METADATA_SUFFIXES and "/" not in name:
            self.metadata.append(name)
        elif looks_like_picture(file):
            self.pictures.append(name)
        else:
            self._ignore(name)

    def _can_hold(self, file: Path, name: str) -> bool:
        if not file.is_file():  # a broken link, a socket, a device
            return False
        if file.is_symlink() and not file.resolve().is_relative_to(self.folder):
            return False
        try:
            check_item_id(name)
        except InvalidInput:
            return False
        return True

    def _ignore(self, name: str) -> None:
        self.ignored += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(name)


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
