"""Restore the previous encoder, with the snapshot that it had."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lookalike.errors import Conflict
from lookalike.progress import Progress
from lookalike.publishing.publish import Publication, begin_using, build_and_swap, publish_lock
from lookalike.publishing.reencode import Encoding
from lookalike.snapshots import Switch, Switches, finish_switch, read_switches, republish
from lookalike.snapshots.encoder_history import Earlier

if TYPE_CHECKING:
    from lookalike.library import Library

REASON = "requested"


def rollback(
    library: Library,
    collection: str,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Publication:
    """Restore the previous encoder and its index.

    Its vectors and its snapshot were kept, so that searches give the same ids, scores and order as before.
    Items that arrived since are encoded with it first, and are found too. If the snapshot was deleted, a new
    one is built. Killed and called again, it completes the same step.

    Raises:
        CollectionNotFound: there is no such collection.
        Conflict: no earlier encoder is known, or another change is in progress.
        EncodingCancelled: `cancelled` returned True.
        StoreUnavailable: images could not be read, or the store failed; call again.
    """
    with publish_lock(library, collection):
        config = library.collections.get(collection)
        target, present = _target(read_switches(library.artifacts, collection), config.encoder_id, collection)
        encoding = Encoding(library, collection, target.encoder_id)
        encoding.catch_up(progress=progress, cancelled=cancelled)
        switch = Switch("rollback", target.encoder_id, present, None, REASON)
        left_out: list[int] = []
        manifest = target.snapshot_id and republish(
            library.artifacts,
            collection,
            target.snapshot_id,
            before_swap=lambda: left_out.append(begin_using(library, collection, encoding, switch)),
        )
        if manifest:
            finish_switch(library.artifacts, collection, target.encoder_id)
        else:
            manifest, missed = build_and_swap(library, config, encoding, switch, progress)
            left_out.append(missed)
        return Publication(
            collection, target.encoder_id, present, True, manifest.id, REASON, left_out=left_out[-1]
        )


def _target(switches: Switches, encoder_id: str, collection: str) -> tuple[Earlier, str]:
    """What to restore, and the encoder that it replaces."""
    last = switches.unfinished
    if last and last.kind == "rollback" and last.encoder_id == encoder_id:
        # It was interrupted: the collection names the earlier encoder, searches perhaps not yet.
        return Switches(switches.entries[:-1]).earlier()[-1], last.previous_encoder
    steps = switches.settled(encoder_id).earlier()
    while steps and steps[-1].encoder_id == encoder_id:  # changed back by hand
        steps = steps[:-1]
    if not steps:
        raise Conflict(
            "there is no earlier encoder to restore",
            got=collection,
            fix="Publish one: `lookalike publish COLLECTION ENCODER`.",
        )
    return steps[-1], encoder_id
