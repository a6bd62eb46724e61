"""Request and response models of trainings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from lookalike.api.http.models import (
    EXAMPLE_ENCODER,
    EXAMPLE_SERVER,
    EXAMPLE_SNAPSHOT,
    EXAMPLE_TIME,
    WHOLE,
    RequestBody,
    ResponseBody,
    example,
)
from lookalike.api.upload_urls import UploadResponse
from lookalike.training.options import Loss, TrainingOptions
from lookalike.training_jobs import Training
from lookalike.training_jobs.records import Publish, Source, Status

PackagedBackbone = Literal["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]
EXAMPLE_TRAINING = "20260101t120500-1a2b3c"
_TRAINED = "efficientnet-lite0-cosface-5b8e1f0a9c3d"
_METRICS = {
    "encoder_id": EXAMPLE_ENCODER,
    "recall_at_1": 0.801,
    "recall_at_5": 0.912,
    "recall_at_10": 0.941,
    "map_at_r": 0.395,
    "recall_at_precision": 0.21,
}
_FINISHED: dict[str, Any] = {
    "id": EXAMPLE_TRAINING,
    "collection": "fashion",
    "source": "zip",
    "options": {"backbone": "efficientnet-lite0", "loss": "cosface", "dimension": 256, "views": 6},
    "label": None,
    "publish": "if_better",
    "status": "succeeded",
    "phase": "",
    "done": 0,
    "total": 0,
    "remaining_seconds": None,
    "loss": 0.41,
    "metrics": {"map_at_r": 0.72},
    "notes": ["1 class has one image only and was left out: belts"],
    "encoder": _TRAINED,
    "published": True,
    "reason": "mAP@R rises: 0.395 → 0.720 (change between +0.301 and +0.349); recall@1 0.801 → 0.863",
    "comparison": {
        "old": _METRICS,
        "new": {**_METRICS, "encoder_id": _TRAINED, "recall_at_1": 0.863, "map_at_r": 0.72},
        "queries": 340,
        "gallery": 3069,
        "classes": 10,
        "change": {"value": 0.325, "low": 0.301, "high": 0.349},
        "verdict": "better",
        "basis": "images that the training held out",
        "changes": {
            "recall_at_1": {"change": {"value": 0.062, "low": 0.021, "high": 0.103}, "verdict": "better"},
            "map_at_r": {"change": {"value": 0.325, "low": 0.301, "high": 0.349}, "verdict": "better"},
        },
    },
    "report_url": f"{EXAMPLE_SERVER}/collections/fashion/trainings/{EXAMPLE_TRAINING}/report",
    "created_at": "2026-01-01T12:05:00+00:00",
    "started_at": "2026-01-01T12:05:01+00:00",
    "finished_at": "2026-01-01T12:10:12+00:00",
}
_WAITING = {
    **_FINISHED,
    "status": "waiting_for_upload",
    "loss": None,
    "metrics": {},
    "notes": [],
    "encoder": None,
    "published": None,
    "reason": None,
    "comparison": None,
    "report_url": None,
    "started_at": None,
    "finished_at": None,
}


class TrainingRequest(RequestBody):
    """What to train on, and how. Omitted options have the values that the benchmarks use."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"source": "collection"}]})

    source: Source = Field(
        description="The current collection, or a zip file with one folder per class, uploaded next."
    )
    label: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Metadata field that holds the classes. null: the category.",
    )
    publish: Publish = Field("if_better", description="When the new encoder replaces the current one.")
    backbone: PackagedBackbone = "efficientnet-lite0"
    loss: Loss = "cosface"
    dimension: Annotated[int, Field(ge=8, le=4096), WHOLE] = Field(256, description="Of the vectors.")
    views: Annotated[int, Field(ge=1, le=64), WHOLE] = Field(6, description="Augmented views per image.")
    last_stages: bool = Field(
        False, description="Also train the last stages of the backbone: more accurate, slower."
    )
    whole_network: bool = Field(False, description="Train the whole backbone. Needs a GPU.")
    epochs: Annotated[int, Field(ge=1, le=1000), WHOLE] | None = Field(
        None, description="null: chosen automatically."
    )
    blend: float | None = Field(
        None, ge=0, le=1, description="Share of trained features in a vector. null: chosen on held-out data."
    )

    def options(self) -> TrainingOptions:
        """The options of the training. Raises InvalidInput."""
        return TrainingOptions.from_json(self.model_dump(exclude={"source", "label", "publish"}))


class EncoderMetricsResponse(ResponseBody):
    """Metrics of one encoder on the queries of a comparison, each between 0 and 1."""

    encoder_id: str
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    map_at_r: float
    recall_at_precision: float | None = Field(
        None, description="Share of pairs of one category that are found at precision 0.95."
    )


class ChangeResponse(ResponseBody):
    """A metric of the new encoder minus that of the old one, with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class MetricChangeResponse(ResponseBody):
    """One metric of the new encoder minus that of the old one."""

    change: ChangeResponse
    verdict: Literal["better", "worse", "noise"] = Field(description="noise: the interval includes 0.")


class ComparisonResponse(ResponseBody):
    """The previous encoder and the trained one on the same queries."""

    old: EncoderMetricsResponse
    new: EncoderMetricsResponse
    queries: int
    gallery: int
    classes: int
    change: ChangeResponse
    verdict: Literal["better", "worse", "noise"] = Field(
        description="Of mAP@R. noise: the interval includes 0."
    )
    basis: str
    changes: dict[str, MetricChangeResponse] = Field(
        default_factory=dict,
        description="By metric: recall_at_1, recall_at_5, recall_at_10, map_at_r, recall_at_precision. An "
        "encoder is better if map_at_r or recall_at_1 is clearly better and none is worse, neither here nor "
        "in `unseen`. Empty in records of older versions.",
    )
    unseen: dict[str, MetricChangeResponse] = Field(
        default_factory=dict,
        description="The same for the queries of categories that were not in the training.",
    )
    unseen_classes: int = Field(0, description="Number of those categories.")


class TrainingResponse(ResponseBody):
    """A training: its request, its progress and its result."""

    model_config = example(_FINISHED)

    id: str
    collection: str
    source: Source
    options: dict[str, str | int | float | bool | None]
    label: str | None
    publish: Publish
    status: Status
    phase: str
    done: int
    total: int = Field(description="0: unknown.")
    remaining_seconds: float | None
    loss: float | None
    metrics: dict[str, float]
    notes: list[str]
    encoder: str | None
    published: bool | None
    reason: str | None = Field(
        description="Why the training failed, or why its encoder was or was not published."
    )
    comparison: ComparisonResponse | None
    report_url: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None

    @classmethod
    def of(cls, training: Training, base: str) -> TrainingResponse:
        """The response about a training; `base` is the URL of this API."""
        same = {name: getattr(training, name) for name in cls.model_fields if hasattr(training, name)}
        compared = training.comparison
        url = f"{base}/collections/{training.collection}/trainings/{training.id}/report"
        return cls(
            **same
            | {
                "options": dict(training.options),
                "metrics": dict(training.metrics),
                "notes": list(training.notes),
                "comparison": ComparisonResponse.model_validate(compared) if compared else None,
            },
            encoder=training.encoder_id,
            report_url=url if training.has_report else None,
        )


class TrainingQueuedResponse(ResponseBody):
    """A training that was queued. With a zip file, it begins once the file has been PUT to the URL."""

    model_config = example(
        {
            "training": _WAITING,
            "upload": {
                "id": EXAMPLE_TRAINING,
                "method": "PUT",
                "url": f"{EXAMPLE_SERVER}/uploads/WyJmYXNoaW9uL3RyYWluaW5nLzEuemlwIiwgMTc2XQ.6Yk3fJ0q",
                "headers": {"Content-Type": "application/zip"},
                "expires_at": "2026-01-01T12:20:00+00:00",
            },
        }
    )

    training: TrainingResponse
    upload: UploadResponse | None


class TrainingsResponse(ResponseBody):
    """The trainings of a collection, newest first."""

    model_config = example({"collection": "fashion", "trainings": [_FINISHED]})

    collection: str
    trainings: list[TrainingResponse]


class LogLineResponse(ResponseBody):
    """One line of a log."""

    at: str
    message: str


class TrainingLogResponse(ResponseBody):
    """The log of a training, oldest line first."""

    model_config = example(
        {
            "collection": "fashion",
            "id": EXAMPLE_TRAINING,
            "lines": [{"at": EXAMPLE_TIME, "message": "3409 images of 10 classes"}],
        }
    )

    collection: str
    id: str
    lines: list[LogLineResponse]


class RollbackResponse(ResponseBody):
    """The encoder that was restored, and the one that it replaced."""

    model_config = example(
        {
            "collection": "fashion",
            "encoder": EXAMPLE_ENCODER,
            "previous_encoder": _TRAINED,
            "snapshot": EXAMPLE_SNAPSHOT,
            "left_out": 0,
        }
    )

    collection: str
    encoder: str
    previous_encoder: str
    snapshot: str | None
    left_out: int = Field(description="Items whose images can no longer be read.")
