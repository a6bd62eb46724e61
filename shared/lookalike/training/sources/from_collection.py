"""Training data from a collection: its items that have a class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import InvalidInput, ObjectNotFound
from lookalike.layout import image_key
from lookalike.storage import Store
from lookalike.text import counted, listed
from lookalike.training.sources.dataset import Dataset, Example, trainable
from lookalike.training.sources.read_source import cell, part_of
from lookalike.types import Item

if TYPE_CHECKING:
    from lookalike.library import Library

DOWNLOADS = 16


def collection_dataset(
    library: Library,
    name: str,
    scratch: Path,
    *,
    label: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """The items of a collection that have a class, with their images as local files.

    Args:
        library: of the store.
        name: of the collection.
        scratch: images of a store on S3 are downloaded to it, each content once.
        label: field to take the class from, instead of `category`.
        progress: called with the number of images available so far, and the total.

    Raises:
        CollectionNotFound: there is no collection of this name.
        InvalidInput: fewer than two classes have two images; or no item has the field `label`.
        StoreUnavailable: an image could not be downloaded; those already downloaded are kept.
    """
    catalogue = library.catalogue(name)
    items = sorted((item for batch in catalogue.scan() for item in batch.items), key=lambda item: item.id)
    labelled = {item.id: found for item in items if (found := cell(item, label or "category"))}
    if not labelled:
        raise _no_labels(name, label, items)
    hashes = {id_: row.content_hash for id_, row in catalogue.known(list(labelled)).items()}
    pictures = _Pictures(library.images, name, scratch / "items", hashes)
    examples, gone = [], []
    chosen = [item for item in items if item.id in labelled]
    for done, (item, path) in enumerate(zip(chosen, pictures.fetch(list(labelled)), strict=True), start=1):
        if path is None:
            gone.append(item.id)
        else:
            side = part_of(cell(item, "split"))
            examples.append(Example(item.id, path, labelled[item.id], item.product_id, side))
        if progress:
            progress(done, len(chosen))
    return trainable(examples, _notes(len(items) - len(chosen), gone, label))


class _Pictures:
    """The files of items: in place in a folder, downloaded from S3."""

    def __init__(self, images: Store, collection: str, folder: Path, hashes: dict[str, str]) -> None:
        self._images = images
        self._collection = collection
        self._folder = folder
        self._hashes = hashes

    def fetch(self, ids: list[str]) -> Iterator[Path | None]:
        """Files of items in their order; None for an image that was removed or has changed."""
        with ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="download") as pool:
            yield from pool.map(self._file, ids)

    def _file(self, item_id: str) -> Path | None:
        key = image_key(self._collection, item_id)
        in_place = self._images.local_path(key)
        if in_place is not None:
            return in_place if in_place.is_file() else None
        wanted = self._hashes[item_id]
        target = self._folder / wanted[:2] / wanted
        if not target.is_file():
            try:
                data = self._images.get(key).data
            except ObjectNotFound:
                return None
            if hashlib.sha256(data).hexdigest() != wanted:
                return None
            target.parent.mkdir(parents=True, exist_ok=True)
            # Items of equal bytes share the file, so each writes under its own name first.
            staged = target.with_name(f"{hashlib.sha256(item_id.encode()).hexdigest()}.part")
            staged.write_bytes(data)
            staged.replace(target)
        return target


def _notes(without: int, gone: list[str], label: str | None) -> list[str]:
    notes = []
    if without:
        notes.append(f"{counted(without, 'item')} without a {label or 'category'} left out")
    if gone:
        notes.append(
            f"{counted(len(gone), 'item')} left out: their images were removed or replaced: {listed(gone)}"
        )
    return notes


def _no_labels(name: str, label: str | None, items: list[Item]) -> InvalidInput:
    if not items:
        return InvalidInput(
            f"the collection {name} has no items",
            got="none",
            fix=f"lookalike index FOLDER --collection {name}",
        )
    fields = sorted({field for item in items for field in item.attributes})
    return InvalidInput(
        f"no item of {name} has a {label or 'category'}",
        got=f"{counted(len(items), 'item')} with the fields {', '.join(fields) or 'of no metadata'}",
        expected="two classes or more, each with two items or more",
        fix="Index images in one folder per class, or name a field with --label.",
    )
