"""A new encoder takes the place of the one that serves, at one moment.

1. Every item is encoded with the new one, into its own table, while searches and ingest go on with the old.
2. Both are compared on the same split. Unless the new one is better, or it is forced, that is all.
3. A snapshot of the new vectors is built and verified. Then, in this order: the switch is written down; the
   collection names the new encoder, so that ingest goes over to it; what arrived meanwhile is encoded; the
   pointer is swapped. A searcher takes over snapshot, encoder and delta as one.

Killed at any moment, the old encoder serves or the new one; the same call again completes the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lookalike.collections import CollectionConfig
from lookalike.errors import Conflict, InvalidInput, StoreUnavailable
from lookalike.progress import Progress
from lookalike.publishing.comparison import Comparison
from lookalike.publishing.encoding import Encoding, EncodingCancelled
from lookalike.publishing.judging import judge_collection
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
"""Compares the encoder that serves (its id comes first) with the one that may. Raises InvalidInput."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What became of an attempt to publish, or to go back.

    Attributes:
        collection: its name.
        encoder_id: the encoder that was to serve.
        previous_encoder: what served before.
        published: whether `encoder_id` serves now.
        snapshot: the snapshot that serves; None before the first.
        reason: why, a sentence.
        comparison: the numbers; None if nothing was compared.
        left_out: items whose pictures could not be encoded any more.
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
    """Encode a collection with another encoder, and let it serve if it is better.

    Args:
        library: of the store.
        collection: its name.
        encoder_id: id or name of the encoder.
        force: let it serve even if it is not better, or nothing tells.
        judge: compares the two encoders. None: `judge_collection`, on a split of its own.
        training: id of the training that made the encoder, for the history.
        progress: told what is being done.
        cancelled: asked often; once true, the encoding ends. What is done is kept.

    Returns:
        What happened; `published` is False if the new encoder is not better.

    Raises:
        CollectionNotFound, EncoderNotFound: there is no such thing.
        Conflict: another encoder is being published in this collection.
        InvalidInput: nothing tells whether it is better, and it is not forced.
        EncodingCancelled: `cancelled` turned true.
        StoreUnavailable: pictures could not be read, or the store failed; call again.
    """
    new = library.encoders.get(encoder_id).id
    with only_one(library, collection):
        config = library.collections.get(collection)
        pointer = read_pointer(library.artifacts, collection)
        serving = pointer[0].encoder_id if pointer else config.encoder_id
        if serving == new == config.encoder_id and pointer:
            finish_switch(library.artifacts, collection, new)
            return Publication(
                collection, new, new, True, pointer[0].snapshot_id, "it serves this collection already"
            )
        old = config.encoder_id if config.encoder_id != new else serving
        encoding = Encoding(library, collection, new)
        encoding.catch_up(progress=progress, cancelled=cancelled)
        comparison, reason = None, "an earlier attempt is completed"
        if config.encoder_id != new:  # otherwise the switch was decided, and cut short
            if progress:
                progress("comparing", 0, 0)
            judge = judge or partial(judge_collection, library, collection)
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
    """Build a snapshot for the encoder of `switch`, and let searches go over to it.

    It can be cancelled until the moment of going over; a change that was cut short is always completed.

    Returns:
        The snapshot that serves, and how many items could not be encoded.
    """
    left_out: list[int] = []

    def hand_over() -> None:
        if config.encoder_id != switch.encoder_id and cancelled and cancelled():
            raise EncodingCancelled("the publishing was stopped", fix="Run it again to go on.")
        left_out.append(go_over(library, config.name, encoding, switch))

    wanted = replace(config, encoder_id=switch.encoder_id)
    manifest = build_snapshot(
        library.artifacts,
        wanted,
        library.catalogue(config.name, switch.encoder_id),
        work_dir=library.cache / "builds",
        progress=(lambda text: progress(text, 0, 0)) if progress else None,
        grace_seconds=library.settings.snapshot_grace_seconds,
        before_swap=hand_over,
    )
    if not left_out:  # a snapshot of this encoder was there already, and up to date
        hand_over()
    finish_switch(library.artifacts, config.name, switch.encoder_id)
    return manifest, left_out[0]


def go_over(library: Library, collection: str, encoding: Encoding, switch: Switch) -> int:
    """The moment before the swap: ingest goes over to the new encoder, and what it missed is made up.

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
def only_one(library: Library, collection: str) -> Iterator[None]:
    """One change of encoder at a time in a collection, on one machine. Raises Conflict."""
    library.collections.get(collection)  # an unknown one must not get a folder for its lock
    with ExitStack() as stack:
        try:
            stack.enter_context(library.artifacts.lock(f"collections/{collection}/publish.lock", seconds=0))
        except StoreUnavailable as error:
            raise Conflict(
                "the encoder of this collection is being changed already",
                got=collection,
                fix="Wait for it to end.",
            ) from error
        yield
