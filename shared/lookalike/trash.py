"""The trash of a collection: deleted images with their uploaded metadata, for 30 days.

```
trash/<collection>/<time>-<digits>/image            the image, byte for byte
trash/<collection>/<time>-<digits>/metadata.jsonl   the metadata that came with its upload, if there was any
trash/<collection>/<time>-<digits>/entry.json       written last: an entry without it is incomplete
```

The trash is in the artifacts root, so nothing in it is ingested. A deletion copies first and deletes
afterwards, and a restore writes first and removes the entry afterwards: at any moment the image is in its
place or in the trash. The name has the time of the deletion and a hash of the id, so an entry is found and
expires without being read. In a folder, `expire` removes old entries; on S3, a lifecycle rule of the bucket
does.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lookalike.errors import Conflict, ItemNotFound, ObjectNotFound
from lookalike.integrity import convert, field_names, reading, seal, unseal
from lookalike.layout import (
    MAX_KEY_BYTES,
    TRASH_DAYS,
    TRASH_FOLDER,
    check_item_id,
    image_key,
    normalise,
    upload_metadata_key,
)
from lookalike.storage import Store

FORMAT = 1
IMAGE, METADATA, ENTRY = "image", "metadata.jsonl", "entry.json"
DIGEST_DIGITS = 20
DAMAGE_FIX = "The deleted image is the file `image` next to it."
TIME = "%Y%m%dt%H%M%S%f"
_NAME = re.compile(rf"\d{{8}}t\d{{12}}-[0-9a-f]{{{DIGEST_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class TrashEntry:
    """A deleted item.

    Attributes:
        id: of the item.
        name: of the entry; names sort by the time of the deletion.
        deleted_at: ISO 8601, UTC; so is the other.
        expires_at: when it is removed permanently.
        size_bytes: of the image.
        format: version of this layout.
    """

    id: str
    name: str
    deleted_at: str
    expires_at: str
    size_bytes: int
    format: int = FORMAT

    @classmethod
    def parse(cls, data: bytes) -> TrashEntry:
        """The entry in the bytes of an `entry.json`. Raises Damaged, or Incompatible for another format."""
        found = unseal(data, ENTRY, format=FORMAT, known=field_names(cls), fix=DAMAGE_FIX)
        with reading(ENTRY, DAMAGE_FIX):
            entry: TrashEntry = convert(cls, found)
            return entry


def _now() -> datetime:
    return datetime.now(UTC)


class Trash:
    """The trash of one collection. Safe to share between threads and processes."""

    def __init__(
        self, images: Store, artifacts: Store, collection: str, *, clock: Callable[[], datetime] = _now
    ) -> None:
        self._images = images
        self._artifacts = artifacts
        self._collection = collection
        self._clock = clock

    def move(self, item_ids: Iterable[str]) -> list[str]:
        """Move images and their uploaded metadata to the trash.

        Returns:
            Keys of the objects that are gone, for the ingest.

        Raises:
            ItemNotFound: one has no image; those before it were moved.
            StoreUnavailable: the store failed; calling it again is safe.
        """
        keys = []
        for item_id in item_ids:
            keys += self._move(item_id)
        if self._artifacts.folder is not None:
            expire(self._artifacts, self._collection, clock=self._clock)
        return keys

    def entries(self, limit: int, after: str | None = None) -> Sequence[TrashEntry]:
        """Up to `limit` entries, the latest deletion first.

        Args:
            limit: at least 1.
            after: name of the last entry of the previous page.
        """
        found: list[TrashEntry] = []
        for name in reversed(self._names()):
            if len(found) == limit:
                break
            if after is None or name < after:
                found += self._read(name)
        return found

    def restore(self, item_ids: Sequence[str], *, replace: bool = False) -> Sequence[str]:
        """Move images back, with the metadata that they had. Of an id deleted twice, the latest.

        Args:
            item_ids: of deleted items.
            replace: items that have these ids now go to the trash in their place.

        Returns:
            Keys of the objects that are there again, for the ingest.

        Raises:
            ItemNotFound: an id is not in the trash; nothing was restored.
            Conflict: an item has the id now, and `replace` is not given; nothing was restored.
        """
        names = self._names()
        ids = dict.fromkeys(check_item_id(item_id, self._collection) for item_id in item_ids)
        entries = [self._entry_of(item_id, names) for item_id in ids]
        taken = [entry for entry in entries if self._is_taken(entry)]
        if taken and not replace:
            raise Conflict(
                "an item has this id again",
                got=", ".join(repr(entry.id) for entry in taken[:3]),
                fix="Restore with `replace`: the current item then goes to the trash.",
            )
        keys = self.move(entry.id for entry in taken)
        for entry in entries:
            keys += self._restore(entry)
        return list(dict.fromkeys(keys))

    def empty(self) -> int:
        """Remove all entries permanently. Returns how many there were."""
        names = self._names()
        self._artifacts.delete_folder(_folder(self._collection))
        return len(names)

    def _move(self, item_id: str) -> list[str]:
        wanted = image_key(self._collection, check_item_id(item_id, self._collection))
        key = self._images.find(wanted)
        if key is None:
            raise ItemNotFound("no such item", got=repr(item_id))
        now = self._clock()
        name = f"{now:{TIME}}-{_digest(item_id)}"
        size = self._copy(self._images, key, self._artifacts, self._path(name, IMAGE))
        keys, metadata = [wanted], upload_metadata_key(self._collection, item_id)
        if len(metadata.encode()) <= MAX_KEY_BYTES and self._images.exists(metadata):
            self._copy(self._images, metadata, self._artifacts, self._path(name, METADATA))
            keys.append(metadata)
        expires = (now + timedelta(days=TRASH_DAYS)).isoformat(timespec="seconds")
        deleted = now.isoformat(timespec="seconds")
        entry = TrashEntry(normalise(item_id), name, deleted, expires, size)
        self._artifacts.put(self._path(name, ENTRY), seal(asdict(entry)))
        for each in keys:
            self._images.delete(each)
        return keys

    def _restore(self, entry: TrashEntry) -> list[str]:
        keys = []
        metadata = upload_metadata_key(self._collection, entry.id)
        if self._artifacts.exists(self._path(entry.name, METADATA)):
            self._copy(self._artifacts, self._path(entry.name, METADATA), self._images, metadata)
            keys.append(metadata)
        key = image_key(self._collection, entry.id)
        self._copy(self._artifacts, self._path(entry.name, IMAGE), self._images, key)
        # Remove `entry.json` first: after a crash, the rest of the folder does not count as an entry.
        self._artifacts.delete(self._path(entry.name, ENTRY))
        self._artifacts.delete_folder(self._path(entry.name))
        return [*keys, key]

    def _is_taken(self, entry: TrashEntry) -> bool:
        """Whether another image has the id now. The same image is there after an interrupted restore."""
        key = image_key(self._collection, entry.id)
        try:
            if self._images.head(key).size != entry.size_bytes:
                return True
            there = self._images.get(key).data
        except ObjectNotFound:
            return False
        return there != self._artifacts.get(self._path(entry.name, IMAGE)).data

    def _copy(self, source: Store, path: str, target: Store, to: str) -> int:
        """Copy an object from store to store; no file is held in memory. Returns its size in bytes."""
        if (file := source.local_path(path)) is not None:
            target.put(to, file)
            return file.stat().st_size
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / IMAGE
            source.download(path, file)
            target.put(to, file)
            return file.stat().st_size

    def _entry_of(self, item_id: str, names: Sequence[str]) -> TrashEntry:
        digest = _digest(item_id)
        for name in reversed(names):
            if name.endswith(f"-{digest}"):
                for entry in self._read(name):
                    return entry
        raise ItemNotFound(
            "the trash has no such item",
            got=repr(item_id),
            fix=f"List it: `lookalike trash list -c {self._collection}`.",
        )

    def _read(self, name: str) -> list[TrashEntry]:
        """The entry; None if it is incomplete."""
        try:
            return [TrashEntry.parse(self._artifacts.get(self._path(name, ENTRY)).data)]
        except ObjectNotFound:
            return []

    def _names(self) -> list[str]:
        """The entries that have not expired, the oldest first."""
        oldest = _oldest(self._clock())
        return [name for name in _all_names(self._artifacts, self._collection) if name >= oldest]

    def _path(self, name: str, file: str = "") -> str:
        return f"{_folder(self._collection)}/{name}" + (f"/{file}" if file else "")


def expire(artifacts: Store, collection: str, *, clock: Callable[[], datetime] = _now) -> int:
    """Remove entries that are older than 30 days. Returns how many."""
    oldest = _oldest(clock())
    expired = [name for name in _all_names(artifacts, collection) if name < oldest]
    for name in expired:
        artifacts.delete_folder(f"{_folder(collection)}/{name}")
    return len(expired)


def _all_names(artifacts: Store, collection: str) -> Sequence[str]:
    return [name for name in artifacts.list_folders(_folder(collection)) if _NAME.fullmatch(name)]


def _folder(collection: str) -> str:
    return f"{TRASH_FOLDER}/{collection}"


def _oldest(now: datetime) -> str:
    return f"{now - timedelta(days=TRASH_DAYS):{TIME}}"


def _digest(item_id: str) -> str:
    return hashlib.sha256(normalise(item_id).encode()).hexdigest()[:DIGEST_DIGITS]
