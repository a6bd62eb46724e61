"""Read a source, a folder or zip file, as images with classes: by folder, and by metadata files."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.errors import InvalidInput, MetadataError
from lookalike.metadata import MetadataRow, read_metadata
from lookalike.metadata.columns import text
from lookalike.text import NAMED, counted, listed
from lookalike.training.sources.archive import unpack
from lookalike.training.sources.dataset import Dataset, Example, SplitPart, check_any_opens, trainable
from lookalike.training.sources.listing import Listing, list_folder
from lookalike.types import Item

SPLIT_NAMES: Mapping[str, SplitPart] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "validation",
    "testing": "validation",
}
IMAGES = "images/"
Row = MetadataRow | Item


@dataclass(frozen=True, slots=True)
class Described:
    """The metadata of one image; None where there is none."""

    label: str | None = None
    product: str | None = None
    split: SplitPart | None = None


def read_source(source: Path, scratch: Path, *, label: str | None = None) -> Dataset:
    """The data set of a folder or a zip file. A zip file is unpacked into `scratch` once.

    Args:
        source: images in one folder per class; CSV, JSONL or Parquet files next to those folders may give
            `category`, `product_id` and `split` of each `file`.
        scratch: where a zip file is unpacked; reused for the same file.
        label: a metadata column whose values are the classes, instead of folder and `category`.

    Raises:
        InvalidInput: it cannot be used for training; the message says why and what to do.
    """
    if source.is_dir():
        listing = list_folder(source)
    elif source.is_file():
        listing = unpack(source, scratch)
    else:
        raise InvalidInput(
            "there is no such source", got=source, expected="a folder of images, or a zip file of one"
        )
    dataset = label_pictures(listing, label)
    check_any_opens(dataset.examples)
    return dataset


def label_pictures(listing: Listing, label: str | None = None) -> Dataset:
    """The data set of a source.

    The class is the metadata's `category`, or else the first folder. If every image is below one folder that
    has folders or metadata itself, the classes are the folders inside it. With `label`, the class is the
    metadata's value in that column, and images without a value are left out.

    Raises:
        InvalidInput: there are no images, no classes, or too few; or there is no column `label`.
    """
    if not listing.pictures:
        raise InvalidInput(
            "the source holds no images",
            got="; ".join(listing.notes) or f"nothing in {listing.source.name}",
            expected="images in one folder per class",
        )
    notes = list(listing.notes)
    root = _descend(listing, notes)
    said = _Metadata(listing, root, label, notes).read()
    examples, without = [], []
    for name, path in listing.pictures.items():
        found = said.get(name, Described())
        folder = None if label else _folder(name, root)
        category = found.label or folder
        if category is None:
            without.append(name.removeprefix(root))
        else:
            examples.append(Example(name.removeprefix(root), path, category, found.product, found.split))
    if not examples:
        raise _no_classes(listing, label, without)
    if without:
        where = f"without a value in the column {label}" if label else "in no category folder"
        notes.append(f"{counted(len(without), 'image')} {where} left out: {listed(without)}")
    notes += _alike({example.label for example in examples})
    return trainable(examples, notes)


def _descend(listing: Listing, notes: list[str]) -> str:
    """The folder, with a final `/`, below which the category folders are; "" is the source itself."""
    root = ""
    described = {name[: name.rfind("/") + 1] for name in listing.metadata}
    parts = [name.split("/") for name in listing.pictures]
    while len({path[0] for path in parts}) == 1 and len(parts[0]) > 1:
        inside = f"{root}{parts[0][0]}/"
        # A single top folder is not a class if it contains folders, or a table that describes its images.
        if inside not in described and max(map(len, parts)) == 2:
            break
        root, parts = inside, [path[1:] for path in parts]
    if root:
        notes.append(f"all images lie below {root}; its folders are taken as the classes")
    return root


def _folder(name: str, root: str) -> str | None:
    first, below, _ = name.removeprefix(root).partition("/")
    return first if below else None


@dataclass(slots=True)
class _Metadata:
    """The values of the metadata files, by image name. Where two files give a value, the later one wins."""

    listing: Listing
    root: str
    label: str | None
    notes: list[str]
    columns: set[str] = field(default_factory=set)
    said: dict[str, Described] = field(default_factory=lambda: defaultdict(Described))

    def read(self) -> dict[str, Described]:
        """Read every file. Raises InvalidInput if none has the column `label`."""
        for file, path in self.listing.metadata.items():
            folder = file[: file.rfind("/") + 1]
            if self.root.startswith(folder):
                self._read_one(file, path, folder)
            else:
                self.notes.append(f"{file} was not used: it is inside a folder, not next to the folders")
        if self.label and self.label.lower() not in {column.lower() for column in self.columns}:
            raise InvalidInput(
                f"no metadata file has a column {self.label}",
                got=", ".join(sorted(self.columns)) or "no metadata that can be used",
                fix="Name one of the columns with --label, or leave the option out to use the folders.",
            )
        return self.said

    def _read_one(self, file: str, path: Path, folder: str) -> None:
        try:
            table = read_metadata(file, path.read_bytes())
        except MetadataError as error:
            if self.label:
                raise MetadataError(
                    f"{file}: {error.problem}", got=error.got, expected=error.expected, fix=error.fix
                ) from error
            self.notes.append(f"{file} was not used: {error}")
            return
        self.notes += [f"{file} row {problem.row}: {problem.message}" for problem in table.problems[:NAMED]]
        if len(table.problems) > NAMED:
            self.notes.append(f"{file}: {len(table.problems) - NAMED} more such rows")
        self._apply(table.rows, file, folder)

    def _apply(self, rows: Iterable[MetadataRow], file: str, folder: str) -> None:
        unknown, odd = [], set()
        for row in rows:
            self.columns |= _columns(row)
            # A path is relative to the file's folder, as in `index`, or to the folder of the classes.
            path = unicodedata.normalize("NFC", row.id)
            places = (f"{folder}{path}", f"{folder}{IMAGES}{path}", f"{self.root}{path}")
            name = next((place for place in places if place in self.listing.pictures), None)
            said = cell(row, "split")
            if name is None:
                unknown.append(row.id)
                continue
            if said and not part_of(said):
                odd.add(said)
            known = self.said[name]
            self.said[name] = Described(
                cell(row, self.label or "category") or known.label,
                row.product_id or known.product,
                part_of(said) or known.split,
            )
        if unknown:
            self.notes.append(
                f"{file}: {counted(len(unknown), 'row')} about missing images: {listed(unknown)}"
            )
        if odd:
            self.notes.append(f"{file}: a split must be train or validation; ignored: {listed(sorted(odd))}")


def cell(row: Row, column: str) -> str | None:
    """A row's value in a column as text, ignoring the case of the column's name; None: no value."""
    own = {"category": row.category, "product_id": row.product_id, "title": row.title}
    if column.lower() in own:
        return own[column.lower()]
    for name in (column, *(name for name in row.attributes if name.lower() == column.lower())):
        value = row.attributes.get(name)
        if value is not None:
            return text(value).strip() or None
    return None


def part_of(said: str | None) -> SplitPart | None:
    """The side that a cell of the column `split` names; None: neither."""
    return SPLIT_NAMES.get((said or "").lower())


def _columns(row: Row) -> set[str]:
    own = {"category": row.category, "product_id": row.product_id, "title": row.title}
    return {*row.attributes, *(name for name, value in own.items() if value is not None)}


def _alike(labels: set[str]) -> list[str]:
    """A note on classes whose names differ only in case; they stay separate."""
    same = defaultdict(list)
    for label in sorted(labels):
        same[label.casefold()].append(label)
    pairs = [" and ".join(names) for names in same.values() if len(names) > 1]
    return (
        [f"classes that differ only in upper and lower case stay separate: {listed(pairs)}"] if pairs else []
    )


def _no_classes(listing: Listing, label: str | None, without: list[str]) -> InvalidInput:
    if label:
        return InvalidInput(
            f"no image has a value in the column {label}",
            got=f"{counted(len(without), 'image')} without",
            expected="rows whose `file` is the image's path below the source",
        )
    return InvalidInput(
        "the images are not in category folders, so they have no classes",
        got=f"{counted(len(without), 'image')} at the top of {listing.source.name}: {listed(without)}",
        expected=f"one folder per class, such as {listing.source.stem}/shoes/1.jpg",
        fix="Move them into folders, or add a metadata.csv with the columns file and category.",
    )
