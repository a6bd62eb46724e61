"""Events of metadata files → their rows in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from lookalike.catalogue import Catalogue, MetadataProblem, normalise_sequencer
from lookalike.errors import LookalikeError, MetadataError, ObjectNotFound
from lookalike.ingest.keys import metadata_key
from lookalike.ingest.report import IngestReport
from lookalike.metadata import MAX_METADATA_BYTES, MetadataTable, RowProblem, read_metadata
from lookalike.storage import Store
from lookalike.types import ObjectEvent


class MetadataFiles:
    """Reads metadata files of the images root."""

    def __init__(self, images: Store) -> None:
        self._images = images

    def apply(self, catalogue: Catalogue, events: Mapping[str, ObjectEvent], report: IngestReport) -> None:
        """Apply `events`, by file name. A file that cannot be read as a whole has no rows and one problem."""
        if not events:
            return
        try:
            known = {name: file.sequencer for name, file in catalogue.metadata_files().items()}
        except LookalikeError as error:
            report.failed += [(event, error) for event in events.values()]
            return
        for name, event in events.items():
            if known.get(name, "") >= normalise_sequencer(event.sequencer):
                report.unchanged += 1
                continue
            try:
                self._apply_one(catalogue, name, event, report)
            except ObjectNotFound:
                report.missing += 1
            except LookalikeError as error:
                report.failed.append((event, error))

    def _apply_one(self, catalogue: Catalogue, name: str, event: ObjectEvent, report: IngestReport) -> None:
        if event.kind == "removed":
            catalogue.put_metadata(name, event.sequencer, None)
        else:
            table, etag = self._read(name, event)
            catalogue.put_metadata(name, event.sequencer, table, etag=etag)
            report.metadata_rows += len(table.rows)
            report.metadata_problems += [
                MetadataProblem(name, problem.row, problem.message) for problem in table.problems
            ]
        report.metadata_files += 1

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
