"""Events of metadata files → their rows in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lookalike.catalogue import Catalogue, MetadataProblem, MetadataVersion, normalise_sequencer
from lookalike.errors import LookalikeError, MetadataError, ObjectNotFound
from lookalike.ingest.report import IngestReport
from lookalike.layout import metadata_key
from lookalike.metadata import MAX_METADATA_BYTES, MetadataTable, RowProblem, read_metadata
from lookalike.storage import Store
from lookalike.types import ObjectEvent

GROUP_ROWS = 10_000


class MetadataFiles:
    """Reads metadata files of the images root."""

    def __init__(self, images: Store) -> None:
        self._images = images

    def apply(self, catalogue: Catalogue, events: Mapping[str, ObjectEvent], report: IngestReport) -> None:
        """Apply `events`, by file name. A file that cannot be read as a whole has no rows and one problem."""
        if not events:
            return
        try:
            found = catalogue.metadata_files(list(events))
        except LookalikeError as error:
            report.failed += [(event, error) for event in events.values()]
            return
        known = {name: file.sequencer for name, file in found.items()}
        group: list[MetadataVersion] = []
        rows = 0
        for name, event in events.items():
            if known.get(name, "") >= normalise_sequencer(event.sequencer):
                report.unchanged += 1
                continue
            try:
                group.append(self._version(name, event))
            except ObjectNotFound:
                report.missing += 1
                continue
            except LookalikeError as error:
                report.failed.append((event, error))
                continue
            # Uploads have one small file each and share a commit; large files are committed one by one.
            table = group[-1].table
            rows += 1 + len(table.rows) if table else 1
            if rows >= GROUP_ROWS:
                _commit(catalogue, group, events, report)
                group, rows = [], 0
        _commit(catalogue, group, events, report)

    def _version(self, name: str, event: ObjectEvent) -> MetadataVersion:
        if event.kind == "removed":
            return MetadataVersion(name, event.sequencer, None)
        table, etag = self._read(name, event)
        return MetadataVersion(name, event.sequencer, table, etag)

    def _read(self, name: str, event: ObjectEvent) -> tuple[MetadataTable, str]:
        key = metadata_key(event.collection, name)
        blob = self._images.get_limited(key, MAX_METADATA_BYTES, version=event.version_id)
        if blob is None:
            problem = RowProblem(0, f"the file is larger than {MAX_METADATA_BYTES} bytes; nothing was read")
            return MetadataTable([], [problem]), self._images.head(key).etag
        try:
            return read_metadata(name, blob.data), blob.etag
        except MetadataError as error:
            return MetadataTable([], [RowProblem(0, str(error))]), blob.etag


def _commit(
    catalogue: Catalogue,
    group: Sequence[MetadataVersion],
    events: Mapping[str, ObjectEvent],
    report: IngestReport,
) -> None:
    try:
        catalogue.put_metadata_files(group)
    except LookalikeError as error:
        report.failed += [(events[version.file], error) for version in group]
        return
    for version in group:
        report.metadata_files += 1
        if version.table is not None:
            report.metadata_rows += len(version.table.rows)
            report.metadata_problems += [
                MetadataProblem(version.file, problem.row, problem.message)
                for problem in version.table.problems
            ]
