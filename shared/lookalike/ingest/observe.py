"""Events made by looking: what the catalogue knows against what is there.

What is known is read first, then the objects: whatever changes in between has an event, or a sequencer, that
is higher than those made here. On a folder a file's time of change (`st_ctime_ns`: it also moves when a file
is renamed into place) orders its versions; where only the store is asked, on S3 and for what is gone, a
repair sequencer just above the known one is used, so that any later event still wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lookalike.catalogue import Catalogue, normalise_sequencer, sequencer_after
from lookalike.errors import InvalidInput, ObjectNotFound
from lookalike.ingest.keys import IMAGES, METADATA, item_key, metadata_key, place_of
from lookalike.storage import Store
from lookalike.types import ObjectEvent


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalogue holds for a key. `complete`: nothing is to be done while the ETag is the same."""

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
        """How many objects were there as the catalogue knows them."""

    def all_events(self) -> list[ObjectEvent]:
        """Events that repair the whole collection."""
        known = self._known(None)
        found: dict[str, str] = {}
        for below in (IMAGES, METADATA):
            for info in self._images.list(f"{self._collection}/{below}"):
                if place_of(self._collection, info.path):
                    found[info.path] = info.etag
        for key in known.keys() - found.keys():
            # A listing leaves out what it may not read. Only what is not there is gone.
            if self._images.folder is not None and (etag := self._etag(key)):
                found[key] = etag
        return list(self._events(sorted(known.keys() | found.keys()), known, found))

    def events(self, keys: Iterable[str]) -> list[ObjectEvent]:
        """Events that repair these keys; those that mean nothing to the collection are passed."""
        wanted = [key for key in dict.fromkeys(keys) if place_of(self._collection, key)]
        known = self._known(wanted)
        found = {key: etag for key in wanted if (etag := self._etag(key))}
        return list(self._events(wanted, known, found))

    def _events(
        self, keys: Iterable[str], known: Mapping[str, Known], found: Mapping[str, str]
    ) -> Iterator[ObjectEvent]:
        for key in keys:
            row, etag = known.get(key), found.get(key)
            if etag is not None and (sequencer := self._news(key, etag, row)):
                yield ObjectEvent(self._collection, key, "created", sequencer)
            elif etag is not None:
                self.unchanged += 1
            elif row and not row.removed:
                yield ObjectEvent(self._collection, key, "removed", sequencer_after(row.sequencer))

    def _news(self, key: str, etag: str, row: Known | None) -> str | None:
        """The sequencer under which to read an object that is there; None: it is known."""
        if row and row.etag == etag and not row.removed:
            return None if row.complete else row.sequencer
        return max(self._changed_at(key), sequencer_after(row.sequencer if row else None))

    def _changed_at(self, key: str) -> str:
        file = self._images.local_path(key)
        try:
            return normalise_sequencer(f"{file.stat().st_ctime_ns:016x}") if file else ""
        except FileNotFoundError:
            return ""

    def _etag(self, key: str) -> str | None:
        try:
            return self._images.head(key).etag
        except (ObjectNotFound, InvalidInput):
            return None

    def _known(self, keys: list[str] | None) -> dict[str, Known]:
        places = [place_of(self._collection, key) for key in keys or []]
        ids = None if keys is None else [place.name for place in places if place and place.kind == "image"]
        rows, encoded = self._catalogue.known(ids), self._catalogue.known_vectors(ids)
        known = {
            item_key(self._collection, row.id): Known(
                row.sequencer,
                row.etag,
                removed=row.status == "removed",
                complete=row.status != "live" or encoded.get(row.id, ("", ""))[1] == row.content_hash,
            )
            for row in rows.values()
        }
        names = (
            None if keys is None else [place.name for place in places if place and place.kind == "metadata"]
        )
        if names is None or names:
            for file in self._catalogue.metadata_files(names).values():
                known[metadata_key(self._collection, file.name)] = Known(
                    file.sequencer, file.etag, removed=file.removed
                )
        return known
