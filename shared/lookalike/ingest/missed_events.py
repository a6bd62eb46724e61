"""Makes events by comparing the catalogue with the objects.

The catalogue is read first, then the objects: a change in between has an event, or a sequencer, that is
higher than those made here. In a folder a file's change time (`st_ctime_ns`: it also moves when a file is
renamed into place) orders its versions. On S3, and for objects that are gone, there is no such time; there
a repair sequencer just above the known one is used, so that any later event still wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from lookalike.catalogue import Catalogue, normalise_sequencer, sequencer_after
from lookalike.errors import InvalidInput, ObjectNotFound, StoreUnavailable
from lookalike.layout import (
    images_prefix,
    key_of,
    key_problem,
    metadata_key,
    metadata_prefix,
    normalise,
    other_spellings,
    parse_key,
)
from lookalike.storage import ObjectInfo, Store
from lookalike.types import ObjectEvent


@dataclass(frozen=True, slots=True)
class Known:
    """The catalogue's entry for a key. `complete`: there is nothing to do while the ETag stays the same."""

    sequencer: str
    etag: str
    removed: bool
    complete: bool = True


class Observer:
    """Compares one collection's objects with its catalogue."""

    def __init__(self, images: Store, collection: str, catalogue: Catalogue) -> None:
        self._images = images
        self._collection = collection
        self._catalogue = catalogue
        self.unchanged = 0
        """Number of objects that match the catalogue."""
        self.skipped: list[tuple[str, str]] = []
        """Keys that cannot be ids, each with the reason."""
        self.failed: list[tuple[ObjectEvent, Exception]] = []
        """Files that could not be read now."""

    def all_events(self) -> list[ObjectEvent]:
        """Events that repair the whole collection."""
        known = self._known(None)
        found: dict[str, ObjectInfo] = {}
        for prefix in (images_prefix(self._collection), metadata_prefix(self._collection)):
            for info in self._images.list(prefix, skipped=self._skip):
                key = self._key_in_nfc(info.path)
                if key and (key not in found or info.path == key):
                    found[key] = info
                elif not key:
                    self._skip(info.path)
        for key in {normalise(key) for key in known} - found.keys():
            # A listing omits unreadable files. Only an object that does not exist is gone.
            if self._images.folder is not None and (one := self._head(key, known)):
                found[key] = one
        self._follow_nfc(known, found)
        return list(self._events(sorted(known.keys() | found.keys()), known, found))

    def events(self, keys: Iterable[str]) -> list[ObjectEvent]:
        """Events that repair these keys; keys that are neither images nor metadata files of the collection
        are left out."""
        wanted: list[str] = []
        for given in dict.fromkeys(keys):
            if key := self._key_in_nfc(given):
                wanted.append(key)
            else:
                self._skip(given)
        wanted = list(dict.fromkeys(wanted))
        known = self._known(wanted)
        found = {key: info for key in wanted if (info := self._head(key, known))}
        self._follow_nfc(known, found)
        return list(self._events(wanted, known, found))

    def _key_in_nfc(self, key: str) -> str | None:
        """The key by which images and metadata files are compared; None: the object is neither."""
        parsed = parse_key(self._collection, key)
        return key_of(self._collection, parsed) if parsed and parsed.kind != "training" else None

    def _skip(self, key: str) -> None:
        if problem := key_problem(key):
            self.skipped.append((key, problem))

    def _follow_nfc(self, known: dict[str, Known], found: Mapping[str, ObjectInfo]) -> None:
        """Give rows with ids in NFD, which earlier versions made, an event of their NFC id.

        `Ingestor` removes such rows with any event of that id.
        """
        folder = images_prefix(self._collection)
        old = [key for key in known if key.startswith(folder) and key != normalise(key)]
        for key in old:
            row, wanted = known.pop(key), normalise(key)
            if row.removed:
                continue
            if wanted not in found:
                known[wanted] = row
            elif wanted in known:
                known[wanted] = replace(known[wanted], complete=False)

    def _events(
        self, keys: Iterable[str], known: Mapping[str, Known], found: Mapping[str, ObjectInfo]
    ) -> Iterator[ObjectEvent]:
        for key in keys:
            row, info = known.get(key), found.get(key)
            if info is not None and (sequencer := self._sequencer(info, row)):
                yield ObjectEvent(self._collection, info.path, "created", sequencer)
            elif info is not None:
                self.unchanged += 1
            elif row and not row.removed:
                yield ObjectEvent(self._collection, key, "removed", sequencer_after(row.sequencer))

    def _sequencer(self, info: ObjectInfo, row: Known | None) -> str | None:
        """The sequencer under which to read an object that exists; None: it is up to date."""
        if row and row.etag == info.etag and not row.removed:
            return None if row.complete else row.sequencer
        return max(self._changed_at(info.path), sequencer_after(row.sequencer if row else None))

    def _changed_at(self, key: str) -> str:
        file = self._images.local_path(key)
        try:
            return normalise_sequencer(f"{file.stat().st_ctime_ns:016x}") if file else ""
        except FileNotFoundError:
            return ""

    def _head(self, key: str, known: dict[str, Known]) -> ObjectInfo | None:
        """The facts of an object. A file that cannot be read fails alone; it does not count as removed."""
        try:
            return self._images.head(key)
        except (ObjectNotFound, InvalidInput):
            return None
        except StoreUnavailable as error:
            if self._images.folder is None:
                raise
            known.pop(key, None)
            self.failed.append((ObjectEvent(self._collection, key, "created", "0"), error))
            return None

    def _known(self, keys: list[str] | None) -> dict[str, Known]:
        parsed = [parse_key(self._collection, key) for key in keys or []]
        ids = None if keys is None else [one.name for one in parsed if one and one.kind == "image"]
        if ids:
            ids += [other for item_id in ids for other in other_spellings(item_id)]
        rows, encoded = self._catalogue.known(ids), self._catalogue.known_vectors(ids)
        known = {
            f"{images_prefix(self._collection)}/{row.id}": Known(
                row.sequencer,
                row.etag,
                removed=row.status == "removed",
                complete=row.status != "live" or encoded.get(row.id, ("", ""))[1] == row.content_hash,
            )
            for row in rows.values()
        }
        names = None if keys is None else [one.name for one in parsed if one and one.kind == "metadata"]
        if names is None or names:
            for file in self._catalogue.metadata_files(names).values():
                known[metadata_key(self._collection, file.name)] = Known(
                    file.sequencer, file.etag, removed=file.removed
                )
        return known
