"""What goes out over HTTP about trainings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lookalike.api.answers import Answer, UploadAnswer
from lookalike.training_jobs.record import Publish, Source, Status


class MeasuredAnswer(Answer):
    """One encoder's numbers on the questions of a comparison, each between 0 and 1."""

    encoder_id: str
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    map_at_r: float


class ChangeAnswer(Answer):
    """mAP@R of the new encoder minus that of the old one, and the interval that holds 95 % of its draws."""

    value: float
    low: float
    high: float


class ComparisonAnswer(Answer):
    """The encoder that served against the trained one, on the same questions."""

    old: MeasuredAnswer
    new: MeasuredAnswer
    queries: int
    gallery: int
    classes: int
    change: ChangeAnswer
    verdict: Literal["better", "worse", "noise"] = Field(description="noise: the interval holds 0.")
    basis: str


class TrainingAnswer(Answer):
    """A training: what was asked for, where it stands, and what came of it."""

    id: str
    collection: str
    source: Source
    options: dict[str, str | int | float | bool | None]
    label: str | None
    publish: Publish
    status: Status
    phase: str
    done: int
    total: int = Field(description="0: not known.")
    remaining_seconds: float | None
    loss: float | None
    metrics: dict[str, float]
    notes: list[str]
    encoder: str | None
    published: bool | None
    reason: str | None = Field(description="Why it failed, or why the encoder was published or not.")
    comparison: ComparisonAnswer | None
    report_url: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None


class TrainingAskedAnswer(Answer):
    """A training that was asked for; with a zip file it begins when that has been PUT to the URL."""

    training: TrainingAnswer
    upload: UploadAnswer | None


class TrainingsAnswer(Answer):
    """The trainings of a collection, the latest first."""

    collection: str
    trainings: list[TrainingAnswer]


class LogLineAnswer(Answer):
    """One thing that happened."""

    at: str
    message: str


class TrainingLogAnswer(Answer):
    """What happened in a training, oldest first."""

    collection: str
    id: str
    lines: list[LogLineAnswer]


class RollbackAnswer(Answer):
    """The encoder that serves again, and the one that did until now."""

    collection: str
    encoder: str
    previous_encoder: str
    snapshot: str | None
    left_out: int = Field(description="Items whose pictures cannot be read any more.")
