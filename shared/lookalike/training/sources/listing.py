"""The files of a source: name in the source → file on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lookalike.errors import InvalidInput
from lookalike.images.files import PICTURE_SUFFIXES, begins_like_picture, is_leftover, looks_like_picture
from lookalike.metadata import is_metadata
from lookalike.text import counted, listed
from lookalike.training.sources.spelling import free_name, spelled


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a source.

    Attributes:
        source: as the user named it.
        images: files that are meant to be images: name below the source, with `/` → file.
        metadata: CSV, JSONL and Parquet files, likewise.
        notes: notes for users: which files were skipped.
    """

    source: Path
    pictures: dict[str, Path]
    metadata: dict[str, Path]
    notes: tuple[str, ...] = ()


def list_folder(folder: Path) -> Listing:
    """The files of a folder, at any depth, in a fixed order.

    Links to files are followed if their target is below `folder`; links to folders are not followed.

    Raises:
        InvalidInput: a folder below it cannot be read.
    """
    root = folder.resolve()
    files, leftovers, others = [], [], []
    for parent, folders, names in os.walk(root, onerror=_refuse):
        leftovers += [name for name in [*folders, *names] if is_leftover(name)]
        folders[:] = sorted(name for name in folders if not is_leftover(name))
        files += [Path(parent, name) for name in sorted(names) if not is_leftover(name)]
    given = [file.relative_to(root).as_posix() for file in files]
    spelt, notes = spelled([name if name.isprintable() else os.fsencode(name) for name in given])
    taken: dict[str, Path] = {}
    for name, file in zip(spelt, files, strict=True):
        inside = file.is_file() and (not file.is_symlink() or file.resolve().is_relative_to(root))
        if inside and (is_metadata(name) or is_picture_name(name) or looks_like_picture(file)):
            taken[free_name(name, taken)] = file
        else:
            others.append(name)
    return Listing(
        folder,
        {name: file for name, file in taken.items() if not is_metadata(name)},
        {name: file for name, file in taken.items() if is_metadata(name)},
        (*notes, *passed_over(leftovers, others)),
    )


def is_picture_name(name: str) -> bool:
    """Whether the file extension is one of an image."""
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def is_wanted(name: str, head: bytes) -> bool:
    """Whether a file of this name that begins with `head` is an image or a metadata file."""
    return is_metadata(name) or is_picture_name(name) or begins_like_picture(head)


def passed_over(leftovers: Iterable[str], others: Iterable[str]) -> list[str]:
    """Notes on files that are not images."""
    hidden, strange = sorted(set(leftovers)), list(others)
    notes = []
    if hidden:
        notes.append(f"hidden files and leftovers of archives were skipped: {listed(hidden)}")
    if strange:
        notes.append(f"{counted(len(strange), 'other file')} left out: {listed(strange)}")
    return notes


def _refuse(error: OSError) -> None:
    raise InvalidInput(
        "a folder cannot be read", got=error.filename, fix="Allow reading it, or move it away."
    ) from error
