"""`current.json`: the pointer of a collection to its current snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from lookalike.change_token import mark_changed
from lookalike.errors import Conflict, Damaged, ObjectNotFound
from lookalike.integrity import convert, field_names, reading, seal, unseal
from lookalike.storage import Store

FORMAT = 1
FILE = "current.json"
REBUILD = "Build a new snapshot: `lookalike snapshot build --force --collection NAME`."
SWAP_ATTEMPTS = 20
REMEMBERED = 32


@dataclass(frozen=True, slots=True)
class Replaced:
    """A former snapshot, and when it was replaced (ISO 8601, UTC)."""

    id: str
    at: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """Content of `current.json`.

    Attributes:
        snapshot_id: the current snapshot.
        encoder_id: its encoder, so that a reader can load both in parallel.
        published_at: ISO 8601, UTC.
        replaced: former snapshots, newest first; running readers may still use them.
        format: version of this layout.
    """

    snapshot_id: str
    encoder_id: str
    published_at: str
    replaced: tuple[Replaced, ...] = ()
    format: int = FORMAT

    def dump(self) -> bytes:
        """As it is stored."""
        return seal(asdict(self))

    @classmethod
    def parse(cls, data: bytes) -> Pointer:
        """Inverse of `dump`. Raises Damaged, or Incompatible for another format."""
        found = unseal(data, FILE, format=FORMAT, known=field_names(cls), fix=REBUILD)
        with reading(FILE, REBUILD):
            pointer: Pointer = convert(cls, found)
            for entry in pointer.replaced:
                datetime.fromisoformat(entry.at)
            return pointer

    def followed_by(self, snapshot_id: str, encoder_id: str) -> Pointer:
        """The pointer after a new snapshot is published now."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        replaced = (Replaced(self.snapshot_id, now), *self.replaced)[:REMEMBERED]
        return Pointer(snapshot_id, encoder_id, now, replaced)


def pointer_path(collection: str) -> str:
    """Path of a collection's pointer in the artifacts store."""
    return f"collections/{collection}/current.json"


def read_pointer(artifacts: Store, collection: str) -> tuple[Pointer, str] | None:
    """The pointer and its ETag; None before anything was published."""
    try:
        blob = artifacts.get(pointer_path(collection))
    except ObjectNotFound:
        return None
    return Pointer.parse(blob.data), blob.etag


def swap_pointer(
    artifacts: Store,
    collection: str,
    snapshot_id: str,
    encoder_id: str,
    *,
    may_replace: Callable[[Pointer], bool],
) -> bool:
    """Compare-and-swap the pointer to a new snapshot. Replaces a damaged pointer.

    Args:
        artifacts: the artifacts store.
        collection: whose pointer.
        snapshot_id: the snapshot to publish; all of its files must exist.
        encoder_id: its encoder.
        may_replace: called with the current snapshot's id, again after each lost race.

    Returns:
        False if `may_replace` returned False: the current snapshot is newer, and nothing was written.

    Raises:
        Conflict: other processes kept publishing.
    """
    path = pointer_path(collection)
    for _ in range(SWAP_ATTEMPTS):
        known, etag = _read(artifacts, collection)
        if known is None:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            pointer = Pointer(snapshot_id, encoder_id, now)
        elif may_replace(known):
            pointer = known.followed_by(snapshot_id, encoder_id)
        else:
            return False
        if artifacts.replace(path, pointer.dump(), etag=etag):
            mark_changed(artifacts, collection)
            return True
    raise Conflict("other processes kept publishing snapshots", got=snapshot_id)


def _read(artifacts: Store, collection: str) -> tuple[Pointer | None, str | None]:
    """The pointer, None if there is none or it is damaged; and its ETag, None if there is none."""
    try:
        blob = artifacts.get(pointer_path(collection))
    except ObjectNotFound:
        return None, None
    try:
        return Pointer.parse(blob.data), blob.etag
    except Damaged:
        return None, blob.etag
