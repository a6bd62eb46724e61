"""What goes out over HTTP."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lookalike.types import Attribute, Engine, Metric


class Answer(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


class SnapshotAnswer(Answer):
    """What serves a collection now."""

    id: str
    created_at: str
    items: int
    recall: float | None = Field(description="Measured recall of the exact top 10.")


class CollectionAnswer(Answer):
    """A collection: its choices, and what serves it."""

    name: str
    encoder: str
    metric: Metric
    engine: Engine
    n_trees: int | None
    search_k: int | None
    recall_target: float
    created_at: str
    snapshot: SnapshotAnswer | None


class CollectionsAnswer(Answer):
    """Every collection of the store."""

    collections: list[CollectionAnswer]


class ResultAnswer(Answer):
    """One match. `score` is better when higher; `distance` is the metric's own number."""

    id: str
    score: float
    distance: float
    confidence: float | None = Field(
        description="Calibrated probability of the same class; null where the collection has no labels."
    )
    category: str | None
    product_id: str | None
    metadata: dict[str, Attribute]
    image_url: str


class SearchAnswer(Answer):
    """Matches, best first, and which encoder and snapshot found them."""

    collection: str
    encoder: str
    snapshot: str | None
    index_time: str | None
    took_ms: float
    results: list[ResultAnswer]


class ItemAnswer(Answer):
    """An item and its metadata."""

    id: str
    category: str | None
    product_id: str | None
    metadata: dict[str, Attribute]
    width: int
    height: int
    ingested_at: str | None
    image_url: str


class UploadAnswer(Answer):
    """Where to PUT one picture."""

    id: str
    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str] = Field(description="To send with the PUT.")
    expires_at: str


class UploadsAnswer(Answer):
    """One entry for each picture asked for, in the same order."""

    uploads: list[UploadAnswer]


class UploadedAnswer(Answer):
    """A picture has arrived whole. It is found once it is ingested, or listed among the rejections."""

    collection: str
    id: str
    size_bytes: int


class RejectionAnswer(Answer):
    """An object that can never become an item, and why."""

    id: str
    reason: str
    message: str
    at: str


class RejectionsAnswer(Answer):
    """A page of rejections."""

    collection: str
    offset: int
    rejections: list[RejectionAnswer]


class NeighborAnswer(Answer):
    """One of an item's nearest."""

    id: str
    product_id: str | None
    score: float
    distance: float
    confidence: float | None


class NeighborsEntry(Answer):
    """An item and its nearest others, best first."""

    id: str
    product_id: str | None
    neighbors: list[NeighborAnswer]


class NeighborsAnswer(Answer):
    """A page of items with their neighbours. The whole, as a file: `lookalike neighbors`."""

    collection: str
    encoder: str
    snapshot: str | None
    k: int
    offset: int
    items: list[NeighborsEntry]


class DuplicateAnswer(Answer):
    """One picture of a group of duplicates."""

    id: str
    product_id: str | None
    width: int
    height: int
    score: float = Field(description="Cosine similarity to the picture that should be kept.")
    hash_distance: int | None = Field(description="Bits in which perceptual hashes differ, of 256.")
    reasons: list[Literal["vector", "hash"]]
    image_url: str


class DuplicatesEntry(Answer):
    """Pictures that are the same; the one to keep comes first."""

    keep: str
    members: list[DuplicateAnswer]


class DuplicatesAnswer(Answer):
    """A page of groups, the largest first."""

    collection: str
    total: int
    offset: int
    groups: list[DuplicatesEntry]


class HealthAnswer(Answer):
    """The server answers."""

    status: Literal["ok"] = "ok"
    version: str


class FieldProblem(Answer):
    """What is wrong with one field."""

    pointer: str
    message: str


class Problem(Answer):
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    fix: str | None = None
    reason: str | None = None
    errors: list[FieldProblem] | None = None
