"""Replace the encoder of a collection that is in use, at one moment.

1. Every item is encoded with the new one, into its own table, while searches and ingest use the old one.
2. Both are compared on the same split. It ends here unless the new one is better, or `force` is set.
3. A snapshot of the new vectors is built and verified. Then, in this order: the switch is recorded; the
   collection names the new encoder, so that ingest uses it; items that arrived meanwhile are encoded; the
   pointer is swapped. A searcher switches snapshot, encoder and delta as one.

If the process is killed at any moment, the old or the new encoder is in use; the same call completes the
rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lookalike.collection_config import CollectionConfig
from lookalike.errors import Conflict, InvalidInput, StoreUnavailable
from lookalike.progress import Progress
from lookalike.publishing.labelled_vectors import compare_on_collection
from lookalike.publishing.publish_rule import Comparison
from lookalike.publishing.reencode import Encoding, EncodingCancelled
from lookalike.snapshots import (
    SnapshotManifest,
    Switch,
    begin_switch,
    build_snapshot,
    finish_switch,
    read_pointer,
)

if TYPE_CHECKING:
    from lookalike.library import Library

Judge = Callable[[str, str], Comparison]
"""Compares the encoder in use (its id comes first) with the new one. Raises InvalidInput."""


@dataclass(frozen=True, slots=True)
class Publication:
    """The result of an attempt to publish, or to roll back.

    Attributes:
        collection: its name.
        encoder_id: the encoder to use.
        previous_encoder: the one used before.
        published: whether the collection now uses `encoder_id`.
        snapshot: the snapshot in use; None before the first.
        reason: why, a sentence.
        comparison: the numbers; None if nothing was compared.
        left_out: items whose images can no longer be encoded.
    """

    collection: str
    encoder_id: str
    previous_encoder: str
    published: bool
    snapshot: str | None
    reason: str
    comparison: Comparison | None = None
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return asdict(self)


def publish_encoder(
    library: Library,
    collection: str,
    encoder_id: str,
    *,
    force: bool = False,
    judge: Judge | None = None,
    training: str | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Publication:
    """Encode a collection with another encoder, and use that encoder if it is better.

    Args:
        library: of the store.
        collection: its name.
        encoder_id: id or name of the encoder.
        force: publish even if it is not better or cannot be compared.
        judge: compares the two encoders. None: `compare_on_collection`, on a separate split.
        training: id of the training that made the encoder, for the history.
        progress: called with what is being done.
        cancelled: called often; once it returns True, the encoding ends. Finished work is kept.

    Returns:
        What happened; `published` is False if the new encoder is not better.

    Raises:
        CollectionNotFound, EncoderNotFound: there is no such thing.
        Conflict: another encoder is being published in this collection.
        InvalidInput: the encoders cannot be compared, and `force` is not set.
        EncodingCancelled: `cancelled` returned True.
        StoreUnavailable: images could not be read, or the store failed; call again.
    """
    new = library.encoders.get(encoder_id).id
    with publish_lock(library, collection):
        config = library.collections.get(collection)
        pointer = read_pointer(library.artifacts, collection)
        in_use = pointer[0].encoder_id if pointer else config.encoder_id
        if in_use == new == config.encoder_id and pointer:
            finish_switch(library.artifacts, collection, new)
            return Publication(
                collection, new, new, True, pointer[0].snapshot_id, "this collection already uses it"
            )
        old = config.encoder_id if config.encoder_id != new else in_use
        encoding = Encoding(library, collection, new)
        encoding.catch_up(progress=progress, cancelled=cancelled)
        comparison, reason = None, "completes an earlier attempt"
        if config.encoder_id != new:  # otherwise an earlier attempt was interrupted after the decision
            if progress:
                progress("comparing", 0, 0)
            judge = judge or partial(compare_on_collection, library, collection)
            comparison, reason = _decide(judge, old, new, force=force)
            if comparison and not (comparison.is_better or force):
                snapshot = pointer[0].snapshot_id if pointer else None
                return Publication(collection, new, old, False, snapshot, reason, comparison)
        numbers = comparison.to_json() if comparison else None
        switch = Switch("publish", new, old, None, reason, training=training, comparison=numbers)
        manifest, left_out = build_and_swap(library, config, encoding, switch, progress, cancelled)
        return Publication(collection, new, old, True, manifest.id, reason, comparison, left_out)


def _decide(judge: Judge, old: str, new: str, *, force: bool) -> tuple[Comparison | None, str]:
    try:
        comparison = judge(old, new)
    except InvalidInput as error:
        if not force:
            raise
        return None, f"forced; {error.problem}"
    return comparison, f"forced; {comparison.sentence}" if force else comparison.sentence


def build_and_swap(
    library: Library,
    config: CollectionConfig,
    encoding: Encoding,
    switch: Switch,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[SnapshotManifest, int]:
    """Build a snapshot for the encoder of `switch`, and switch searches to it.

    It can be cancelled until the moment of the switch; a switch that was interrupted is always completed.

    Returns:
        The snapshot in use, and how many items could not be encoded.
    """
    left_out: list[int] = []

    def switch_ingest() -> None:
        if config.encoder_id != switch.encoder_id and cancelled and cancelled():
            raise EncodingCancelled("the publishing was stopped", fix="Run it again to resume.")
        left_out.append(begin_using(library, config.name, encoding, switch))

    wanted = replace(config, encoder_id=switch.encoder_id)
    manifest = build_snapshot(
        library.artifacts,
        wanted,
        library.catalogue(config.name, switch.encoder_id),
        work_dir=library.cache / "builds",
        progress=(lambda text: progress(text, 0, 0)) if progress else None,
        grace_seconds=library.settings.snapshot_grace_seconds,
        before_swap=switch_ingest,
    )
    if not left_out:  # a snapshot of this encoder was there already, and up to date
        switch_ingest()
    finish_switch(library.artifacts, config.name, switch.encoder_id)
    return manifest, left_out[0]


def begin_using(library: Library, collection: str, encoding: Encoding, switch: Switch) -> int:
    """Just before the swap: let ingest use the new encoder, and encode what arrived meanwhile.

    Returns:
        How many items cannot be encoded.
    """
    if switch.previous_encoder != switch.encoder_id:
        pointer = read_pointer(library.artifacts, collection)
        before = pointer[0] if pointer and pointer[0].encoder_id == switch.previous_encoder else None
        switch = replace(switch, previous_snapshot=before.snapshot_id if before else None)
        begin_switch(library.artifacts, collection, switch)
        library.collections.update(collection, encoder_id=switch.encoder_id)
    return encoding.catch_up()


@contextmanager
def publish_lock(library: Library, collection: str) -> Iterator[None]:
    """At most one change of encoder at a time in a collection, on one machine. Raises Conflict."""
    library.collections.get(collection)  # an unknown one must not get a folder for its lock
    with ExitStack() as stack:
        try:
            stack.enter_context(library.artifacts.lock(f"collections/{collection}/publish.lock", seconds=0))
        except StoreUnavailable as error:
            raise Conflict(
                "another change of this collection's encoder is in progress",
                got=collection,
                fix="Wait for it to end.",
            ) from error
        yield
