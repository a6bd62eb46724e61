"""Two encoders on the same queries: which one finds more images of the right class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lookalike.errors import InvalidInput
from lookalike.evaluation import Difference, Draws, Interval, Retrieval, retrieval
from lookalike.evaluation.bootstrap import Verdict
from lookalike.types import Vectors


@dataclass(frozen=True, slots=True)
class Measured:
    """One encoder's numbers, all in [0, 1]; see `evaluation.retrieval`."""

    encoder_id: str
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    map_at_r: float

    @classmethod
    def of(cls, encoder_id: str, found: Retrieval) -> Measured:
        """The means over queries."""
        return cls(encoder_id, found.recall(1), found.recall(5), found.recall(10), found.map_at_r)


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
    """

    old: Measured
    new: Measured
    queries: int
    gallery: int
    classes: int
    change: Interval
    verdict: Verdict
    basis: str = ""

    @property
    def is_better(self) -> bool:
        """Whether mAP@R rises at all."""
        return self.new.map_at_r > self.old.map_at_r

    @property
    def sentence(self) -> str:
        """The result in one sentence, no full stop."""
        direction = "rises" if self.is_better else "does not rise"
        noise = ", which is within noise" if self.verdict == "noise" else ""
        return (
            f"mAP@R {direction}: {self.old.map_at_r:.3f} → {self.new.map_at_r:.3f} (change between "
            f"{self.change.low:+.3f} and {self.change.high:+.3f}{noise}); recall@1 "
            f"{self.old.recall_at_1:.3f} → {self.new.recall_at_1:.3f}, on {self.queries} queries of "
            f"{self.classes} classes"
        )

    def to_json(self) -> dict[str, Any]:
        """As stored in a history or a training."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Comparison:
        """Inverse of `to_json`."""
        parts = {"old": Measured(**data["old"]), "new": Measured(**data["new"])}
        return cls(**{**data, **parts, "change": Interval(**data["change"])})


QueryAndGallery = tuple[Vectors, Vectors]
"""Vectors of the queries (q, d) and of the gallery (g, d), by one encoder."""


def compare_vectors(
    old_id: str,
    old: QueryAndGallery,
    new_id: str,
    new: QueryAndGallery,
    query_labels: Sequence[str],
    gallery_labels: Sequence[str],
    *,
    basis: str = "",
) -> Comparison:
    """Judge two encoders by the classes of what their queries find.

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
    before = retrieval(old[0], query_labels, old[1], gallery_labels)
    after = retrieval(new[0], query_labels, new[1], gallery_labels)
    draws = Draws(len(query_labels))
    difference = Difference.of(
        (after.map_at_r, draws.mean(after.average_precision)),
        (before.map_at_r, draws.mean(before.average_precision)),
    )
    return Comparison(
        old=Measured.of(old_id, before),
        new=Measured.of(new_id, after),
        queries=usable,
        gallery=len(gallery_labels),
        classes=len(known & set(query_labels)),
        change=difference.change,
        verdict=difference.verdict,
        basis=basis,
    )
