"""`encoders.json`: the history of a collection's encoders, for rollbacks.

A switch is recorded before it is made, and marked as done afterwards. After a kill in between, the next
attempt resumes from the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from lookalike.errors import Conflict, ObjectNotFound
from lookalike.integrity import convert, reading, seal, unseal
from lookalike.storage import Store

FORMAT = 1
FILE = "encoders.json"
DAMAGE_FIX = "Restore it from a backup, or delete it: then the collection cannot be rolled back."
UPDATE_ATTEMPTS = 20
REMEMBERED = 3
"""How many steps a collection can be rolled back. Their snapshots are kept."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One change of a collection's encoder.

    Attributes:
        kind: forward to a new encoder, or back to the previous one.
        encoder_id: the encoder afterwards.
        previous_encoder: the encoder before.
        previous_snapshot: the snapshot before; None: there was none.
        reason: why, as a sentence.
        at: ISO 8601, UTC.
        training: id of the training that made the encoder, if one did.
        comparison: the metrics of both encoders, if they were compared.
        done: whether searches use it.
    """

    kind: Literal["publish", "rollback"]
    encoder_id: str
    previous_encoder: str
    previous_snapshot: str | None
    reason: str
    at: str = ""
    training: str | None = None
    comparison: Mapping[str, Any] | None = None
    done: bool = False


@dataclass(frozen=True, slots=True)
class Earlier:
    """An encoder to roll back to, and its last snapshot."""

    encoder_id: str
    snapshot_id: str | None


@dataclass(frozen=True, slots=True)
class Switches:
    """All switches of a collection, oldest first."""

    entries: tuple[Switch, ...] = ()

    @property
    def unfinished(self) -> Switch | None:
        """The last switch, if it was started and perhaps not finished."""
        return self.entries[-1] if self.entries and not self.entries[-1].done else None

    def settled(self, encoder_id: str) -> Switches:
        """Without an unfinished last switch: the collection uses `encoder_id`, not the switch's encoder."""
        last = self.unfinished
        return Switches(self.entries[:-1]) if last and last.encoder_id != encoder_id else self

    def earlier(self) -> tuple[Earlier, ...]:
        """The steps to roll back; the next one is last."""
        steps: list[Earlier] = []
        for switch in self.entries:
            if switch.kind == "publish":
                steps.append(Earlier(switch.previous_encoder, switch.previous_snapshot))
            elif steps:
                steps.pop()
        return tuple(steps[-REMEMBERED:])

    def needed(self) -> frozenset[str]:
        """Snapshots that rollbacks need, whether or not the last switch was finished."""
        before = Switches(self.entries[:-1]) if self.unfinished else self
        steps = (*self.earlier(), *before.earlier())
        return frozenset(step.snapshot_id for step in steps if step.snapshot_id)

    def dump(self) -> bytes:
        """As it is stored."""
        return seal({"format": FORMAT, "switches": [asdict(each) for each in self.entries]})

    @classmethod
    def parse(cls, data: bytes) -> Switches:
        """Inverse of `dump`. Raises Damaged, or Incompatible for another format."""
        found = unseal(data, FILE, format=FORMAT, known={"format", "switches"}, fix=DAMAGE_FIX)
        with reading(FILE, DAMAGE_FIX):
            return cls(convert(tuple[Switch, ...], found["switches"]))


def read_switches(artifacts: Store, collection: str) -> Switches:
    """The switches of a collection; empty if its encoder never changed. Raises Incompatible."""
    return _read(artifacts, collection)[0]


def begin_switch(artifacts: Store, collection: str, switch: Switch) -> None:
    """Record a switch before it is made. Replaces an unfinished one.

    Raises:
        Conflict: other processes kept writing.
    """
    begun = replace(switch, at=datetime.now(UTC).isoformat(timespec="seconds"), done=False)

    def change(known: Switches) -> Switches:
        return Switches((*_closed(known.settled(switch.previous_encoder)).entries, begun))

    _update(artifacts, collection, change)


def finish_switch(artifacts: Store, collection: str, encoder_id: str) -> None:
    """Mark the last switch as done if it is the one to `encoder_id`. Raises Conflict."""

    def change(known: Switches) -> Switches:
        last = known.unfinished
        return _closed(known) if last and last.encoder_id == encoder_id else known

    _update(artifacts, collection, change)


def _closed(known: Switches) -> Switches:
    last = known.unfinished
    return Switches((*known.entries[:-1], replace(last, done=True))) if last else known


def _update(artifacts: Store, collection: str, change: Callable[[Switches], Switches]) -> None:
    for _ in range(UPDATE_ATTEMPTS):
        known, etag = _read(artifacts, collection)
        wanted = change(known)
        if wanted == known or artifacts.replace(_path(collection), wanted.dump(), etag=etag):
            return
    raise Conflict("other processes kept changing the history of encoders", got=collection)


def _read(artifacts: Store, collection: str) -> tuple[Switches, str | None]:
    try:
        blob = artifacts.get(_path(collection))
    except ObjectNotFound:
        return Switches(), None
    return Switches.parse(blob.data), blob.etag


def _path(collection: str) -> str:
    return f"collections/{collection}/encoders.json"
