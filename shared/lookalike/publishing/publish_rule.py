"""Compare two encoders on the same queries: which one finds more images of the right class?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lookalike.errors import InvalidInput
from lookalike.evaluation import DEPTHS, Difference, Draws, Interval, PairCounts, Retrieval
from lookalike.evaluation.bootstrap import Verdict
from lookalike.evaluation.pairs import count_pairs
from lookalike.evaluation.queries_and_gallery import Exclude, QueriesAndGallery
from lookalike.evaluation.retrieval import rank
from lookalike.search_space import in_search_space
from lookalike.types import Vectors

GAINS = ("map_at_r", "recall_at_1")
"""A better encoder is clearly better by one of these, and significantly worse by no metric at all."""
SURE = 1.5
"""A gain counts if it is this many times the half width of its interval. The bootstrap resamples queries
only. Chance in the gallery adds to that: with a factor of 1, a tenth of equally good encoders would pass."""
NAMES = {
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "recall_at_10": "recall@10",
    "map_at_r": "mAP@R",
    "recall_at_precision": "recall at precision 0.95",
}
"""Display names of the metrics."""
QueryAndGallery = tuple[Vectors, Vectors]
"""Vectors of the queries (q, d) and of the gallery (g, d), by one encoder."""
PRECISION = 0.95
"""Of pairs that are accepted as one category, for `recall_at_precision`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One encoder's numbers, all in [0, 1]; see `evaluation.retrieval` and `evaluation.pairs`.

    `recall_at_precision` is that of pairs at precision 0.95; None in records of older versions.
    """

    encoder_id: str
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    map_at_r: float
    recall_at_precision: float | None = None

    @classmethod
    def of(cls, encoder_id: str, judged: _Judged) -> Measured:
        """The means over queries, and the recall over their pairs."""
        found, recall = judged.found, judged.counts.at_precision(PRECISION).recall
        return cls(encoder_id, found.recall(1), found.recall(5), found.recall(10), found.map_at_r, recall)


@dataclass(frozen=True, slots=True)
class _Judged:
    """The results of one encoder's queries."""

    sides: QueriesAndGallery
    found: Retrieval
    counts: PairCounts

    @classmethod
    def of(
        cls, vectors: QueryAndGallery, labels: tuple[Sequence[str], Sequence[str]], exclude: Exclude | None
    ) -> _Judged:
        sides = QueriesAndGallery.of(vectors[0], labels[0], vectors[1], labels[1], exclude=exclude)
        return cls(sides, rank(sides), count_pairs(sides))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The encoder in use against a new one, on the same queries and gallery.

    Attributes:
        old: the encoder in use.
        new: the one that may replace it.
        queries: number of images whose class the gallery has.
        gallery: number of images that can be found.
        classes: of both.
        change: mAP@R of new minus that of old, with the interval that holds 95 % of its draws.
        verdict: of that change: "better", "worse", or "noise" if the interval holds 0.
        basis: where the queries come from, for people.
        changes: by metric (the fields of `Measured`), the paired difference between the encoders. Empty in
            records of older versions.
        unseen: the same for the queries of categories that the new encoder's training did not know; empty
            if there are none.
        unseen_classes: number of those categories.
    """

    old: Measured
    new: Measured
    queries: int
    gallery: int
    classes: int
    change: Interval
    verdict: Verdict
    basis: str = ""
    changes: Mapping[str, Difference] = field(default_factory=dict)
    unseen: Mapping[str, Difference] = field(default_factory=dict)
    unseen_classes: int = 0

    @property
    def is_better(self) -> bool:
        """Whether mAP@R or recall@1 is clearly better, and no metric is significantly worse, neither on all
        queries nor on those of categories that were not in the training."""
        if not self.changes:
            return self.verdict == "better"
        return any(_is_clear(self.changes[metric].change) for metric in GAINS) and not self._worse

    @property
    def _worse(self) -> list[str]:
        return [*_worse(self.changes), *_worse(self.unseen)]

    @property
    def sentence(self) -> str:
        """The result in one sentence, no full stop."""
        direction = "rises" if self.new.map_at_r > self.old.map_at_r else "does not rise"
        noise = ", which is within noise" if self.verdict == "noise" else ""
        worse = [
            f"; {NAMES[metric]} is worse: {getattr(self.old, metric):.3f} → {getattr(self.new, metric):.3f}"
            for metric in _worse(self.changes)
        ]
        if found := _worse(self.unseen):
            names = " and ".join(NAMES[metric] for metric in found)
            worse.append(
                f"; {names} {'is' if len(found) == 1 else 'are'} worse for {self.unseen_classes} categories "
                "that were not in the training"
            )
        return (
            f"mAP@R {direction}: {self.old.map_at_r:.3f} → {self.new.map_at_r:.3f} (change between "
            f"{self.change.low:+.3f} and {self.change.high:+.3f}{noise}); recall@1 "
            f"{self.old.recall_at_1:.3f} → {self.new.recall_at_1:.3f}, on {self.queries} queries of "
            f"{self.classes} classes{''.join(worse)}"
        )

    def to_json(self) -> dict[str, Any]:
        """As stored in a history or a training."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Comparison:
        """Inverse of `to_json`."""
        parts = {"old": Measured(**data["old"]), "new": Measured(**data["new"])}
        changes = {
            name: {
                metric: Difference(Interval(**each["change"]), each["verdict"])
                for metric, each in data.get(name, {}).items()
            }
            for name in ("changes", "unseen")
        }
        return cls(**{**data, **parts, "change": Interval(**data["change"]), **changes})


def _worse(changes: Mapping[str, Difference]) -> list[str]:
    return [metric for metric, change in changes.items() if change.verdict == "worse"]


def _is_clear(gain: Interval) -> bool:
    return gain.low > 0 and gain.value >= SURE * (gain.value - gain.low)


def compare_vectors(  # noqa: PLR0913  # the last three by name and with defaults
    old_id: str,
    old: QueryAndGallery,
    new_id: str,
    new: QueryAndGallery,
    query_labels: Sequence[str],
    gallery_labels: Sequence[str],
    *,
    basis: str = "",
    exclude: Exclude | None = None,
    known_classes: Collection[str] | None = None,
) -> Comparison:
    """Compare two encoders by the classes of the images that their queries find, each in its search space.

    Args:
        old_id: the encoder in use.
        old: its vectors.
        new_id: the new encoder.
        new: its vectors.
        query_labels: (q,) classes.
        gallery_labels: (g,).
        basis: where the queries come from, for people.
        exclude: (query rows, gallery rows) of pairs to skip, such as an image and itself.
        known_classes: those that the new encoder's training knew; queries of all others are also compared
            separately. None: not known.

    Raises:
        InvalidInput: no query has an image of its class in the gallery.
    """
    known = set(gallery_labels)
    usable = sum(label in known for label in query_labels)
    if not usable:
        raise InvalidInput(
            "the encoders cannot be compared: no query has an image of its class in the gallery",
            got=f"{len(query_labels)} queries, {len(gallery_labels)} images to find",
            fix="Give items of two classes or more a category.",
        )
    labels = (query_labels, gallery_labels)
    before, after = (_Judged.of(in_search_space(*each), labels, exclude) for each in (old, new))
    changes = _changes(before.found, after.found) | {"recall_at_precision": _recall_change(before, after)}
    unknown = known.intersection(query_labels) - set(known if known_classes is None else known_classes)
    apart = np.array([label in unknown for label in query_labels], bool)
    return Comparison(
        old=Measured.of(old_id, before),
        new=Measured.of(new_id, after),
        queries=usable,
        gallery=len(gallery_labels),
        classes=len(known & set(query_labels)),
        change=changes["map_at_r"].change,
        verdict=changes["map_at_r"].verdict,
        basis=basis,
        changes=changes,
        unseen=_changes(before.found.of(apart), after.found.of(apart)) if unknown else {},
        unseen_classes=len(unknown),
    )


def _recall_change(before: _Judged, after: _Judged) -> Difference:
    """That of recall at precision 0.95, by the same draws of queries."""
    draws = Draws(len(before.sides.queries))
    new, old = (
        (
            each.counts.at_precision(PRECISION).recall,
            draws.recall_at_precision(each.sides, each.counts, PRECISION),
        )
        for each in (after, before)
    )
    return Difference.of(new, old)


def _changes(before: Retrieval, after: Retrieval) -> dict[str, Difference]:
    """Each metric of `after` minus that of `before`, by the paired bootstrap over the queries."""
    draws = Draws(len(before.average_precision))
    found = {
        f"recall_at_{k}": Difference.of(
            (after.recall(k), draws.mean(after.hits[k])), (before.recall(k), draws.mean(before.hits[k]))
        )
        for k in DEPTHS
    }
    found["map_at_r"] = Difference.of(
        (after.map_at_r, draws.mean(after.average_precision)),
        (before.map_at_r, draws.mean(before.average_precision)),
    )
    return found
