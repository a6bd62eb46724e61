"""One training from source to published encoder. Begun again after a crash, it goes on where it was."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import InvalidInput, ObjectNotFound
from lookalike.publishing import Comparison, ExampleVectors, Parts, publish_encoder
from lookalike.trainings.record import Status, Training, now_text
from lookalike.trainings.records import Trainings, zip_key

if TYPE_CHECKING:
    from lookalike.training.dataset import Dataset, Example
    from lookalike.training.run import TrainingProgress, TrainingResult

TELL_SECONDS = 1.0
FEATURES_FOLDER = "training/features"
"""Below the cache; `lookalike train` keeps them there too."""


class Job:
    """Carries out one training that was asked for.

    Args:
        parts: of the store; features of pictures are kept below their cache, for the next training.
        collection: its name.
        training_id: of a training that has not ended.
    """

    def __init__(self, parts: Parts, collection: str, training_id: str) -> None:
        self._parts = parts
        self._collection = collection
        self._id = training_id
        self._book = Trainings(parts.artifacts, collection)
        self._work = self._book.work_folder(training_id, parts.cache)
        self._told_at = -float("inf")
        self._told: tuple[Status, str] = ("queued", "")
        self._asked_at = -float("inf")
        self._cancelled = False

    def run(self) -> None:
        """Train, evaluate, publish, and write down each step.

        Raises:
            TrainingCancelled, EncodingCancelled: somebody asked for it.
            LookalikeError: it cannot succeed, or (StoreUnavailable) may when it is tried again.
        """
        training = self._book.get(self._id)
        started = training.started_at or now_text()
        training = self._book.update(
            self._id, status="running", started_at=started, attempts=training.attempts + 1
        )
        self._work.mkdir(parents=True, exist_ok=True)
        self._tell("running", "preparing")
        dataset = self._dataset(training)
        result = self._train(dataset, training)
        encoder_id = self._parts.encoders.add(result.encoder).id
        self._book.update(self._id, encoder_id=encoder_id, metrics=_numbers(result.metrics))
        self._say(f"trained {encoder_id} in {result.seconds['total']:.0f} s")
        validation, train = (_named(dataset, result.split[side]) for side in ("validation", "train"))
        vectors = ExampleVectors(self._parts, self._collection, validation, train)
        serving = self._parts.collections.get(self._collection).encoder_id
        ended = self._publish(training, serving, encoder_id, vectors)
        ended["has_report"] = self._report(vectors, serving, encoder_id)
        self._book.finish(self._id, "succeeded", encoder_id=encoder_id, **ended)
        self._say(f"ended: {ended['reason']}")
        self.clear()

    def clear(self) -> None:
        """Remove the files that only a training under way needs."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._parts.images.delete(zip_key(self._collection, self._id))

    # Steps

    def _dataset(self, training: Training) -> Dataset:
        from lookalike.training.dataset import Dataset

        kept = self._work / "dataset.jsonl"
        if kept.is_file():  # the collection may have changed since; a training that resumes must not
            return Dataset.read(kept)
        dataset = self._read_source(training)
        dataset.write(kept)
        self._book.update(self._id, notes=dataset.notes)
        for note in dataset.notes:
            self._say(note)
        self._say(f"{len(dataset.examples)} pictures of {len(dataset.labels)} classes")
        return dataset

    def _read_source(self, training: Training) -> Dataset:
        scratch = self._work / "source"
        scratch.mkdir(exist_ok=True)
        if training.source == "zip":
            from lookalike.training.dataset import read_source

            return read_source(self._zip_file(), scratch, label=training.label)
        from lookalike.training.collected import collection_dataset

        return collection_dataset(
            self._parts,
            self._collection,
            scratch,
            label=training.label,
            progress=lambda done, total: self._tell("running", "preparing", done, total),
        )

    def _zip_file(self) -> Path:
        key = zip_key(self._collection, self._id)
        in_place = self._parts.images.local_path(key)
        file = in_place or self._work / "source.zip"
        if not file.is_file():
            try:
                self._parts.images.download(key, file)
            except (ObjectNotFound, FileNotFoundError) as error:
                raise InvalidInput("the uploaded zip file is gone", got=key) from error
        return file

    def _train(self, dataset: Dataset, training: Training) -> TrainingResult:
        from lookalike.training.options import TrainingOptions
        from lookalike.training.run import train_apart

        return train_apart(
            dataset,
            TrainingOptions.from_json(training.options),
            self._work / "run",
            cache=self._parts.cache / FEATURES_FOLDER,
            progress=self._on_progress,
            cancelled=self._is_cancelled,
        )

    def _publish(
        self, training: Training, serving: str, encoder_id: str, vectors: ExampleVectors
    ) -> dict[str, Any]:
        """What to write down of the end: whether the encoder serves, and why."""
        if training.publish == "never":
            self._tell("running", "comparing")
            comparison = self._judge(vectors, serving, encoder_id)
            published, reason = False, f"not published, as asked; {comparison.sentence}"
        else:
            done = publish_encoder(
                self._parts,
                self._collection,
                encoder_id,
                force=training.publish == "always",
                judge=lambda old, new: self._judge(vectors, old, new),
                training=self._id,
                progress=lambda phase, done, total: self._tell("publishing", phase, done, total),
                cancelled=self._is_cancelled,
            )
            published, reason = done.published, done.reason
        return {"published": published, "reason": reason}

    def _judge(self, vectors: ExampleVectors, old: str, new: str) -> Comparison:
        comparison = vectors.compare(old, new)
        self._book.update(self._id, comparison=comparison.to_json())
        self._say(comparison.sentence)
        return comparison

    def _report(self, vectors: ExampleVectors, old: str, new: str) -> bool:
        """Whether there is a report: it is an extra, and a training does not fail for the lack of it."""
        from lookalike.trainings.report import write_report

        self._tell(self._told[0], "drawing the report")
        page = self._work / "report.html"
        title = f"{self._collection}: training {self._id}"
        encoders = [old, new] if old != new else [new]
        try:
            write_report(vectors, encoders, page, self._parts.settings, title=title)
        except (ImportError, InvalidInput) as error:
            self._say(f"no report: {error}")
            return False
        self._book.put_report(self._id, page.read_bytes())
        return True

    # Telling, and being told

    def _on_progress(self, news: TrainingProgress) -> None:
        changes: dict[str, Any] = {"remaining_seconds": news.remaining_seconds}
        if news.loss is not None:
            changes |= _numbers({"loss": news.loss})
        if news.metrics:
            changes["metrics"] = _numbers(news.metrics)
        self._tell("running", news.phase, news.done, news.total, **changes)

    def _tell(self, status: Status, phase: str, done: int = 0, total: int = 0, **changes: Any) -> None:
        """Write down where it stands: at once when that is news, else now and then."""
        is_news = (status, phase) != self._told
        if is_news:
            self._say(f"{status}: {phase}")
        if not is_news and time.monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told, self._told_at = (status, phase), time.monotonic()
        left = {"remaining_seconds": None} | changes
        self._book.update(self._id, status=status, phase=phase, done=done, total=total, **left)

    def _say(self, message: str) -> None:
        self._book.say(self._id, message)

    def _is_cancelled(self) -> bool:
        if not self._cancelled and time.monotonic() - self._asked_at >= TELL_SECONDS:
            self._asked_at = time.monotonic()
            self._cancelled = self._book.get(self._id).cancel_requested
        return self._cancelled


def _named(dataset: Dataset, ids: Sequence[str]) -> list[Example]:
    """The pictures of these ids, in the data set's order."""
    wanted = set(ids)
    return [example for example in dataset.examples if example.id in wanted]


def _numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    """Those that are finite: JSON has no others."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
