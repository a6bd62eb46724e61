"""From a folder of pictures to a collection that can be searched: take in, ingest, build.

It can be stopped at any moment and run again: files that are there are not copied again, pictures that were
committed are not read again. Several processes may bring folders, overlapping ones too, into one collection.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookalike.collections import CollectionConfig
from lookalike.console import Advance, Console
from lookalike.default_encoder import default_encoder
from lookalike.errors import CollectionNotFound, Conflict, InvalidInput
from lookalike.ingest import IngestReport
from lookalike.layout import check_collection_name, is_image_key
from lookalike.snapshots import SnapshotManifest, current
from lookalike.snapshots.threshold import needs_build
from lookalike.sources.folder import Source
from lookalike.sources.intake import Arrival, Intake
from lookalike.workspace import Workspace

BATCH_FILES = 256


@dataclass(slots=True)
class IndexReport:
    """What one run did; pictures are counted once each.

    Attributes:
        collection: its name.
        encoder: id of its encoder.
        pictures: found in the folder.
        copied: of these, files that were not in the images root yet.
        encoded: pictures that were encoded.
        reused: pictures whose bytes were known, so that their vector was kept.
        unchanged: pictures that were known already.
        rejected: pictures that can never become items; `lookalike rejections` lists them.
        metadata_rows: rows read from new or changed metadata files.
        metadata_problems: rows of them that were skipped: file, row, message.
        ignored: files that were left out of the folder.
        skipped: of these, files whose name cannot be an id: name and reason.
        failed: what could not be taken in now: key and reason. Running again tries these again.
        seconds: from the first file to the last commit.
        snapshot: id of the snapshot that serves afterwards; None before the first.
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
    workspace: Workspace,
    folder: Path,
    collection: str,
    console: Console,
    *,
    snapshot: bool = True,
    batch: int = BATCH_FILES,
    **options: Any,
) -> IndexReport:
    """Bring the pictures and metadata files of `folder` into a collection, which is made if there is none.

    Args:
        workspace: the store.
        folder: see `Source.scan`.
        collection: its name.
        console: where progress is shown.
        snapshot: build one if the delta asks for it.
        batch: pictures that are committed together; what a kill can cost.
        options: fields of `CollectionConfig` for a new collection; without `encoder_id` it lives by the
            default encoder, built if the store has none and calibrated on pictures of `folder`.

    Raises:
        InvalidInput: the folder, the name or an option cannot be used; or the collection exists and was made
            with another option.
    """
    check_collection_name(collection)
    own = [root for store in (workspace.images, workspace.artifacts) if (root := store.local_path(""))]
    source = Source.scan(folder, without=tuple(own), collection=collection)
    config = _collection(workspace, collection, options, source, console)
    report = IndexReport(collection, config.encoder_id, len(source.pictures), ignored=source.ignored)
    report.skipped = [{"name": name, "reason": reason} for name, reason in source.skipped]
    started = time.monotonic()
    _ingest(workspace, source, report, console, batch)
    report.seconds = round(time.monotonic() - started, 3)
    serving = current(workspace.artifacts, collection)
    if snapshot and _asks_for_build(workspace, config, serving):
        serving = workspace.build_snapshot(config, progress=console.note)
    report.snapshot = serving.id if serving else None
    return report


def _collection(
    workspace: Workspace, name: str, options: dict[str, Any], source: Source, console: Console
) -> CollectionConfig:
    """The collection, made if there is none; another process may be making it too."""
    try:
        config = workspace.collections.get(name)
    except CollectionNotFound:
        config = _create(workspace, name, options, source, console)
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
    workspace: Workspace, name: str, options: dict[str, Any], source: Source, console: Console
) -> CollectionConfig:
    if "encoder_id" not in options:
        pictures = [source.folder / picture for picture in source.pictures]
        manifest = default_encoder(
            workspace.encoders, workspace.artifacts, pictures=pictures, progress=console.note
        )
        options = options | {"encoder_id": manifest.id}
    try:
        workspace.collections.create(CollectionConfig(name, **options))
    except Conflict:
        console.note(f"{name} has just been made by another process")
    return workspace.collections.get(name)


def _ingest(workspace: Workspace, source: Source, report: IndexReport, console: Console, batch: int) -> None:
    intake = Intake(workspace.images, report.collection, source.folder)
    try:
        # Metadata first, so that even the first pictures are found with their fields.
        for arrivals in _arrivals(intake, source.metadata, "metadata", batch):
            _apply(workspace, arrivals, report)
        with console.progress("indexing", len(source.pictures)) as advance:
            for arrivals in _arrivals(intake, source.pictures, "images", batch):
                _apply(workspace, arrivals, report, advance)
    finally:
        intake.close()
    report.unchanged = report.pictures - report.encoded - report.reused - report.rejected
    report.unchanged -= sum(is_image_key(failure["key"]) for failure in report.failed)


def _arrivals(intake: Intake, names: Sequence[str], below: str, batch: int) -> Iterator[list[Arrival]]:
    """Batches as they are taken in; the next one is on its way while the caller works on this one."""
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
    workspace: Workspace, arrivals: Sequence[Arrival], report: IndexReport, advance: Advance | None = None
) -> None:
    done = 0

    def step(count: int, _total: int) -> None:
        nonlocal done
        if advance:
            advance(count - done)
        done = count

    report.failed += [{"key": a.key, "reason": a.problem} for a in arrivals if a.problem]
    arrived = [arrival for arrival in arrivals if not arrival.problem]
    report.copied += sum(arrival.written for arrival in arrived if is_image_key(arrival.key))
    keys = [arrival.key for arrival in arrived]
    report.add(workspace.ingestor.observe(report.collection, keys, progress=step))
    if advance:
        advance(len(arrivals) - done)


def _asks_for_build(workspace: Workspace, config: CollectionConfig, serving: SnapshotManifest | None) -> bool:
    if serving is not None and serving.encoder_id != config.encoder_id:
        return True
    built, count = (serving.catalogue, serving.count) if serving else (None, 0)
    return needs_build(workspace.catalogue(config), built, count, workspace.settings)
