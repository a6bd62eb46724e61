"""Publish a built snapshot: upload, verify, compare-and-swap the pointer."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from lookalike.collection_config import Collections
from lookalike.errors import Conflict, Damaged, Incompatible, SnapshotNotFound, StoreUnavailable
from lookalike.indexes import exact_distances
from lookalike.snapshots.housekeeping import current, remove_snapshot
from lookalike.snapshots.manifest import MANIFEST_FILE, SnapshotManifest
from lookalike.snapshots.pointer import Pointer, read_pointer, swap_pointer
from lookalike.snapshots.snapshot import (
    Snapshot,
    fetch_snapshot,
    is_whole,
    open_snapshot,
    read_manifest,
    snapshot_folder,
)
from lookalike.storage import Store
from lookalike.types import Vector

SAME_VECTOR = 1e-5
"""Maximum relative change of a vector by storing it."""


def publish(
    manifest: SnapshotManifest,
    folder: Path,
    artifacts: Store,
    *,
    probes: list[tuple[str, Vector]],
    encoder_at_start: str,
    say: Callable[[str], None],
    before_swap: Callable[[], None] | None = None,
) -> bool:
    """Upload the files of a snapshot, read them back, and make it current.

    Args:
        manifest: of the snapshot.
        folder: its files; must have space for a second copy.
        artifacts: the artifacts store.
        probes: ids and vectors that the read-back must contain.
        encoder_at_start: the collection's encoder when the build started.
        say: called with each step.
        before_swap: see `build_snapshot`.

    Returns:
        False if a newer snapshot is current; then this one was removed from the store.

    Raises:
        CollectionNotFound: the collection was deleted; the snapshot was removed.
        Incompatible: the store returned other bytes than were written; the snapshot was removed.
    """
    stored = snapshot_folder(manifest.collection, manifest.id)
    published = False
    try:
        say("uploading")
        for name in (*manifest.files, *manifest.side_files):
            artifacts.put(f"{stored}/{name}", folder / name)
        artifacts.put(f"{stored}/{MANIFEST_FILE}", manifest.dump())
        say("verifying")
        _verify(manifest, artifacts, folder, probes)
        say("publishing")
        if before_swap:
            before_swap()
        Collections(artifacts).get(manifest.collection)  # a deleted collection must not reappear
        published = swap_pointer(
            artifacts,
            manifest.collection,
            manifest.id,
            manifest.encoder_id,
            may_replace=lambda serving: _may_replace(artifacts, manifest, encoder_at_start, serving),
        )
    finally:
        if not published:
            _remove_unless_current(artifacts, manifest)
    return published


def _remove_unless_current(artifacts: Store, manifest: SnapshotManifest) -> None:
    """Remove a snapshot that was not published. Ctrl-C may come just after the pointer was swapped to it."""
    try:
        found = read_pointer(artifacts, manifest.collection)
    except Damaged:  # and so it names no snapshot
        found = None
    if found is None or found[0].snapshot_id != manifest.id:
        remove_snapshot(artifacts, manifest.collection, manifest.id)


def republish(
    artifacts: Store, collection: str, snapshot_id: str, *, before_swap: Callable[[], None]
) -> SnapshotManifest | None:
    """Make an earlier snapshot current again. Its delta contains everything since.

    Args:
        artifacts: the artifacts store.
        collection: whose snapshot.
        snapshot_id: of the earlier one.
        before_swap: called when the snapshot has been verified.

    Returns:
        The current snapshot afterwards: this one, or a newer one of the same encoder; None if it is
        incomplete, and nothing was done.

    Raises:
        CollectionNotFound: the collection was deleted.
        Conflict: others kept publishing at the same time.
    """
    with only_one(artifacts, collection):
        try:
            manifest = read_manifest(artifacts, collection, snapshot_id)
        except (SnapshotNotFound, Incompatible):
            return None
        if not is_whole(manifest, artifacts):
            return None
        before_swap()
        Collections(artifacts).get(collection)
        swap_pointer(
            artifacts,
            collection,
            snapshot_id,
            manifest.encoder_id,
            may_replace=lambda serving: serving.encoder_id != manifest.encoder_id,
        )
        return current(artifacts, collection)


@contextmanager
def only_one(artifacts: Store, collection: str, *, wait: bool = True) -> Iterator[None]:
    """Prevents concurrent builds of one collection on one machine. On S3 the newest build wins."""
    with ExitStack() as stack:
        try:
            lock = artifacts.lock(f"collections/{collection}/build.lock", seconds=-1 if wait else 0)
            stack.enter_context(lock)
        except StoreUnavailable as error:
            raise Conflict(
                "another build of this collection is running",
                got=collection,
                fix="Wait until it has finished.",
            ) from error
        yield


def _verify(
    manifest: SnapshotManifest, artifacts: Store, folder: Path, probes: list[tuple[str, Vector]]
) -> None:
    """Open the snapshot from the store like a reader, look up the probes, and compare every byte."""
    stored = read_manifest(artifacts, manifest.collection, manifest.id)
    snapshot = open_snapshot(stored, artifacts, folder / "verify")
    for item_id, vector in probes:
        row = snapshot.row_of(item_id)
        if row is None or _moved(vector, snapshot, row):
            got = "no row" if row is None else f"another vector in row {row}"
            raise _damaged(manifest, got, f"the vector of {item_id!r}")
    copies = fetch_snapshot(stored, artifacts, folder / "verify")
    for name in manifest.files:
        if not filecmp.cmp(folder / name, copies / name, shallow=False):
            raise _damaged(manifest, f"another {name}", "the same bytes")
    for name in manifest.side_files:
        kept = artifacts.get(f"{snapshot_folder(manifest.collection, manifest.id)}/{name}").data
        if kept != (folder / name).read_bytes():
            raise _damaged(manifest, f"another {name}", "the same bytes")
    if stored != manifest:
        raise _damaged(manifest, f"another {MANIFEST_FILE}", "the same fields")


def _damaged(manifest: SnapshotManifest, got: str, expected: str) -> Incompatible:
    return Incompatible(
        f"the store returned other bytes for snapshot {manifest.id} than were written",
        got=got,
        expected=expected,
        fix="Build again. If it happens again, the store returns damaged files.",
    )


def _moved(vector: Vector, snapshot: Snapshot, row: int) -> bool:
    stored = snapshot.vectors[row : row + 1]
    vector = snapshot.in_search_space(vector[None])[0]
    moved = exact_distances(vector, stored, "l2")[0]
    return bool(moved > SAME_VECTOR * max(1.0, float(np.linalg.norm(vector))))


def _may_replace(artifacts: Store, ours: SnapshotManifest, encoder_at_start: str, pointer: Pointer) -> bool:
    """Whether `ours` is at least as new as the current snapshot."""
    try:
        theirs = read_manifest(artifacts, ours.collection, pointer.snapshot_id)
    except (SnapshotNotFound, Incompatible):
        return True
    if theirs.encoder_id != ours.encoder_id:
        wanted = Collections(artifacts).get(ours.collection).encoder_id
        # Row versions of different encoders are not comparable. Ours is outdated if the collection
        # switched to theirs during the build.
        return wanted in (ours.encoder_id, encoder_at_start)
    ahead = [
        (theirs.catalogue.items, ours.catalogue.items),
        (theirs.catalogue.metadata, ours.catalogue.metadata),
        (theirs.catalogue.vectors, ours.catalogue.vectors),
    ]
    newer = theirs.catalogue != ours.catalogue and all(their >= our for their, our in ahead)
    return not newer
