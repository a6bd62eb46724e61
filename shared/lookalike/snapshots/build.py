"""Build a snapshot: read one catalogue version, write every file, verify, publish.

After a crash `current.json` is unchanged, and at most a folder is left that `collect_garbage` removes.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lookalike.catalogue import Catalogue, CatalogueVersion
from lookalike.collection_config import CollectionConfig, Collections
from lookalike.confidence import ConfidenceModel, fit_confidence
from lookalike.errors import EncoderNotFound, Incompatible, SnapshotNotFound
from lookalike.indexes import IndexSpec, build_index, open_index
from lookalike.integrity import file_sha256
from lookalike.projection import POSITIONS_FILE, project, write_positions
from lookalike.snapshots.build_space import Built, lacks_space, next_space
from lookalike.snapshots.build_text import BuiltText, Learned, build_text, learned_before
from lookalike.snapshots.contents import Contents
from lookalike.snapshots.housekeeping import collect_garbage, current
from lookalike.snapshots.manifest import (
    COLUMNS_FILE,
    OUTDATED,
    BuildOptions,
    LabelStatistics,
    SnapshotManifest,
)
from lookalike.snapshots.snapshot import is_whole
from lookalike.snapshots.swap import only_one, publish
from lookalike.storage import Store
from lookalike.types import Vectors

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[str], None]
"""Called with a short description of each step."""

GRACE_SECONDS = 3_600.0
WORK_PREFIX = "build-"


def build_snapshot(  # noqa: PLR0913  # all but three by name and with defaults
    artifacts: Store,
    config: CollectionConfig,
    catalogue: Catalogue,
    *,
    work_dir: Path,
    progress: Progress | None = None,
    force: bool = False,
    wait: bool = True,
    grace_seconds: float = GRACE_SECONDS,
    before_swap: Callable[[], None] | None = None,
) -> SnapshotManifest:
    """Build and publish a snapshot of the catalogue's current content.

    Args:
        artifacts: the artifacts store.
        config: the collection; its metric, engine, dimensions and the engine's options are used.
        catalogue: the collection's, with the vectors of the snapshot's encoder.
        work_dir: for files before they are uploaded; needs the size of the snapshot, on S3 twice that.
        progress: called before each step with a short description.
        force: build even if the current snapshot has the same rows and options, and learn everything anew.
        wait: wait while another process on this machine builds this collection.
        grace_seconds: how long replaced snapshots are kept for running readers.
        before_swap: called when a new snapshot is complete and verified. If it raises, the snapshot is not
            published.

    Returns:
        The current snapshot afterwards: normally the new one; the existing one if it is up to date or if a
        newer one was published meanwhile. A collection without items gets an empty snapshot.

    Raises:
        Conflict: another build of this collection is running, and `wait` is False.
        CollectionNotFound: the collection was deleted.
        Incompatible: the store returned other bytes than were written; nothing was published.
        StoreUnavailable: the store failed; nothing was published.
    """
    say = progress or (lambda _: None)
    with only_one(artifacts, config.name, wait=wait):
        say("checking for changes")
        job = _Job(
            artifacts=artifacts,
            config=config,
            catalogue=catalogue,
            options=BuildOptions.of(config),
            encoder_at_start=Collections(artifacts).get(config.name).encoder_id,
            # Before the version: a commit in between is then in the snapshot, and only checked again.
            fingerprint=catalogue.fingerprint(),
            version=catalogue.version(),
            id=_new_id(),
            anew=force,
        )
        serving = None if force else _up_to_date(job)
        if serving is None:
            with _work_folder(job, work_dir) as folder:
                serving = _build(job, folder, say, before_swap)
        collect_garbage(artifacts, config.name, grace_seconds)
        return serving


@dataclass(frozen=True, slots=True)
class _Job:
    """One build and its inputs."""

    artifacts: Store
    config: CollectionConfig
    catalogue: Catalogue
    options: BuildOptions
    encoder_at_start: str
    fingerprint: str
    version: CatalogueVersion
    id: str
    anew: bool


def _new_id() -> str:
    """A new id. Sorts by time to the microsecond; the last digits distinguish simultaneous builds."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}-{now.microsecond:05x}{secrets.randbelow(16**3):03x}"


def _up_to_date(job: _Job) -> SnapshotManifest | None:
    """The current snapshot, if a build would produce the same."""
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
        and OUTDATED not in (serving.confidence_reason, serving.text_confidence_reason)
        and not lacks_space(serving, job.config.dimensions)
    )
    # On S3 the bucket itself checks what it stores, and requests cost money.
    in_folder = job.artifacts.folder is not None
    return serving if same and not (in_folder and not is_whole(serving, job.artifacts)) else None


def _build(
    job: _Job, folder: Path, say: Progress, before_swap: Callable[[], None] | None
) -> SnapshotManifest:
    space = next_space(job.artifacts, job.config, job.catalogue, job.version, say)
    if space:
        space[0].write(folder / space[1].file)
    contents = Contents(job.catalogue, job.version, _held_out(job))
    say("reading vectors")
    scores: list[NDArray[np.float64]] = []
    index = _build_index(job, _projected(contents, space, scores), space, folder, say)
    say("writing item columns")
    schema = contents.columns.write(folder / COLUMNS_FILE)
    say("learning confidence")
    confidence = _confidence(job, index, contents, scores, folder)
    vectors = open_index(index, folder).vectors
    kept = None if job.anew else _learned_before(job, space)
    text = build_text(folder, vectors, contents.texts, contents.labels, say, kept)
    say("computing the map")
    write_positions(project(vectors), folder / POSITIONS_FILE)
    manifest = _hashed(_manifest(job, index, space, schema, contents.labels, confidence, text), folder)
    published = publish(
        manifest,
        folder,
        job.artifacts,
        probes=contents.probes,
        encoder_at_start=job.encoder_at_start,
        say=say,
        before_swap=before_swap,
    )
    return manifest if published else current(job.artifacts, manifest.collection) or manifest


def _learned_before(job: _Job, space: Built | None) -> Learned | None:
    try:
        serving = current(job.artifacts, job.config.name)
    except (SnapshotNotFound, Incompatible):
        return None
    return learned_before(job.artifacts, serving, job.catalogue.encoder_id, space[1] if space else None)


def _projected(
    contents: Contents, space: Built | None, scores: list[NDArray[np.float64]]
) -> Iterator[Vectors]:
    """The vectors as the index compares them. Collects how their scores compare with the encoder's."""
    for batch in contents.batches():
        if space is None:
            yield batch
        else:
            projected = space[0].describe(batch)
            scores.append(projected.scores)
            yield projected.vectors


def _build_index(
    job: _Job, batches: Iterator[Vectors], space: Built | None, folder: Path, say: Progress
) -> IndexSpec:
    return build_index(
        job.options.engine,
        job.config.metric,
        batches,
        space[0].dimension if space else job.catalogue.dimension,
        folder,
        n_trees=job.options.n_trees,
        search_k=job.options.search_k,
        recall_target=job.options.recall_target,
        progress=say,
    )


def _held_out(job: _Job) -> frozenset[str]:
    """Ids of the images that the encoder's training held out."""
    from lookalike.encoders import Encoders

    try:
        return Encoders(job.artifacts).get(job.catalogue.encoder_id).held_out
    except EncoderNotFound:  # vectors of another encoder
        return frozenset()


def _confidence(
    job: _Job, index: IndexSpec, contents: Contents, scores: list[NDArray[np.float64]], folder: Path
) -> tuple[ConfidenceModel | None, str | None]:
    opened = open_index(index, folder)
    held_out = np.array(contents.held_out, bool)
    return fit_confidence(
        opened.vectors,
        contents.labels,
        opened.search,
        job.config.metric,
        encoder_scores=np.concatenate(scores) if scores else None,
        held_out=held_out,
    )


def _manifest(  # its parts, in the order in which they were built
    job: _Job,
    index: IndexSpec,
    space: Built | None,
    schema: pa.Schema,
    labels: list[str | None],
    confidence: tuple[ConfidenceModel | None, str | None],
    text: BuiltText | None,
) -> SnapshotManifest:
    return SnapshotManifest(
        id=job.id,
        collection=job.config.name,
        encoder_id=job.catalogue.encoder_id,
        dimension=index.dimension,
        metric=job.config.metric,
        catalogue=job.version,
        fingerprint=job.fingerprint,
        count=len(labels),
        options=job.options,
        index=index,
        labels=LabelStatistics.of(labels),
        confidence=confidence[0],
        confidence_reason=confidence[1],
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        columns={field.name: str(field.type) for field in schema},
        space=space[1] if space else None,
        places=POSITIONS_FILE,
        text=text.info if text else None,
        text_confidence=text.confidence if text else None,
        text_confidence_reason=text.confidence_reason if text else "no item has words",
    )


def _hashed(manifest: SnapshotManifest, folder: Path) -> SnapshotManifest:
    names = (*manifest.files, *manifest.side_files)
    return replace(manifest, hashes={name: file_sha256(folder / name) for name in names})


@contextmanager
def _work_folder(job: _Job, work_dir: Path) -> Iterator[Path]:
    """A folder for this build. Removes leftovers of killed builds from `work_dir` first."""
    from filelock import FileLock, Timeout

    work_dir.mkdir(parents=True, exist_ok=True)
    for left in work_dir.glob(f"{WORK_PREFIX}*.lock"):
        with suppress(Timeout), FileLock(left, timeout=0):  # free: its process has ended
            if left.with_suffix("").exists():
                shutil.rmtree(left.with_suffix(""), ignore_errors=True)
                left.unlink(missing_ok=True)
    folder = work_dir / f"{WORK_PREFIX}{job.id}"
    lock = folder.with_suffix(".lock")
    with FileLock(lock):
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
