"""Whether a collection needs a new snapshot, and making it: the same on one machine and on AWS."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lookalike.catalogue import Catalogue
from lookalike.collections import CollectionConfig, Collections
from lookalike.encoders import Encoders
from lookalike.errors import Incompatible, SnapshotNotFound
from lookalike.settings import Settings
from lookalike.snapshots import BuildOptions, SnapshotManifest, build_snapshot, current, known_to_all
from lookalike.snapshots.threshold import needs_build
from lookalike.storage import Store


@dataclass(frozen=True, slots=True)
class Standing:
    """How a collection's snapshot stands to its catalogue.

    Attributes:
        config: of the collection.
        catalogue: with the vectors of its encoder.
        serving: the snapshot that serves; None: there is none that can be read.
        fingerprint: of the catalogue, taken before anything was decided.
        needs_build: whether a new snapshot should be built.
    """

    config: CollectionConfig
    catalogue: Catalogue
    serving: SnapshotManifest | None
    fingerprint: str
    needs_build: bool

    def behind_seconds(self) -> float:
        """For how long the oldest change has been waiting to be in a snapshot; 0: none waits."""
        if self.serving is None:
            since = datetime.fromisoformat(self.config.created_at) if self.needs_build else None
        elif self.serving.fingerprint == self.fingerprint:
            since = None
        elif self.serving.encoder_id != self.config.encoder_id:
            since = datetime.fromisoformat(self.serving.created_at)
        else:
            since = self.catalogue.oldest_change(self.serving.catalogue)
        return 0.0 if since is None else max(0.0, (datetime.now(UTC) - since).total_seconds())


class Building:
    """Looks after the snapshots of one store. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._artifacts = Store.artifacts(settings)
        self._collections = Collections(self._artifacts)
        self._encoders = Encoders(self._artifacts)

    def standing(self, name: str) -> Standing:
        """How the snapshot of a collection stands.

        Raises:
            CollectionNotFound, EncoderNotFound: there is no such thing.
            StoreUnavailable: the store failed.
        """
        config = self._collections.get(name)
        dimension = self._encoders.get(config.encoder_id).dimension
        catalogue = Catalogue(self._artifacts, name, config.encoder_id, dimension)
        fingerprint = catalogue.fingerprint()
        try:
            serving = current(self._artifacts, name)
        except (SnapshotNotFound, Incompatible):
            serving = None
        wanted = _is_wanted(config, catalogue, serving, self._settings)
        return Standing(config, catalogue, serving, fingerprint, wanted)

    def build(self, standing: Standing) -> SnapshotManifest:
        """Tidy the catalogue, then build and publish a snapshot in this process.

        In this order, because what is tidied after a build looks changed to whoever opens the snapshot: each
        cold start would look for changes, and load what that takes.

        Raises what `build_snapshot` raises.
        """
        name, catalogue, serving = standing.config.name, standing.catalogue, standing.serving
        catalogue.compact(known_to_all(self._artifacts, name, serving.catalogue) if serving else None)
        with tempfile.TemporaryDirectory(prefix="lookalike-build-") as scratch:
            return build_snapshot(
                self._artifacts,
                standing.config,
                catalogue,
                work_dir=Path(scratch),
                grace_seconds=self._settings.snapshot_grace_seconds,
            )


def _is_wanted(
    config: CollectionConfig, catalogue: Catalogue, serving: SnapshotManifest | None, settings: Settings
) -> bool:
    if serving is None:
        return needs_build(catalogue, None, 0, settings)
    if serving.encoder_id != config.encoder_id:
        # Row versions of two encoders do not compare. Until all is encoded anew, the old one serves.
        stats = catalogue.stats()
        return stats.vectors >= stats.live > 0
    wanted = BuildOptions(config.engine, config.n_trees, config.search_k, config.recall_target)
    if serving.metric != config.metric or serving.options != wanted:  # it was configured otherwise since
        return True
    return needs_build(catalogue, serving.catalogue, serving.count, settings)
