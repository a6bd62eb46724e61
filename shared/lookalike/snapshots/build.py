"""Building a snapshot: read one catalogue version, write every file, verify, publish.

A crash at any point leaves `current.json` as it was, and at most a folder that `collect_garbage` removes.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike.catalogue import Catalogue, CatalogueVersion
from lookalike.collections import CollectionConfig, Collections
from lookalike.confidence import Calibration, calibrate
from lookalike.errors import Conflict, Incompatible, SnapshotNotFound, StoreUnavailable
from lookalike.indexes import IndexSpec, build_index, open_index
from lookalike.indexes.distance import exact_distances
from lookalike.snapshots.columns import ColumnsWriter
from lookalike.snapshots.housekeeping import collect_garbage, current, remove_snapshot
from lookalike.snapshots.manifest import (
    COLUMNS_FILE,
    MANIFEST_FILE,
    BuildOptions,
    LabelStatistics,
    SnapshotManifest,
)
from lookalike.snapshots.pointer import Pointer, swap_pointer
from lookalike.snapshots.snapshot import Snapshot, open_snapshot, read_manifest, snapshot_folder
from lookalike.storage import Store
from lookalike.types import Vector, Vectors

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[str], None]
"""Told what is being done now, in a few words."""

GRACE_SECONDS = 3_600.0
STALE_WORK_SECONDS = 86_400.0
SAME_VECTOR = 1e-5
"""Distance, relative to the vector's length, that storing a vector may move it."""


def build_snapshot(
    artifacts: Store,
    config: CollectionConfig,
    catalogue: Catalogue,
    *,
    work_dir: Path,
    progress: Progress | None = None,
    force: bool = False,
    wait: bool = True,
    grace_seconds: float = GRACE_SECONDS,
) -> SnapshotManifest:
    """Build and publish a snapshot of everything that the catalogue holds now.

    Args:
        artifacts: the artifacts store.
        config: the collection; its metric, engine and the engine's options are used.
        catalogue: the collection's, with the encoder whose vectors the snapshot is to have.
        work_dir: where files are written before they are uploaded; about the size of the snapshot, twice
            that on S3.
        progress: called with a few words before each step.
        force: build even if the current snapshot has the same rows and options.
        wait: wait while another process of this machine builds this collection.
        grace_seconds: how long replaced snapshots are kept for readers in flight.

    Returns:
        The snapshot that serves afterwards: normally the one built; the current one if it is up to date,
        or if a newer one was published meanwhile. A collection without items gets a snapshot of none.

    Raises:
        Conflict: another build of this collection is under way, and `wait` is False.
        CollectionNotFound: the collection was deleted.
        Incompatible: what was read back from the store is not what was written; nothing was published.
        StoreUnavailable: the store failed; nothing was published.
    """
    say = progress or (lambda _: None)
    with _only_one(artifacts, config.name, wait=wait):
        say("looking for changes")
        job = _Job(
            artifacts=artifacts,
            config=config,
            catalogue=catalogue,
            options=BuildOptions(config.engine, config.n_trees, config.search_k, config.recall_target),
            encoder_at_start=Collections(artifacts).get(config.name).encoder_id,
            # Before the version: a commit in between is then in the snapshot, and looked for once more.
            fingerprint=catalogue.fingerprint(),
            version=catalogue.version(),
            id=f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        )
        serving = None if force else _up_to_date(job)
        if serving is None:
            with _work_folder(job, work_dir) as folder:
                serving = _build(job, folder, say)
        collect_garbage(artifacts, config.name, grace_seconds)
        return serving


@dataclass(frozen=True, slots=True)
class _Job:
    """One build: what is read, and how."""

    artifacts: Store
    config: CollectionConfig
    catalogue: Catalogue
    options: BuildOptions
    encoder_at_start: str
    fingerprint: str
    version: CatalogueVersion
    id: str


class _Rows:
    """Reads the catalogue once, for the index, the columns, the labels and the probes alike."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._last_id = ""
        self.columns = ColumnsWriter()
        self.labels: list[str | None] = []
        self.probes: list[tuple[str, Vector]] = []

    def batches(self) -> Iterator[Vectors]:
        """The vectors, batch by batch; all the rest is kept on the way."""
        for batch in self._job.catalogue.scan(self._job.version):
            for item in batch.items:
                # Readers look ids up by bisection.
                if item.id <= self._last_id:
                    raise Incompatible(
                        "the catalogue's rows are not in the order of their ids",
                        got=repr(item.id),
                        expected=f"more than {self._last_id!r}",
                    )
                self._last_id = item.id
            if batch.items:
                self.columns.add(batch.items)
                self.labels += [item.category for item in batch.items]
                ends = {0, len(batch.items) - 1}
                self.probes += [(batch.items[row].id, batch.vectors[row].copy()) for row in ends]
                yield batch.vectors


def _up_to_date(job: _Job) -> SnapshotManifest | None:
    """The current snapshot, if a build would make the same."""
    try:
        serving = current(job.artifacts, job.config.name)
    except (SnapshotNotFound, Incompatible):
        return None
    if serving is None:
        return None
    same = (
        serving.fingerprint == job.fingerprint
        and serving.encoder_id == job.catalogue.encoder_id
        and serving.metric == job.config.metric
        and serving.options == job.options
    )
    return serving if same else None


def _build(job: _Job, folder: Path, say: Progress) -> SnapshotManifest:
    rows = _Rows(job)
    say("reading vectors, building the index")
    index = _build_index(job, rows, folder)
    say("writing item columns")
    schema = rows.columns.write(folder / COLUMNS_FILE)
    say("calibrating confidence")
    calibration = _calibrate(job, index, rows.labels, folder)
    manifest = _manifest(job, index, schema, rows.labels, calibration)
    stored = snapshot_folder(manifest.collection, manifest.id)
    try:
        say("uploading")
        for name in manifest.files:
            job.artifacts.put(f"{stored}/{name}", folder / name)
        job.artifacts.put(f"{stored}/{MANIFEST_FILE}", manifest.dump())
        say("verifying")
        _verify(manifest, job.artifacts, folder, rows.probes)
        say("publishing")
        published = swap_pointer(
            job.artifacts,
            manifest.collection,
            manifest.id,
            manifest.encoder_id,
            may_replace=lambda pointer: _may_replace(job, manifest, pointer),
        )
    except BaseException:
        remove_snapshot(job.artifacts, manifest.collection, manifest.id)
        raise
    if published:
        return manifest
    remove_snapshot(job.artifacts, manifest.collection, manifest.id)
    return current(job.artifacts, manifest.collection) or manifest


def _build_index(job: _Job, rows: _Rows, folder: Path) -> IndexSpec:
    return build_index(
        job.options.engine,
        job.config.metric,
        rows.batches(),
        job.catalogue.dimension,
        folder,
        n_trees=job.options.n_trees,
        search_k=job.options.search_k,
        recall_target=job.options.recall_target,
    )


def _calibrate(job: _Job, index: IndexSpec, labels: list[str | None], folder: Path) -> Calibration | None:
    opened = open_index(index, folder)
    return calibrate(opened.vectors, labels, opened.search, job.config.metric)


def _manifest(
    job: _Job,
    index: IndexSpec,
    schema: pa.Schema,
    labels: list[str | None],
    calibration: Calibration | None,
) -> SnapshotManifest:
    return SnapshotManifest(
        id=job.id,
        collection=job.config.name,
        encoder_id=job.catalogue.encoder_id,
        dimension=job.catalogue.dimension,
        metric=job.config.metric,
        catalogue=job.version,
        fingerprint=job.fingerprint,
        count=len(labels),
        options=job.options,
        index=index,
        labels=LabelStatistics.of(labels),
        calibration=calibration,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        columns={field.name: str(field.type) for field in schema},
    )


def _verify(
    manifest: SnapshotManifest, artifacts: Store, folder: Path, probes: list[tuple[str, Vector]]
) -> None:
    """Open the snapshot as a reader will, from the store, and look up what is known to be in it."""
    stored = read_manifest(artifacts, manifest.collection, manifest.id)
    snapshot = open_snapshot(stored, artifacts, folder / "verify")
    for item_id, vector in probes:
        row = snapshot.row_of(item_id)
        if row is None or _moved(vector, snapshot, row):
            raise Incompatible(
                f"snapshot {manifest.id} read back from the store is not what was written",
                got="no row" if row is None else f"another vector in row {row}",
                expected=f"the vector of {item_id!r}",
                fix="Build again; if it happens again, the store returns damaged files.",
            )


def _moved(vector: Vector, snapshot: Snapshot, row: int) -> bool:
    stored = snapshot.vectors[row : row + 1]
    moved = exact_distances(vector, stored, "l2")[0]
    return bool(moved > SAME_VECTOR * max(1.0, float(np.linalg.norm(vector))))


def _may_replace(job: _Job, ours: SnapshotManifest, pointer: Pointer) -> bool:
    """Whether `ours` is at least as new as the snapshot that serves now."""
    try:
        theirs = read_manifest(job.artifacts, ours.collection, pointer.snapshot_id)
    except (SnapshotNotFound, Incompatible):
        return True
    if theirs.encoder_id != ours.encoder_id:
        wanted = Collections(job.artifacts).get(ours.collection).encoder_id
        # Row versions of two encoders do not compare. Ours is outdated if the collection moved on to
        # theirs while we were building.
        return wanted in (ours.encoder_id, job.encoder_at_start)
    ahead = [
        (theirs.catalogue.items, ours.catalogue.items),
        (theirs.catalogue.metadata, ours.catalogue.metadata),
        (theirs.catalogue.vectors, ours.catalogue.vectors),
    ]
    newer = theirs.catalogue != ours.catalogue and all(their >= our for their, our in ahead)
    return not newer


@contextmanager
def _only_one(artifacts: Store, collection: str, *, wait: bool) -> Iterator[None]:
    """Builds of one collection do not overlap on one machine. On S3 they may; the newest wins."""
    lock = artifacts.lock(f"collections/{collection}/build.lock", seconds=-1 if wait else 0)
    try:
        lock.__enter__()
    except StoreUnavailable as error:
        raise Conflict(
            "another build of this collection is under way", got=collection, fix="Wait for it to end."
        ) from error
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


@contextmanager
def _work_folder(job: _Job, work_dir: Path) -> Iterator[Path]:
    """A folder for this build. What killed builds of the collection left there is removed first."""
    prefix = f"build-{job.config.name}-"
    for left in work_dir.glob(f"{prefix}*"):
        if left.stat().st_mtime < time.time() - STALE_WORK_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    folder = work_dir / f"{prefix}{job.id}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
