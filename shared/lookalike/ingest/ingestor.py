"""Object events → catalogue.

An event says "key K was created / removed, sequencer S". Events are delivered at least once and in any order,
so the rules (see `plan`) make the final catalogue depend on the set of events only. An object that can never
be an item becomes a rejection that users can list; a temporary error fails its own event only.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lookalike.catalogue import Catalogue, ItemRow, sequencer_after
from lookalike.collection_config import CollectionConfig, Collections
from lookalike.encoders import Encoder
from lookalike.errors import LookalikeError
from lookalike.images import ImageLimits
from lookalike.ingest.check_and_encode import ImageEncoder, now, tombstone
from lookalike.ingest.commit import commit
from lookalike.ingest.metadata_files import MetadataFiles
from lookalike.ingest.missed_events import Observer
from lookalike.ingest.plan import plan_all, sort_events
from lookalike.ingest.report import Counter, IngestReport, Progress
from lookalike.layout import normalise, other_spellings, shown
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.types import ObjectEvent

logger = logging.getLogger(__name__)

BATCH_EVENTS = 256


class Ingestor:
    """Applies events to catalogues. Safe to share between threads; processes need one each.

    Args:
        images: the images root.
        artifacts: the artifacts root.
        settings: limits and threads.
        encoder_for: the encoder of a collection, ready to run.
    """

    def __init__(
        self,
        images: Store,
        artifacts: Store,
        settings: Settings,
        encoder_for: Callable[[CollectionConfig], Encoder],
    ) -> None:
        self._images = images
        self._artifacts = artifacts
        self._collections = Collections(artifacts)
        self._encoder_for = encoder_for
        self._files = MetadataFiles(images)
        self._reported: set[str] = set()  # keys that cannot be ids, to log each of them once
        self._image_encoder = ImageEncoder(images, ImageLimits.from_settings(settings), settings.threads)

    def apply(self, events: Sequence[ObjectEvent], *, progress: Progress | None = None) -> IngestReport:
        """Bring the catalogues up to date with `events`, of any collections, in any order.

        After a crash, the same events lead to the same result; what was committed is not encoded again.
        Nothing is raised for an event or a batch of events: see `IngestReport.failed`.
        """
        report = IngestReport()
        counter = Counter(len(events), progress)
        by_collection: dict[str, list[ObjectEvent]] = defaultdict(list)
        for event in events:
            by_collection[event.collection].append(event)
        for collection, group in by_collection.items():
            try:
                encoder, catalogue = self._open(collection)
            except LookalikeError as error:  # the collection or encoder may be created later
                report.failed += [(event, error) for event in group]
                counter.add(len(group))
                continue
            sorted_events = sort_events(collection, group, report)
            counter.add(len(group) - sorted_events.size)
            self._files.apply(catalogue, sorted_events.metadata, report)
            counter.add(len(sorted_events.metadata))
            for batch in _batches(sorted_events.images):
                self._apply_images(catalogue, encoder, batch, report)
                encoder, catalogue = self._follow(encoder, catalogue, batch, report)
                counter.add(len(batch))
        return report

    def observe(
        self, collection: str, keys: Iterable[str], *, progress: Progress | None = None
    ) -> IngestReport:
        """Compare the objects at `keys` with the catalogue, and update the catalogue.

        For callers that know that something changed but have no event: the watcher of a folder, an upload.

        Raises:
            CollectionNotFound, EncoderNotFound: there is no such collection or encoder.
            StoreUnavailable: the catalogue or the listing could not be read.
        """
        observer = self._observer(collection)
        return self._repair(observer, observer.events(keys), progress)

    def reconcile(self, collection: str, *, progress: Progress | None = None) -> IngestReport:
        """List all objects of a collection and repair what events missed: new, changed and gone ones.

        Raises: as `observe`.
        """
        observer = self._observer(collection)
        return self._repair(observer, observer.all_events(), progress)

    def _repair(
        self, observer: Observer, events: Sequence[ObjectEvent], progress: Progress | None
    ) -> IngestReport:
        report = self.apply(events, progress=progress)
        report.unchanged += observer.unchanged
        report.ignored += len(observer.skipped)
        report.skipped += observer.skipped
        report.failed += observer.failed
        for key, problem in report.skipped:
            if key not in self._reported:
                self._reported.add(key)
                logger.warning("%s is left out: %s", shown(key), problem)
        return report

    def catalogue(self, collection: str) -> Catalogue:
        """The catalogue of a collection with its current encoder.

        Raises:
            CollectionNotFound, EncoderNotFound: there is no such collection or encoder.
        """
        return self._open(collection)[1]

    def _open(self, collection: str) -> tuple[Encoder, Catalogue]:
        config = self._collections.get(collection)
        encoder = self._encoder_for(config)
        manifest = encoder.manifest
        return encoder, Catalogue(self._artifacts, collection, manifest.id, manifest.dimension)

    def _observer(self, collection: str) -> Observer:
        return Observer(self._images, collection, self.catalogue(collection))

    def _apply_images(
        self, catalogue: Catalogue, encoder: Encoder, events: Mapping[str, ObjectEvent], report: IngestReport
    ) -> None:
        """One batch, by item id: plan, read and encode, commit."""
        ids = list(events)
        try:
            rows = catalogue.known([*ids, *(other for id_ in ids for other in other_spellings(id_))])
            works = plan_all(events, rows, catalogue.known_vectors(ids))
            outcomes = [tombstone(work) for work in works if work.action == "remove"]
            outcomes += self._image_encoder.process(
                [work for work in works if work.action == "read"], encoder
            )
            with catalogue.one_change():
                commit(catalogue, outcomes, report)
                _remove_old_spellings(catalogue, rows.values())
        except LookalikeError as error:
            report.failed += [(event, error) for event in events.values()]
        else:
            report.unchanged += len(events) - len(works)

    def _follow(
        self, encoder: Encoder, catalogue: Catalogue, events: Mapping[str, ObjectEvent], report: IngestReport
    ) -> tuple[Encoder, Catalogue]:
        """After a batch: encoder and catalogue for the next one. If the collection got another encoder in the
        meantime, this encodes the batch again.

        A change of encoder is followed by a search for items without a vector. That search finds what was
        committed before the change; this function handles what is committed after it.
        """
        while True:
            try:
                encoder_now, catalogue_now = self._open(catalogue.collection)
            except LookalikeError:  # deleted in the meantime; the next batch, if any, reports it
                return encoder, catalogue
            if encoder_now.manifest.id == encoder.manifest.id:
                return encoder, catalogue
            encoder, catalogue = encoder_now, catalogue_now
            again = IngestReport()
            self._apply_images(catalogue, encoder, events, again)
            report.failed += again.failed


def _remove_old_spellings(catalogue: Catalogue, rows: Iterable[ItemRow]) -> None:
    """Earlier versions made rows with ids that are not in NFC. The row with the NFC id replaces them."""
    old = [row for row in rows if row.status != "removed" and row.id != normalise(row.id)]
    catalogue.put_items(
        [ItemRow(row.id, sequencer_after(row.sequencer), status="removed", ingested_at=now()) for row in old]
    )


def _batches(events: Mapping[str, ObjectEvent]) -> Iterator[dict[str, ObjectEvent]]:
    pairs = list(events.items())
    for start in range(0, len(pairs), BATCH_EVENTS):
        yield dict(pairs[start : start + BATCH_EVENTS])
