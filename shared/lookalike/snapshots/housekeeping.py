"""List snapshots, find the current one, and remove old ones."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from lookalike.catalogue import CatalogueVersion
from lookalike.errors import Damaged, Incompatible, SnapshotNotFound
from lookalike.snapshots.encoder_history import read_switches
from lookalike.snapshots.manifest import SnapshotManifest
from lookalike.snapshots.pointer import read_pointer
from lookalike.snapshots.snapshot import read_manifest, snapshot_folder, snapshots_folder
from lookalike.storage import Store
from lookalike.trash import expire

logger = logging.getLogger(__name__)


def current(artifacts: Store, collection: str) -> SnapshotManifest | None:
    """The current snapshot; None before the first one.

    Raises:
        SnapshotNotFound: its files were removed by hand.
        Incompatible: this version cannot read it.
    """
    found = read_pointer(artifacts, collection)
    return None if found is None else read_manifest(artifacts, collection, found[0].snapshot_id)


def list_snapshots(artifacts: Store, collection: str) -> list[SnapshotManifest]:
    """All readable snapshots of a collection, newest first. Skips unfinished and foreign ones."""
    manifests = []
    for snapshot_id in reversed(artifacts.list_folders(snapshots_folder(collection))):
        try:
            manifests.append(read_manifest(artifacts, collection, snapshot_id))
        except (SnapshotNotFound, Incompatible):
            continue
    return manifests


def collect_garbage(artifacts: Store, collection: str, grace_seconds: float) -> list[str]:
    """Remove snapshots that no reader can be using, leftovers of crashed builds, and expired trash.

    A snapshot is removed `grace_seconds` after it was replaced. A folder that was never current (a crash, a
    lost race) is removed if nothing was written to it for that long. The current snapshot, and those that a
    rollback needs, are kept.

    Returns:
        Ids of the removed snapshots.
    """
    if artifacts.folder is not None:  # on S3 a lifecycle rule does it
        expire(artifacts, collection)
    # List folders first: one that is published in between is then either not listed or current.
    folders = artifacts.list_folders(snapshots_folder(collection))
    found = read_pointer(artifacts, collection)
    serving = None if found is None else found[0].snapshot_id
    try:
        needed = read_switches(artifacts, collection).needed()
    except Damaged as error:  # any snapshot may be needed, so all of them stay
        logger.warning("%s: old snapshots are kept: %s", collection, error)
        return []
    # Newest first; for a snapshot that was current twice, the last time counts.
    stopped = {} if found is None else {entry.id: entry.at for entry in reversed(found[0].replaced)}
    kept = {serving} | needed
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
    """The catalogue versions that every current or restorable snapshot includes.

    Removed rows are purged from the catalogue only up to these versions. Otherwise the delta of an earlier
    snapshot would lack the removals.
    """
    items, metadata = serving.items, serving.metadata
    try:
        needed = read_switches(artifacts, collection).needed()
    except Damaged:  # which snapshots can be restored is unknown, so nothing is purged
        return CatalogueVersion(0, 0, serving.vectors)
    for snapshot_id in needed:
        with suppress(SnapshotNotFound, Incompatible):
            known = read_manifest(artifacts, collection, snapshot_id).catalogue
            items, metadata = min(items, known.items), min(metadata, known.metadata)
    return CatalogueVersion(items, metadata, serving.vectors)


def remove_snapshot(artifacts: Store, collection: str, snapshot_id: str) -> None:
    """Remove the files of one snapshot in any state."""
    folder = snapshot_folder(collection, snapshot_id)
    local = artifacts.local_path(folder)
    if local is not None:  # includes partial files, which a listing does not show
        shutil.rmtree(local, ignore_errors=True)
    else:
        artifacts.delete_folder(folder)


def _last_written(artifacts: Store, collection: str, snapshot_id: str) -> datetime:
    folder = snapshot_folder(collection, snapshot_id)
    local = artifacts.local_path(folder)
    times = [info.modified for info in artifacts.list(folder)]
    for path in (local, *local.iterdir()) if local and local.is_dir() else ():
        with suppress(FileNotFoundError):  # the build that writes there renamed it meanwhile
            times.append(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    return max(times, default=datetime.now(UTC))
