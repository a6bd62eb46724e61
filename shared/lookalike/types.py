"""Shared value types. Immutable, without behaviour beyond trivial derivations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["cosine", "l2", "l1"]
"""How two vectors are compared. `distance` is the metric's own number:
cosine → 1 − cos(a, b) in [0, 2]; l2 → Euclidean length; l1 → sum of absolute differences."""

Engine = Literal["annoy", "exact", "faiss"]
Precision = Literal["fp32", "int8"]
Scope = Literal["read", "write"]
RankBy = Literal["similarity", "confidence"]
Likelihood = Literal["likely", "maybe", "unlikely"]
"""Of matches called likely, 95 % are of the query's category; of those called maybe, half."""

METRICS: tuple[Metric, ...] = ("cosine", "l2", "l1")
ENGINES: tuple[Engine, ...] = ("annoy", "exact", "faiss")

Vector = NDArray[np.float32]
"""shape (d,), float32; unit length when the collection's metric is cosine."""
Vectors = NDArray[np.float32]
"""shape (n, d), float32."""
Pixels = NDArray[np.uint8]
"""shape (height, width, 3), uint8, sRGB."""

Attribute = str | int | float | bool | None
Attributes = Mapping[str, Attribute]

ItemStatus = Literal["live", "removed", "rejected"]


@dataclass(frozen=True, slots=True)
class Item:
    """One image and its metadata; `id` is its path below the collection's `images/`."""

    id: str
    category: str | None = None
    product_id: str | None = None
    title: str | None = None
    attributes: Attributes = field(default_factory=dict)
    width: int = 0
    height: int = 0
    perceptual_hash: bytes | None = None
    ingested_at: str | None = None

    @property
    def metadata(self) -> dict[str, Attribute]:
        """The title, if there is one, and the attributes."""
        title = {} if self.title is None else {"title": self.title}
        return {**title, **self.attributes}


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """An object of the images root was created or removed.

    `sequencer` orders the events of one key: longer history, larger string after right-padding with
    zeros (Amazon S3 event notification, "sequencer"). `key` is relative to the images root.
    """

    collection: str
    key: str
    kind: Literal["created", "removed"]
    sequencer: str
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """An uploaded object that can never become an item, with the reason."""

    id: str
    reason: str
    message: str
    at: str


@dataclass(frozen=True, slots=True)
class Match:
    """One match of a search.

    Attributes:
        item: what was found.
        score: higher is better.
        distance: in units of the metric.
        confidence: probability that the query is of the item's category, in [0, 1]; None: not known.
        likelihood: a word for it; None: not known.
    """

    item: Item
    score: float
    distance: float
    confidence: float | None
    likelihood: Likelihood | None = None


def score_from_distance(distance: float, metric: Metric) -> float:
    """Monotone, higher is better: cosine → 1 − d, in [−1, 1]; l2 and l1 → 1 / (1 + d), in (0, 1]."""
    return 1.0 - distance if metric == "cosine" else 1.0 / (1.0 + distance)
