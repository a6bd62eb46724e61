"""One training from source to published encoder. Begun again after a crash, it goes on where it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import InvalidInput, ObjectNotFound
from lookalike.layout import zip_key
from lookalike.publishing import Comparison, ExampleVectors, Parts
from lookalike.training_jobs.progress import Telling, finite
from lookalike.training_jobs.record import Training
from lookalike.training_jobs.records import Trainings
from lookalike.training_jobs.steps import Sides, draw_report, not_published, prepare, publish_trained

if TYPE_CHECKING:
    from lookalike.training.run import TrainingResult
    from lookalike.training.sources.dataset import Dataset

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
        self._telling = Telling(self._book, training_id)

    def run(self) -> None:
        """Train, evaluate, publish, and write down each step.

        Raises:
            TrainingCancelled, EncodingCancelled: somebody asked for it.
            LookalikeError: it cannot succeed, or (StoreUnavailable) may when it is tried again.
        """
        training = self._telling.begin()
        self._work.mkdir(parents=True, exist_ok=True)
        self._telling.tell("running", "preparing")
        dataset = prepare(self._work, lambda: self._read_source(training), self._telling)
        self._book.update(self._id, notes=dataset.notes)
        result = self._train(dataset, training)
        encoder_id = self._parts.encoders.add(result.encoder).id
        self._book.update(self._id, encoder_id=encoder_id, metrics=finite(result.metrics))
        self._telling.say(f"trained {encoder_id} in {result.seconds['total']:.0f} s")
        vectors = Sides.of(dataset, result).vectors(self._parts, self._collection)
        serving = self._parts.collections.get(self._collection).encoder_id
        ended = self._publish(training, serving, encoder_id, vectors)
        ended["has_report"] = self._report(vectors, serving, encoder_id)
        self._book.finish(self._id, "succeeded", encoder_id=encoder_id, **ended)
        self._telling.say(f"ended: {ended['reason']}")
        self.clear()

    def clear(self) -> None:
        """Remove the files that only a training under way needs."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._parts.images.delete(zip_key(self._collection, self._id))

    # Steps

    def _read_source(self, training: Training) -> Dataset:
        scratch = self._work / "source"
        scratch.mkdir(exist_ok=True)
        if training.source == "zip":
            from lookalike.training.sources.dataset import read_source

            return read_source(self._zip_file(), scratch, label=training.label)
        from lookalike.training.sources.collection import collection_dataset

        return collection_dataset(
            self._parts,
            self._collection,
            scratch,
            label=training.label,
            progress=lambda done, total: self._telling.tell("running", "preparing", done, total),
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
            progress=self._telling.on_progress,
            cancelled=self._telling.is_cancelled,
        )

    def _publish(
        self, training: Training, serving: str, encoder_id: str, vectors: ExampleVectors
    ) -> dict[str, Any]:
        """What to write down of the end: whether the encoder serves, and why."""
        if training.publish == "never":
            self._telling.tell("running", "comparing")
            comparison = self._judge(vectors, serving, encoder_id)
            return {"published": False, "reason": not_published(training, comparison)}

        def judge(old: str, new: str) -> Comparison:
            return self._judge(vectors, old, new)

        done = publish_trained(self._parts, training, encoder_id, judge, self._telling)
        return {"published": done.published, "reason": done.reason}

    def _judge(self, vectors: ExampleVectors, old: str, new: str) -> Comparison:
        comparison = vectors.compare(old, new)
        self._book.update(self._id, comparison=comparison.to_json())
        self._telling.say(comparison.sentence)
        return comparison

    def _report(self, vectors: ExampleVectors, old: str, new: str) -> bool:
        self._telling.tell(self._book.get(self._id).status, "drawing the report")
        page = self._work / "report.html"
        title = f"{self._collection}: training {self._id}"
        if why := draw_report(vectors, [old, new], page, self._parts.settings, title):
            self._telling.say(f"no report: {why}")
            return False
        self._book.put_report(self._id, page.read_bytes())
        return True
