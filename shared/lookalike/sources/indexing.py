"""From a folder of images to a collection that can be searched: copy, ingest, build.

It can be stopped at any moment and run again: files that were copied are not copied again, and images that
were committed are not read again. Several processes may index folders, overlapping ones too, into one
collection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.collection_config import CollectionConfig
from lookalike.default_encoder import default_encoder
from lookalike.errors import CollectionNotFound, Conflict, InvalidInput
from lookalike.ingest import IngestReport
from lookalike.layout import check_collection_name, is_image_key
from lookalike.progress import Progress, as_notes
from lookalike.snapshots.staleness import staleness_of
from lookalike.sources.copy_files import Arrival, Intake
from lookalike.sources.scan import Source

if TYPE_CHECKING:
    from lookalike.library import Library

BATCH_FILES = 256
TITLE = "indexing"
Step = Callable[[int], None]


@dataclass(slots=True)
class IndexReport:
    """What one run did; images are counted once each.

    Attributes:
        collection: its name.
        encoder: id of its encoder.
        images: images found.
        copied: of these, files that were not in the images root yet.
        encoded: images that were encoded.
        reused: images whose bytes were known, so that their vector was kept.
        unchanged: images that were indexed already.
        rejected: images that can never become items; `lookalike rejections` lists them.
        metadata_rows: rows read from new or changed metadata files.
        metadata_problems: rows of them that were skipped: file, row, message.
        ignored: files of the folder that were left out.
        skipped: of these, files whose name cannot be an id: name and reason.
        failed: what could not be read or written now: key and reason. Running again tries these again.
        seconds: from the first file to the last commit.
        snapshot: id of the snapshot that is in use afterwards; None before the first.
        unencoded: items that have no vector of the collection's encoder, which was changed; see
            `Staleness.unencoded`. No snapshot is built before they have one.
    """

    collection: str
    encoder: str
    pictures: int
    copied: int = 0
    encoded: int = 0
    reused: int = 0
    unchanged: int = 0
    rejected: int = 0
    metadata_rows: int = 0
    metadata_problems: list[dict[str, Any]] = field(default_factory=list)
    ignored: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    snapshot: str | None = None
    unencoded: int = 0

    def add(self, ingested: IngestReport) -> None:
        """Count what an ingest did."""
        self.encoded += ingested.encoded
        self.reused += ingested.reused
        self.rejected += ingested.rejected
        self.metadata_rows += ingested.metadata_rows
        self.metadata_problems += [
            {"file": problem.file, "row": problem.row, "message": problem.message}
            for problem in ingested.metadata_problems
        ]
        self.failed += [{"key": event.key, "reason": str(error)} for event, error in ingested.failed]


def index_folder(
    library: Library,
    folder: Path,
    collection: str,
    *,
    progress: Progress | None = None,
    snapshot: bool = True,
    batch: int = BATCH_FILES,
    **options: Any,
) -> IndexReport:
    """Index the images and metadata files of `folder` into a collection, which is created if there is none.

    Args:
        library: the store.
        folder: see `Source.scan`.
        collection: its name.
        progress: called while images are indexed, and before each step of a build.
        snapshot: build one if the collection needs it.
        batch: images that are committed together; at most this many are encoded again after a kill.
        options: fields of `CollectionConfig` for a new collection. Without `encoder_id` it uses the default
            encoder, which is built if the store has none, and calibrated on images of `folder`.

    Raises:
        InvalidInput: the folder, the name or an option cannot be used; or the collection exists and was
            created with another option.
    """
    check_collection_name(collection)
    own = [root for store in (library.images, library.artifacts) if (root := store.local_path(""))]
    source = Source.scan(folder, without=tuple(own), collection=collection)
    config = _collection(library, collection, options, source, progress)
    report = _new_report(config, [source])
    return _index(library, [source], report, progress, snapshot=snapshot, batch=batch)


def index_paths(
    library: Library,
    paths: Sequence[Path],
    collection: str,
    *,
    category: str | None = None,
    progress: Progress | None = None,
) -> IndexReport:
    """Index files and folders into a collection that exists.

    Args:
        library: the store.
        paths: a file becomes the item of its name; a folder is indexed as by `index_folder`.
        collection: its name.
        category: folder below which the items are put.
        progress: as for `index_folder`.

    Raises:
        CollectionNotFound: there is no such collection.
        InvalidInput: a path does not exist.
    """
    config = library.collections.get(collection)
    own = [root for store in (library.images, library.artifacts) if (root := store.local_path(""))]
    sources = [
        Source.scan(path, without=tuple(own), collection=collection)
        if path.is_dir()
        else Source.of_file(path, collection)
        for path in paths
    ]
    return _index(library, sources, _new_report(config, sources), progress, category=category)


def _new_report(config: CollectionConfig, sources: Sequence[Source]) -> IndexReport:
    return IndexReport(
        config.name,
        config.encoder_id,
        sum(len(source.pictures) for source in sources),
        ignored=sum(source.ignored for source in sources),
        skipped=[{"name": name, "reason": reason} for source in sources for name, reason in source.skipped],
    )


def _index(
    library: Library,
    sources: Sequence[Source],
    report: IndexReport,
    progress: Progress | None,
    *,
    snapshot: bool = True,
    batch: int = BATCH_FILES,
    category: str | None = None,
) -> IndexReport:
    started = time.monotonic()
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(TITLE, done, report.pictures)

    step(0)
    for source in sources:
        _ingest(library, source, report, step, batch, category)
    report.unchanged = report.pictures - report.encoded - report.reused - report.rejected
    report.unchanged -= sum(is_image_key(failure["key"]) for failure in report.failed)
    report.seconds = round(time.monotonic() - started, 3)
    state = staleness_of(library, report.collection)
    serving = state.serving
    if snapshot and state.needs_build:
        serving = library.build_snapshot(report.collection, progress=as_notes(progress))
    report.snapshot, report.unencoded = serving.id if serving else None, state.unencoded
    return report


def _collection(
    library: Library, name: str, options: dict[str, Any], source: Source, progress: Progress | None
) -> CollectionConfig:
    """The collection, created if there is none; another process may be creating it too."""
    try:
        config = library.collections.get(name)
    except CollectionNotFound:
        config = _create(library, name, options, source, progress)
    for option, wanted in options.items():
        if getattr(config, option) != wanted:
            raise InvalidInput(
                f"the collection {name} exists with another {option}",
                got=wanted,
                expected=getattr(config, option),
                fix="Leave the option out, or see `lookalike collections update`.",
            )
    return config


def _create(
    library: Library, name: str, options: dict[str, Any], source: Source, progress: Progress | None
) -> CollectionConfig:
    if "encoder_id" not in options:
        images = [source.folder / picture for picture in source.pictures]
        manifest = default_encoder(library, images=images, progress=as_notes(progress))
        options = options | {"encoder_id": manifest.id}
    try:
        library.collections.create(CollectionConfig(name, **options))
    except Conflict:
        if progress:
            progress(f"another process has just created {name}", 0, 0)
    return library.collections.get(name)


def _ingest(
    library: Library, source: Source, report: IndexReport, step: Step, batch: int, category: str | None
) -> None:
    intake = Intake(library.images, report.collection, source.folder, category=category)
    try:
        # Metadata first, so that even the first images are found with their fields.
        for arrivals in _arrivals(intake, source.metadata, "metadata", batch):
            _apply(library, arrivals, report)
        for arrivals in _arrivals(intake, source.pictures, "images", batch):
            _apply(library, arrivals, report, step)
    finally:
        intake.close()


def _arrivals(intake: Intake, names: Sequence[str], below: str, batch: int) -> Iterator[list[Arrival]]:
    """Batches of copied files; the next batch is copied while the caller works on this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as ahead:
        pending: Future[list[Arrival]] | None = None
        for start in range(0, len(names), batch):
            following = ahead.submit(intake.take, names[start : start + batch], below)
            if pending:
                yield pending.result()
            pending = following
        if pending:
            yield pending.result()


def _apply(
    library: Library, arrivals: Sequence[Arrival], report: IndexReport, step: Step | None = None
) -> None:
    done = 0

    def count_up(count: int, _total: int) -> None:
        nonlocal done
        if step:
            step(count - done)
        done = count

    report.failed += [{"key": a.key, "reason": a.problem} for a in arrivals if a.problem]
    arrived = [arrival for arrival in arrivals if not arrival.problem]
    report.copied += sum(arrival.written for arrival in arrived if is_image_key(arrival.key))
    keys = [arrival.key for arrival in arrived]
    report.add(library.ingestor.observe(report.collection, keys, progress=count_up))
    if step:
        step(len(arrivals) - done)
