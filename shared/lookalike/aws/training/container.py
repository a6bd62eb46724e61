"""The training container: from a channel, or a collection, to a model artefact.

Whatever it computes that takes long is below `checkpoints`, under a name that says what it was computed from;
started again there, it goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.aws.training.artefact import COMPARISON, NOTES, REPORT, RESULT, SPLIT, Artefact
from lookalike.aws.training.contract import Contract, source_of
from lookalike.aws.training.hyperparameters import Lesson, from_hyperparameters
from lookalike.aws.training.job_log import Printing
from lookalike.aws.training.kept_features import KeptFeatures
from lookalike.encoders.manifest import MANIFEST_FILE
from lookalike.errors import InvalidInput, LookalikeError
from lookalike.library import Library
from lookalike.publishing import ExampleVectors
from lookalike.settings import Settings
from lookalike.training_jobs import Trainings
from lookalike.training_jobs.steps import DATASET_FILE, Sides, draw_report, prepare

if TYPE_CHECKING:
    from lookalike.progress import TrainingProgress
    from lookalike.training.child import TrainingResult
    from lookalike.training.sources.dataset import Dataset

STORE_VARIABLES = ("LOOKALIKE_STORE", "LOOKALIKE_ARTIFACTS")
FEATURES_PHASE = "features"


@dataclass(slots=True)
class Container:
    """One training job on one machine.

    Args:
        contract: the places of the job.
        stopped: whether SageMaker asked this process to end.
    """

    contract: Contract
    stopped: Callable[[], bool]

    def run(self) -> None:
        """Train, and leave the artefact.

        Raises:
            InvalidInput: nothing can be learnt from the source, or an option cannot be used.
            TrainingCancelled: somebody asked for the end; what was computed is kept.
            LookalikeError: anything else that is known to go wrong.
        """
        lesson = from_hyperparameters(self.contract.hyperparameters)
        store = self._store()
        printing = self._printing(lesson, store)
        printing.begin()
        work = self.contract.checkpoints / _digest(self.contract.hyperparameters)
        work.mkdir(parents=True, exist_ok=True)
        printing.tell("running", "preparing")
        dataset = self._dataset(lesson, store, work, printing)
        result = self._train(dataset, lesson, work, printing)
        printing.metrics(result.metrics)
        printing.say(f"trained {result.manifest.id} in {result.seconds['total']:.0f} s")
        artefact = self._artefact(dataset, result)
        self._judge(artefact, Sides.of(dataset, result), result, lesson, store, printing)
        artefact.put_encoder(result.encoder)

    def _store(self) -> Library | None:
        """The store, where the environment names one."""
        environment = self.contract.environment
        if not any(environment.get(name) for name in STORE_VARIABLES):
            return None
        return Library(Settings.from_env(environment), self.contract.scratch)

    def _printing(self, lesson: Lesson, store: Library | None) -> Printing:
        book = None
        if store and lesson.collection and lesson.training_id:
            book = Trainings(store.artifacts, lesson.collection)
        return Printing(book, lesson.training_id or "", self.stopped)

    # Steps

    def _dataset(self, lesson: Lesson, store: Library | None, work: Path, printing: Printing) -> Dataset:
        """What to train on. A new instance has none of its files, so they are always brought here again."""
        from lookalike.training.sources.dataset import Dataset

        fresh = self._read(lesson, store, printing)
        kept = work / DATASET_FILE
        if kept.is_file() and not _is_here(
            Dataset.read(kept), fresh, exact=self.contract.channel is not None
        ):
            kept.unlink()
        return prepare(work, lambda: fresh, printing)

    def _read(self, lesson: Lesson, store: Library | None, printing: Printing) -> Dataset:
        scratch = self.contract.scratch / "source"
        scratch.mkdir(parents=True, exist_ok=True)
        channel = self.contract.channel
        if channel is not None:
            from lookalike.training.sources.dataset import read_source

            return read_source(source_of(channel), scratch, label=lesson.label)
        if store is None or lesson.collection is None:
            raise InvalidInput(
                "there is nothing to train on",
                got="no channel, and no collection of a store",
                expected="a channel named training, or the hyperparameter collection and LOOKALIKE_ARTIFACTS",
            )
        from lookalike.training.sources.collection import collection_dataset

        return collection_dataset(
            store,
            lesson.collection,
            scratch,
            label=lesson.label,
            progress=lambda done, total: printing.tell("running", "preparing", done, total),
        )

    def _train(self, dataset: Dataset, lesson: Lesson, work: Path, printing: Printing) -> TrainingResult:
        from lookalike.training.child import train_in_child

        cache = self.contract.scratch / "features"
        features = KeptFeatures(cache, self.contract.checkpoints / "features")
        features.restore()
        phases: list[str] = []

        def progress(news: TrainingProgress) -> None:
            printing.on_progress(news)
            if news.phase not in phases:
                if FEATURES_PHASE in phases[-1:] and not features.keep():
                    printing.say("the features are too many to keep among the checkpoints")
                phases.append(news.phase)

        return train_in_child(
            dataset,
            lesson.options,
            work / f"run-{_digest(_told(dataset))}",
            cache=cache,
            progress=progress,
            cancelled=printing.is_cancelled,
        )

    def _artefact(self, dataset: Dataset, result: TrainingResult) -> Artefact:
        self.contract.model.mkdir(parents=True, exist_ok=True)
        artefact = Artefact(self.contract.model)
        artefact.put(RESULT, dict(result.document))
        artefact.put(SPLIT, dict(result.split))
        artefact.put(NOTES, list(dict.fromkeys([*dataset.notes, *result.document.get("notes", [])])))
        return artefact

    def _judge(
        self,
        artefact: Artefact,
        sides: Sides,
        result: TrainingResult,
        lesson: Lesson,
        store: Library | None,
        printing: Printing,
    ) -> None:
        """Compare with the encoder that serves, and draw the report: two extras."""
        printing.tell("running", "comparing")
        library = self._beside(result.encoder)
        serving = self._fetch_serving(library, lesson, store, printing)
        try:
            vectors = sides.vectors(library, lesson.collection or "training")
            if serving:
                self._compare(artefact, vectors, serving, result.manifest.id, printing)
        except LookalikeError as error:
            printing.say(f"no comparison: {error}")
            return
        printing.tell("running", "drawing the report")
        encoders = [serving, result.manifest.id] if serving else [result.manifest.id]
        title = f"{lesson.collection or 'training'}: {result.manifest.id}"
        if why := draw_report(vectors, encoders, artefact.folder / REPORT, library.settings, title):
            printing.say(f"no report: {why}")

    def _compare(
        self, artefact: Artefact, vectors: ExampleVectors, serving: str, trained: str, printing: Printing
    ) -> None:
        comparison = vectors.compare(serving, trained)
        artefact.put(COMPARISON, comparison.to_json())
        printing.say(comparison.sentence)

    def _beside(self, encoder: Path) -> Library:
        """A store on this machine alone, with the trained encoder in it."""
        settings = replace(
            Settings.from_env(self.contract.environment),
            store=str(self.contract.scratch / "store"),
            images="",
            artifacts="",
            threads=os.cpu_count() or 1,
        )
        library = Library(settings, self.contract.scratch)
        library.encoders.add(encoder)
        return library

    def _fetch_serving(
        self, library: Library, lesson: Lesson, store: Library | None, printing: Printing
    ) -> str | None:
        """The id of the encoder that serves, now beside the trained one; None: there is none."""
        if store is None or lesson.collection is None:
            return None
        try:
            manifest = store.encoders.get(store.collections.get(lesson.collection).encoder_id)
            folder = self.contract.scratch / "serving"
            folder.mkdir(exist_ok=True)
            for info in manifest.precisions.values():
                store.artifacts.download(f"encoders/{manifest.id}/{info.file}", folder / info.file)
            (folder / MANIFEST_FILE).write_bytes(manifest.dump())
            return library.encoders.add(folder).id
        except LookalikeError as error:
            printing.say(f"the encoder that serves cannot be read: {error}")
            return None


def _is_here(kept: Dataset, fresh: Dataset, *, exact: bool) -> bool:
    """Whether a kept data set can be gone on with: its files are there, and are those of the same source."""
    if exact:
        return _told(kept) == _told(fresh)
    return all(example.path.is_file() for example in kept.examples)


def _told(dataset: Dataset) -> list[list[object]]:
    """All that the training is told of its pictures; their times change with each instance."""
    return [
        [example.id, example.label, example.product, example.split, example.path.stat().st_size]
        for example in dataset.examples
    ]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def stop_requests() -> Callable[[], bool]:
    """Whether SIGTERM came: SageMaker sends it two minutes before it ends a job or takes its machine away."""
    import signal

    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    return lambda: bool(asked)


def main(environment: dict[str, str]) -> int:
    """The process. Returns its exit code."""
    from lookalike.aws.training.exit_code import ending

    contract = Contract.of(environment)
    if not contract.is_first_host:
        sys.stdout.write("the first machine trains; there is nothing to do here\n")
        return 0
    stopped = stop_requests()
    return ending(contract, Container(contract, stopped).run, stopped)
