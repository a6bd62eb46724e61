"""Which snapshots there are, which one serves, and which can go."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from lookalike.catalogue import CatalogueVersion
from lookalike.errors import Incompatible, SnapshotNotFound
from lookalike.snapshots.manifest import SnapshotManifest
from lookalike.snapshots.pointer import read_pointer
from lookalike.snapshots.snapshot import read_manifest, snapshot_folder, snapshots_folder
from lookalike.snapshots.switches import read_switches
from lookalike.storage import Store


def current(artifacts: Store, collection: str) -> SnapshotManifest | None:
    """The snapshot that serves; None before the first one.

    Raises:
        SnapshotNotFound: it is gone (somebody removed files by hand).
        Incompatible: this reader cannot serve it.
    """
    found = read_pointer(artifacts, collection)
    return None if found is None else read_manifest(artifacts, collection, found[0].snapshot_id)


def list_snapshots(artifacts: Store, collection: str) -> list[SnapshotManifest]:
    """Every readable snapshot of a collection, newest first. Unfinished and foreign ones are left out."""
    manifests = []
    for snapshot_id in reversed(artifacts.list_folders(snapshots_folder(collection))):
        try:
            manifests.append(read_manifest(artifacts, collection, snapshot_id))
        except (SnapshotNotFound, Incompatible):
            continue
    return manifests


def collect_garbage(artifacts: Store, collection: str, grace_seconds: float) -> list[str]:
    """Remove snapshots that nobody can be reading any more, and what crashed builds left.

    A snapshot goes `grace_seconds` after another took its place; a folder that never served (a crash, a
    lost race) goes when nothing was written to it for as long. The current one never goes, nor one that
    going back to an earlier encoder needs.

    Returns:
        Ids of the removed snapshots.
    """
    # The folders first: one that a build publishes in between is then either unknown here or current.
    folders = artifacts.list_folders(snapshots_folder(collection))
    found = read_pointer(artifacts, collection)
    serving = None if found is None else found[0].snapshot_id
    # Newest first; one that served twice counts from the last time.
    stopped = {} if found is None else {entry.id: entry.at for entry in reversed(found[0].replaced)}
    kept = {serving} | read_switches(artifacts, collection).needed()
    deadline = datetime.now(UTC) - timedelta(seconds=grace_seconds)
    removed = []
    for snapshot_id in folders:
        if snapshot_id in kept:
            continue
        if snapshot_id in stopped:
            last_needed = datetime.fromisoformat(stopped[snapshot_id])
        else:
            last_needed = _last_written(artifacts, collection, snapshot_id)
        if last_needed < deadline:
            remove_snapshot(artifacts, collection, snapshot_id)
            removed.append(snapshot_id)
    return removed


def known_to_all(artifacts: Store, collection: str, serving: CatalogueVersion) -> CatalogueVersion:
    """What every snapshot that serves, or may serve again, knows of items and metadata.

    Rows that went are purged from the catalogue up to this version only: else an earlier snapshot would not
    hear that they went.
    """
    items, metadata = serving.items, serving.metadata
    for snapshot_id in read_switches(artifacts, collection).needed():
        with suppress(SnapshotNotFound, Incompatible):
            known = read_manifest(artifacts, collection, snapshot_id).catalogue
            items, metadata = min(items, known.items), min(metadata, known.metadata)
    return CatalogueVersion(items, metadata, serving.vectors)


def remove_snapshot(artifacts: Store, collection: str, snapshot_id: str) -> None:
    """Remove the files of one snapshot, whatever its state."""
    folder = snapshot_folder(collection, snapshot_id)
    local = artifacts.local_path(folder)
    if local is not None:  # also takes half-written files, which a listing does not show
        shutil.rmtree(local, ignore_errors=True)
    else:
        artifacts.delete_folder(folder)


def _last_written(artifacts: Store, collection: str, snapshot_id: str) -> datetime:
    folder = snapshot_folder(collection, snapshot_id)
    local = artifacts.local_path(folder)
    times = [info.modified for info in artifacts.list(folder)]
    for path in (local, *local.iterdir()) if local and local.is_dir() else ():
        with suppress(FileNotFoundError):  # renamed meanwhile by the build that writes there
            times.append(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    return max(times, default=datetime.now(UTC))
