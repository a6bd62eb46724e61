"""The search space of the next snapshot: that of the current one, or a new one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lookalike.errors import Incompatible, ObjectNotFound, SnapshotNotFound
from lookalike.integrity import check_bytes
from lookalike.search_space import (
    FEWEST_BY_DEFAULT,
    FIT_ROWS,
    SPACE_FILE,
    SearchSpace,
    SpaceInfo,
    fit_space,
    has_space,
)
from lookalike.snapshots.housekeeping import current
from lookalike.snapshots.snapshot import snapshot_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.catalogue import Catalogue, CatalogueVersion
    from lookalike.collection_config import CollectionConfig
    from lookalike.snapshots.manifest import SnapshotManifest
    from lookalike.storage import Store

logger = logging.getLogger(__name__)

Built = tuple[SearchSpace, SpaceInfo]


def next_space(
    artifacts: Store,
    config: CollectionConfig,
    catalogue: Catalogue,
    version: CatalogueVersion,
    say: Callable[[str], None],
) -> Built | None:
    """The space for a snapshot of one version of a catalogue, and its description.

    The current snapshot's space is kept until the collection has doubled or halved, so that scores stay
    comparable; another encoder, metric or option `dimensions` needs a new one.

    Returns:
        None: the encoder's vectors are searched as they are; see `has_space`.

    Raises:
        StoreUnavailable: the store failed, or the version is not kept any more.
    """
    wanted = config.dimensions
    if not has_space(config.metric, catalogue.dimension, FEWEST_BY_DEFAULT, wanted):
        return None  # however many items there are
    count, sample = catalogue.sample(version, FIT_ROWS)
    if not has_space(config.metric, catalogue.dimension, count, wanted):
        return None
    kept = _kept(artifacts, config, catalogue, count)
    if kept is not None:
        return kept
    say("computing the search space")
    space = fit_space(sample, config.metric, wanted)
    if space is None:
        return None
    return space, SpaceInfo(SPACE_FILE, catalogue.dimension, count, space.kept_variance, space.spread, wanted)


def lacks_space(manifest: SnapshotManifest, wanted: int | None) -> bool:
    """Whether a snapshot has none although one of this version would have one: it is of an earlier one."""
    return manifest.space is None and has_space(manifest.metric, manifest.dimension, manifest.count, wanted)


def _kept(artifacts: Store, config: CollectionConfig, catalogue: Catalogue, count: int) -> Built | None:
    """The current snapshot's space, if it fits the next one."""
    try:
        serving = current(artifacts, config.name)
    except (SnapshotNotFound, Incompatible):
        return None
    if serving is None or serving.space is None or serving.encoder_id != catalogue.encoder_id:
        return None
    if serving.metric != config.metric:
        return None
    if not serving.space.fits(count, catalogue.dimension, config.dimensions):
        return None
    path = f"{snapshot_folder(config.name, serving.id)}/{serving.space.file}"
    try:
        data = artifacts.get(path).data
        check_bytes(data, serving.hashes.get(serving.space.file), path)
        return SearchSpace.read(data, config.metric, serving.space, serving.dimension), serving.space
    except (ObjectNotFound, Incompatible) as error:
        logger.warning("%s: the search space is computed anew: %s", config.name, error)
        return None
