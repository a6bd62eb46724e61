"""The trainings of a collection, in the artifacts store: `collections/<c>/trainings/<id>/`.

```
training.json   its record; changed by compare-and-swap
log.json        its log, line by line
report.html     the evaluation, once it has ended well
work/           files of a running training; removed when it ends
```
"""

from __future__ import annotations

import difflib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from lookalike.errors import Conflict, Incompatible, ObjectNotFound, TrainingNotFound
from lookalike.integrity import convert, field_names, load_json, reading, seal, unseal
from lookalike.layout import collection_of, parse_key
from lookalike.storage import Store

FORMAT = 1
FILE = "training.json"
DAMAGE_FIX = "Start a new training."
Source = Literal["collection", "zip"]
Publish = Literal["if_better", "always", "never"]
Status = Literal["waiting_for_upload", "queued", "running", "publishing", "succeeded", "failed", "cancelled"]
ACTIVE: frozenset[Status] = frozenset({"waiting_for_upload", "queued", "running", "publishing"})
UPDATE_ATTEMPTS = 20
MAX_LOG_LINES = 2_000
_ID = re.compile(r"\d{8}t\d{6}-[0-9a-f]{6}")


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
        phase: short name of the current phase.
        done: steps of the phase that are done.
        total: steps of the phase; 0: unknown.
        remaining_seconds: of the training, estimated; None: unknown.
        loss: of the last step.
        metrics: measured so far.
        notes: what was left out of the source, for people.
        encoder_id: the trained encoder.
        published: whether the collection uses the encoder; None: not decided yet.
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
        return seal(asdict(self))

    @classmethod
    def parse(cls, data: bytes) -> Training:
        """Inverse of `dump`. Raises Damaged, or Incompatible for another format."""
        found = unseal(data, FILE, format=FORMAT, known=field_names(cls), fix=DAMAGE_FIX)
        with reading(FILE, DAMAGE_FIX):
            training: Training = convert(cls, found)
            if training.upload_until is not None:
                datetime.fromisoformat(training.upload_until)
            return training


def now_text() -> str:
    """Now: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Trainings:
    """The trainings of one collection. Safe to share between threads and processes."""

    def __init__(self, artifacts: Store, collection: str) -> None:
        self._artifacts = artifacts
        self._folder = f"collections/{collection}/trainings"
        self.collection = collection

    def create(self, request: Training, *, upload_seconds: int | None = None) -> Training:
        """Create the record of a training; its id and times are filled in.

        Args:
            request: what the user wants.
            upload_seconds: how long to wait for a zip file; None: it can begin.

        Raises:
            Conflict: another one of this collection has not ended; the error names it.
        """
        now = datetime.now(UTC)
        until = now + timedelta(seconds=upload_seconds or 0)
        made = replace(
            request,
            id=f"{now:%Y%m%dt%H%M%S}-{secrets.token_hex(3)}",
            status="waiting_for_upload" if upload_seconds else "queued",
            created_at=now_text(),
            upload_until=until.isoformat(timespec="seconds") if upload_seconds else None,
        )
        with self._artifacts.lock(f"{self._folder}.lock"):
            for other in self.all():
                if other.is_active:
                    raise Conflict(
                        "another training of this collection has not ended",
                        got=f"{other.id}, {other.status}",
                        fix="Wait until it ends, or cancel it.",
                    )
            self._artifacts.create(self._path(made.id, "training.json"), made.dump())
        return made

    def get(self, training_id: str) -> Training:
        """One training. Raises TrainingNotFound, with the nearest ids."""
        return self._read(training_id)[0]

    def all(self) -> list[Training]:
        """All trainings, the latest first; those that cannot be read are left out."""
        found = []
        for training_id in reversed(self._ids()):
            try:
                found.append(self.get(training_id))
            except (TrainingNotFound, Incompatible):
                continue
        return found

    def update(self, training_id: str, **changes: Any) -> Training:
        """Change fields of a training that has not ended; one that has ended is not changed.

        Raises:
            TrainingNotFound: it is gone.
            Conflict: others kept changing it.
        """
        return self._change(training_id, lambda training: replace(training, **changes))

    def uploaded(self, training_id: str) -> Training:
        """The zip file of a training was uploaded: it can start. A second or late call changes nothing.

        Raises as `update`.
        """

        def change(training: Training) -> Training:
            if training.status != "waiting_for_upload":
                return training
            return replace(training, status="queued", upload_until=None)

        return self._change(training_id, change)

    def finish(self, training_id: str, status: Status, **changes: Any) -> Training:
        """End a training that has not ended. Raises as `update`."""
        return self._change(training_id, lambda training: training.finished(status, **changes))

    def note_publication(self, training_id: str, reason: str) -> Training:
        """The encoder of a training that has ended was published after all. Raises as `update`."""

        def change(training: Training) -> Training:
            return replace(training, published=True, reason=reason)

        return self._change(training_id, change, ended=True)

    def _change(
        self, training_id: str, change: Callable[[Training], Training], *, ended: bool = False
    ) -> Training:
        for _ in range(UPDATE_ATTEMPTS):
            training, etag = self._read(training_id)
            if training.is_active == ended:
                return training
            changed = change(training)
            if changed == training:
                return training
            if self._artifacts.replace(self._path(training_id, "training.json"), changed.dump(), etag=etag):
                return changed
        raise Conflict("the training kept changing while it was updated", got=training_id, fix="Try again.")

    # Log and report

    def log(self, training_id: str) -> list[dict[str, str]]:
        """What happened, oldest first: `at` and `message`. Raises TrainingNotFound."""
        self.get(training_id)
        try:
            lines = load_json(self._artifacts.get(self._path(training_id, "log.json")).data)
            return [convert(dict[str, str], line) for line in convert(tuple[Any, ...], lines)]
        except (ObjectNotFound, ValueError):  # the log is for people only: no reason to fail
            return []

    def log_line(self, training_id: str, message: str) -> None:
        """Add a line to the log. Only the one process that runs the training may."""
        lines = [*self.log(training_id), {"at": now_text(), "message": message}][-MAX_LOG_LINES:]
        self._artifacts.put(self._path(training_id, "log.json"), json.dumps(lines, indent=0).encode())

    def report(self, training_id: str) -> bytes:
        """The evaluation report, HTML. Raises TrainingNotFound: there is no such training, or no report."""
        training = self.get(training_id)
        try:
            return self._artifacts.get(self._path(training_id, "report.html")).data
        except ObjectNotFound as error:
            raise TrainingNotFound(
                "this training has no report",
                got=f"status {training.status}",
                fix="Wait until it has succeeded.",
            ) from error

    def put_report(self, training_id: str, page: bytes) -> None:
        """Keep the evaluation report."""
        self._artifacts.put(self._path(training_id, "report.html"), page)

    def work_folder(self, training_id: str, scratch: Path) -> Path:
        """The work folder of a training: next to its record in a folder store, else in `scratch`."""
        path = self._path(training_id, "work")
        return self._artifacts.local_path(path) or scratch / path

    def _read(self, training_id: str) -> tuple[Training, str]:
        if _ID.fullmatch(training_id):  # another name must not become a path
            try:
                blob = self._artifacts.get(self._path(training_id, "training.json"))
                return Training.parse(blob.data).as_of(datetime.now(UTC)), blob.etag
            except ObjectNotFound:
                pass
        near = difflib.get_close_matches(training_id, self._ids(), n=3, cutoff=0.3)
        raise TrainingNotFound(
            f"the collection {self.collection} has no such training",
            got=repr(training_id),
            fix=f"Did you mean {' or '.join(near)}?" if near else None,
        )

    def _ids(self) -> list[str]:
        return [name for name in self._artifacts.list_folders(self._folder) if _ID.fullmatch(name)]

    def _path(self, training_id: str, name: str) -> str:
        return f"{self._folder}/{training_id}/{name}"


def training_of(key: str) -> tuple[str, str] | None:
    """The collection and the training of the zip file at `key`; None: it is not such a file."""
    collection = collection_of(key)
    parsed = parse_key(collection, key)
    named = parsed and parsed.kind == "training" and _ID.fullmatch(parsed.name)
    return (collection, parsed.name) if parsed and named else None
