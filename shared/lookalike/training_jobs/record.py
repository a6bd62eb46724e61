"""The record of one training: `training.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from lookalike.errors import Incompatible

FORMAT = 1
Source = Literal["collection", "zip"]
Publish = Literal["if_better", "always", "never"]
Status = Literal["waiting_for_upload", "queued", "running", "publishing", "succeeded", "failed", "cancelled"]
ACTIVE: frozenset[Status] = frozenset({"waiting_for_upload", "queued", "running", "publishing"})


@dataclass(frozen=True, slots=True)
class Training:
    """One training, from its request to its end.

    Attributes:
        id: sorts by the time at which it was created.
        collection: that the encoder is for.
        source: what to train on: the items of the collection, or a zip file that is uploaded.
        options: those of `TrainingOptions`, by name.
        label: metadata field whose values are the classes; None: the category.
        publish: when the encoder replaces the one in use.
        status: see `Status`.
        phase: what is being done, in a few words.
        done: steps of the phase that are done.
        total: steps of the phase; 0: unknown.
        remaining_seconds: of the training, estimated; None: unknown.
        loss: of the last step.
        metrics: measured so far.
        notes: what was left out of the source, for people.
        encoder_id: the trained encoder.
        published: whether the collection came to use the encoder; None: not decided yet.
        reason: why it failed, or why the encoder was published or not; a sentence.
        comparison: both encoders' numbers; see `publishing.Comparison`.
        has_report: whether there is an evaluation report.
        cancel_requested: the user cancelled it.
        attempts: how often it was started; more than once after a crash or a restart.
        created_at: ISO 8601, UTC; so are the others.
        started_at: when it was first started.
        finished_at: when it ended.
        upload_until: when the URL for the zip file expires.
        format: version of this layout.
    """

    id: str
    collection: str
    source: Source
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    publish: Publish = "if_better"
    status: Status = "queued"
    phase: str = ""
    done: int = 0
    total: int = 0
    remaining_seconds: float | None = None
    loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    encoder_id: str | None = None
    published: bool | None = None
    reason: str | None = None
    comparison: Mapping[str, Any] | None = None
    has_report: bool = False
    cancel_requested: bool = False
    attempts: int = 0
    created_at: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    upload_until: str | None = None
    format: int = FORMAT

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ACTIVE

    def as_of(self, now: datetime) -> Training:
        """The same, or failed if the upload came too late."""
        late = self.upload_until is not None and now > datetime.fromisoformat(self.upload_until)
        if self.status == "waiting_for_upload" and late:
            return self.finished("failed", reason="the zip file was not uploaded in time")
        return self

    def finished(self, status: Status, **changes: Any) -> Training:
        """The same, ended now."""
        ended: dict[str, Any] = {
            "phase": "",
            "done": 0,
            "total": 0,
            "remaining_seconds": None,
            "finished_at": now_text(),
        }
        return replace(self, status=status, **(ended | changes))

    def dump(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def parse(cls, data: bytes) -> Training:
        """Inverse of `dump`. Raises Incompatible."""
        try:
            found = json.loads(data)
            if found["format"] != FORMAT:
                raise Incompatible("training.json has another format", got=found["format"], expected=FORMAT)
            return cls(**(found | {"notes": tuple(found["notes"])}))
        except (ValueError, KeyError, TypeError) as error:
            raise Incompatible(
                "training.json cannot be read", got=repr(data[:80]), expected=f"the fields of format {FORMAT}"
            ) from error


def now_text() -> str:
    """Now: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
