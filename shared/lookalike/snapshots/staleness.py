"""Whether a collection needs a new snapshot: one rule for `index`, the local server and AWS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from lookalike.catalogue import Catalogue, CatalogueVersion
from lookalike.collection_config import CollectionConfig
from lookalike.errors import Incompatible, SnapshotNotFound
from lookalike.settings import Settings
from lookalike.snapshots.housekeeping import current
from lookalike.snapshots.manifest import BuildOptions, SnapshotManifest

if TYPE_CHECKING:
    from lookalike.library import Library

Reason = Literal["first snapshot", "new encoder", "new options", "enough changes"]


@dataclass(frozen=True, slots=True)
class Staleness:
    """How far a collection's snapshot is behind its catalogue and its configuration.

    Attributes:
        config: of the collection.
        catalogue: with the vectors of the collection's encoder.
        serving: the snapshot in use; None: there is none that can be read.
        version: of the catalogue, read before anything was decided.
        fingerprint: of the catalogue at that version.
        reason: why a new snapshot is needed; None: none is needed now.
        unencoded: items without a vector of the collection's encoder. Only counted where it matters: before
            the first snapshot, and after a change of encoder; else 0.
    """

    config: CollectionConfig
    catalogue: Catalogue
    serving: SnapshotManifest | None
    version: CatalogueVersion
    fingerprint: str
    reason: Reason | None
    unencoded: int = 0

    @property
    def needs_build(self) -> bool:
        """Whether a new snapshot should be built now."""
        return self.reason is not None

    def behind_seconds(self) -> float:
        """Age of the oldest change that no snapshot has; 0: every change is in the snapshot."""
        if self.serving is None:
            since = datetime.fromisoformat(self.config.created_at) if self.needs_build else None
        elif self.serving.fingerprint == self.fingerprint:
            since = None
        elif self.serving.encoder_id != self.config.encoder_id:
            since = datetime.fromisoformat(self.serving.created_at)
        else:
            since = self.catalogue.oldest_change(self.serving.catalogue, self.version)
        return 0.0 if since is None else max(0.0, (datetime.now(UTC) - since).total_seconds())


def staleness_of(library: Library, collection: str) -> Staleness:
    """Compare a collection's snapshot with its catalogue and its configuration.

    Raises:
        CollectionNotFound, EncoderNotFound: it does not exist.
        StoreUnavailable: the store failed.
    """
    config = library.collections.get(collection)
    catalogue = library.catalogue(config)
    version, fingerprint = catalogue.look()
    try:
        serving = current(library.artifacts, collection)
    except (SnapshotNotFound, Incompatible):
        serving = None
    if serving is None or serving.encoder_id != config.encoder_id:
        # Row versions of two encoders do not compare, and a snapshot of the items that happen to be encoded
        # would hide the others. So the old snapshot stays in use until every item has its new vector.
        live, unencoded = _count_items(catalogue)
        reason: Reason | None = None
        if serving is None and not unencoded and live:
            reason = "first snapshot"
        elif serving is not None and not unencoded and live:
            reason = "new encoder"
        return Staleness(config, catalogue, serving, version, fingerprint, reason, unencoded)
    reason = _reason(config, catalogue, serving, library.settings, version)
    return Staleness(config, catalogue, serving, version, fingerprint, reason)


def _reason(
    config: CollectionConfig,
    catalogue: Catalogue,
    serving: SnapshotManifest,
    settings: Settings,
    now: CatalogueVersion,
) -> Reason | None:
    wanted = BuildOptions.of(config)
    if serving.metric != config.metric or serving.options != wanted:
        return "new options"
    if has_enough_changes(catalogue, serving.catalogue, serving.count, settings, now):
        return "enough changes"
    return None


def _count_items(catalogue: Catalogue) -> tuple[int, int]:
    """How many items are live, and how many of them have no vector of their present bytes."""
    vectors = catalogue.known_vectors()
    live = [row for row in catalogue.known().values() if row.status == "live"]
    return len(live), sum(vectors.get(row.id, ("", ""))[1] != row.content_hash for row in live)


def has_enough_changes(
    catalogue: Catalogue,
    built: CatalogueVersion | None,
    count: int,
    settings: Settings,
    now: CatalogueVersion | None = None,
) -> bool:
    """Whether the delta since a snapshot is large or old enough for a new one.

    That is: more than `delta_rows` rows and more than `delta_fraction` of the snapshot, or older than
    `delta_age_seconds`.

    While a collection is smaller than `delta_rows`, it is enough that it has doubled: the first snapshot
    comes with the first rows, and would be too small for a calibrated confidence for a long time. Together
    these builds write no more than twice the last of them.

    Costs three looks at versions while nothing changed, else a count over the tables' row versions (which
    Lance keeps run-length encoded, not per row), and only for the age the changed rows themselves.

    Args:
        catalogue: of the collection.
        built: catalogue version of the current snapshot; None: there is none, so that any row is enough.
        count: items in that snapshot.
        settings: the three limits.
        now: the newest version, if the caller knows it.
    """
    now = now or catalogue.version()
    if built is None:
        return now.items > 0
    if now == built:
        return False
    changes = catalogue.count_changes(built, now)
    if changes > max(min(settings.delta_rows, count), settings.delta_fraction * count):
        return True
    oldest = catalogue.oldest_change(built, now) if changes else None
    return oldest is not None and (datetime.now(UTC) - oldest).total_seconds() > settings.delta_age_seconds
