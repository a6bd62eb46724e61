"""`current.json`: the pointer of a collection to its current snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from lookalike.change_token import mark_changed
from lookalike.errors import Conflict, Incompatible, ObjectNotFound
from lookalike.storage import Store

FORMAT = 1
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
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def parse(cls, data: bytes) -> Pointer:
        """Inverse of `dump`. Raises Incompatible."""
        try:
            found = json.loads(data)
            if found["format"] != FORMAT:
                raise Incompatible("current.json has another format", got=found["format"], expected=FORMAT)
            replaced = tuple(Replaced(**entry) for entry in found["replaced"])
            return cls(found["snapshot_id"], found["encoder_id"], found["published_at"], replaced)
        except (ValueError, KeyError, TypeError) as error:
            raise Incompatible(
                "current.json cannot be read", got=repr(data[:80]), expected=f"the fields of format {FORMAT}"
            ) from error

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
    """Compare-and-swap the pointer to a new snapshot.

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
        found = read_pointer(artifacts, collection)
        if found is None:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            pointer, etag = Pointer(snapshot_id, encoder_id, now), None
        elif may_replace(found[0]):
            pointer, etag = found[0].followed_by(snapshot_id, encoder_id), found[1]
        else:
            return False
        if artifacts.replace(path, pointer.dump(), etag=etag):
            mark_changed(artifacts, collection)
            return True
    raise Conflict("other processes kept publishing snapshots", got=snapshot_id)
