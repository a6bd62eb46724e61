"""What people decided about duplicates: `collections/<collection>/duplicates.json`, kept for ever.

A decision holds for pairs of item ids, so it survives new snapshots and other encoders. It changes by
compare-and-swap, so that no process overwrites another's decision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import combinations, product
from typing import Literal, get_args

from lookalike.errors import Conflict, Incompatible, InvalidInput, ObjectNotFound
from lookalike.layout import check_item_id
from lookalike.storage import Store

FORMAT = 1
UPDATE_ATTEMPTS = 20
MAX_IDS = 1_000
"""Ids of one decision."""
MAX_DECISIONS = 100_000

DecisionKind = Literal["not_duplicates", "keep_all"]
KINDS: tuple[DecisionKind, ...] = get_args(DecisionKind)
Pair = tuple[str, str]
"""Two ids, the smaller first."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision.

    Attributes:
        kind: `not_duplicates`: they show different things; `keep_all`: they are duplicates, and all stay.
        ids: item ids, sorted.
        others: if given, the decision is about each of `ids` with each of `others`; else about all pairs of
            `ids`.
        at: ISO 8601, UTC.
    """

    kind: DecisionKind
    ids: tuple[str, ...]
    others: tuple[str, ...] = ()
    at: str = field(default="", compare=False)

    def pairs(self) -> Iterator[Pair]:
        """The pairs that it is about."""
        found: Iterable[Pair] = product(self.ids, self.others) if self.others else combinations(self.ids, 2)
        return (pair_of(*each) for each in found)


@dataclass(frozen=True, slots=True)
class Decisions:
    """All decisions of a collection, oldest first."""

    entries: tuple[Decision, ...] = ()

    def pairs(self) -> frozenset[Pair]:
        """All decided pairs."""
        return frozenset(pair for entry in self.entries for pair in entry.pairs())

    def with_(self, decision: Decision) -> Decisions:
        """With one more decision, unless it is there."""
        if decision in self.entries:
            return self
        if len(self.entries) >= MAX_DECISIONS:
            raise InvalidInput("there are too many decisions", got=len(self.entries), expected=MAX_DECISIONS)
        return Decisions((*self.entries, decision))

    def without(self, decision: Decision) -> Decisions:
        """Without any decision about a pair of `decision`; what else those were about stays decided."""
        gone = frozenset(decision.pairs())
        kept: list[Decision] = []
        for entry in self.entries:
            pairs = list(entry.pairs())
            left = [pair for pair in pairs if pair not in gone]
            if len(left) == len(pairs):
                kept.append(entry)
            else:
                kept += [Decision(entry.kind, pair, at=entry.at) for pair in left]
        return Decisions(tuple(kept))

    def dump(self) -> bytes:
        """As it is stored."""
        entries = [asdict(each) for each in self.entries]
        return json.dumps({"format": FORMAT, "decisions": entries}, ensure_ascii=False, indent=1).encode()

    @classmethod
    def parse(cls, data: bytes) -> Decisions:
        """Inverse of `dump`. Raises Incompatible."""
        try:
            found = json.loads(data)
            if found["format"] != FORMAT:
                raise Incompatible("duplicates.json has another format", got=found["format"], expected=FORMAT)
            return cls(tuple(_parsed(entry) for entry in found["decisions"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Incompatible(
                "duplicates.json cannot be read",
                got=repr(data[:80]),
                expected=f"the fields of format {FORMAT}",
            ) from error


def _parsed(entry: dict[str, object]) -> Decision:
    ids, others, at = entry["ids"], entry["others"], entry["at"]
    if entry["kind"] not in KINDS or not isinstance(at, str):
        raise ValueError("a decision has an unknown kind or no time")
    for each in (ids, others):
        if not isinstance(each, list) or not all(isinstance(id_, str) for id_ in each):
            raise ValueError("a decision's ids are not a list of texts")
    return Decision(entry["kind"], tuple(ids), tuple(others), at)  # type: ignore[arg-type]


def pair_of(one: str, other: str) -> Pair:
    """Two ids in their order."""
    return (one, other) if one <= other else (other, one)


def decision_about(
    kind: DecisionKind, ids: Sequence[str], others: Sequence[str] = (), *, collection: str = "c"
) -> Decision:
    """A decision, checked.

    Raises:
        InvalidInput: it is about no pair, about too many ids, or an id cannot be an item's.
    """
    if kind not in KINDS:
        raise InvalidInput("unknown decision", got=repr(kind), expected=" | ".join(KINDS))
    if len(ids) + len(others) > MAX_IDS:
        raise InvalidInput("too many ids", got=len(ids) + len(others), expected=f"at most {MAX_IDS}")
    first, second = (
        tuple(sorted({check_item_id(id_, collection) for id_ in each})) for each in (ids, others)
    )
    if set(first) & set(second) or (len(first) < 2 and not second) or not first:
        raise InvalidInput(
            "a decision is about two or more images",
            got=", ".join((*first, *second)) or "none",
            expected="at least two different ids",
        )
    return Decision(kind, first, second, datetime.now(UTC).isoformat(timespec="seconds"))


class DuplicateDecisions:
    """The stored decisions of one collection.

    Args:
        artifacts: the artifacts root.
        collection: its name.
    """

    def __init__(self, artifacts: Store, collection: str) -> None:
        self._artifacts = artifacts
        self._collection = collection
        self._path = f"collections/{collection}/duplicates.json"

    def read(self) -> Decisions:
        """All decisions. Raises Incompatible."""
        return self._read()[0]

    def add(self, kind: DecisionKind, ids: Sequence[str], others: Sequence[str] = ()) -> Decisions:
        """Remember a decision for ever. Returns all.

        Args:
            kind: see `Decision`.
            ids: the images; each pair of them is decided.
            others: if given, each of `ids` is decided with each of these, and with nothing else.

        Raises:
            InvalidInput: fewer than two images, or an id that no item can have.
            Conflict: other processes kept writing.
        """
        decision = decision_about(kind, ids, others, collection=self._collection)
        return self._update(lambda known: known.with_(decision))

    def remove(self, ids: Sequence[str], others: Sequence[str] = ()) -> Decisions:
        """Forget what was decided about pairs of images. Returns what is left. Raises like `add`."""
        about = decision_about("keep_all", ids, others, collection=self._collection)
        return self._update(lambda known: known.without(about))

    def _update(self, change: Callable[[Decisions], Decisions]) -> Decisions:
        for _ in range(UPDATE_ATTEMPTS):
            known, etag = self._read()
            wanted = change(known)
            if wanted.entries == known.entries or self._artifacts.replace(
                self._path, wanted.dump(), etag=etag
            ):
                return wanted
        raise Conflict("other processes kept changing the decisions", got=self._collection, fix="Try again.")

    def _read(self) -> tuple[Decisions, str | None]:
        try:
            blob = self._artifacts.get(self._path)
        except ObjectNotFound:
            return Decisions(), None
        return Decisions.parse(blob.data), blob.etag
