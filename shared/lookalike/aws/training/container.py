"""The training container: from a channel, or a collection, to a model artefact.

Results of slow work are stored below `checkpoints`, under names derived from their inputs, so that a
restarted container resumes.
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
from lookalike.aws.training.hyperparameters import JobParameters, from_hyperparameters
from lookalike.aws.training.job_log import JobLog
from lookalike.aws.training.kept_features import KeptFeatures
from lookalike.encoders.manifest import MANIFEST_FILE
from lookalike.errors import InvalidInput, LookalikeError
from lookalike.library import Library
from lookalike.progress import TrainingProgress
from lookalike.settings import Settings
from lookalike.training_jobs import Trainings
from lookalike.training_jobs.folders import TrainingFolders
from lookalike.training_jobs.records import Status
from lookalike.training_jobs.workflow import Outcome, TrainingRequest, Workflow

if TYPE_CHECKING:
    from lookalike.training.sources.dataset import Dataset

STORE_VARIABLES = ("LOOKALIKE_STORE", "LOOKALIKE_ARTIFACTS")
FEATURES_PHASE = "features"


class FeatureKeepingLog(JobLog):
    """A `JobLog` that copies features to the checkpoints when they are complete."""

    def __init__(
        self,
        features: KeptFeatures,
        trainings: Trainings | None,
        training_id: str,
        stopped: Callable[[], bool],
    ) -> None:
        super().__init__(trainings, training_id, stopped)
        self._features = features
        self._phases: list[str] = []

    def report(self, progress: TrainingProgress, status: Status | None = "running") -> None:
        """Report; when the phase after feature extraction starts, copy the features."""
        super().report(progress, status)
        if progress.phase not in self._phases:
            if FEATURES_PHASE in self._phases[-1:] and not self._features.keep():
                self.log("the features are too large to keep among the checkpoints")
            self._phases.append(progress.phase)


@dataclass(slots=True)
class Container:
    """One training job on one machine.

    Args:
        contract: the folders of the job.
        stopped: whether SageMaker sent SIGTERM to this process.
    """

    contract: Contract
    stopped: Callable[[], bool]

    def run(self) -> None:
        """Train, and write the artefact.

        Raises:
            InvalidInput: the source cannot be used for training, or an option is invalid.
            TrainingCancelled: the training was stopped; computed results are kept.
            LookalikeError: any other known error.
        """
        parameters = from_hyperparameters(self.contract.hyperparameters)
        store, own = self._store(), self._own_library()
        features = self.contract.scratch / "features"
        kept_features = KeptFeatures(features, self.contract.checkpoints / "features")
        log = self._log(parameters, store, kept_features)
        log.begin()
        request = self._request(parameters, store)
        work = self.contract.checkpoints / _digest(self.contract.hyperparameters)
        work.mkdir(parents=True, exist_ok=True)
        log.report(TrainingProgress("preparing"))
        fresh = Workflow(store or own, request, log).read(self.contract.scratch / "source")
        dataset = self._resume_or_keep(fresh, work / "dataset.jsonl", log)
        kept_features.restore()
        self.contract.model.mkdir(parents=True, exist_ok=True)
        artefact = Artefact(self.contract.model)
        folders = TrainingFolders(
            source=self.contract.scratch / "source",
            features=features,
            run=lambda dataset: work / f"run-{_digest(_content(dataset))}",
            page=artefact.folder / REPORT,
        )
        workflow = Workflow(
            own, request, log, baseline=lambda: self._fetch_encoder_in_use(own, parameters, store, log)
        )
        _write(artefact, workflow.run(folders, dataset))

    def _store(self) -> Library | None:
        """The store, if the environment names one."""
        environment = self.contract.environment
        if not any(environment.get(name) for name in STORE_VARIABLES):
            return None
        return Library(Settings.from_env(environment), self.contract.scratch)

    def _own_library(self) -> Library:
        """A library on this machine only, for the trained encoder and the one in use."""
        settings = replace(
            Settings.from_env(self.contract.environment),
            store=str(self.contract.scratch / "store"),
            images="",
            artifacts="",
            threads=os.cpu_count() or 1,
        )
        return Library(settings, self.contract.scratch)

    def _log(self, parameters: JobParameters, store: Library | None, features: KeptFeatures) -> JobLog:
        trainings = None
        if store and parameters.collection and parameters.training_id:
            trainings = Trainings(store.artifacts, parameters.collection)
        return FeatureKeepingLog(features, trainings, parameters.training_id or "", self.stopped)

    def _request(self, parameters: JobParameters, store: Library | None) -> TrainingRequest:
        """Raises InvalidInput if there is no source."""
        channel = self.contract.channel
        if channel is None and (store is None or parameters.collection is None):
            raise InvalidInput(
                "there is nothing to train on",
                got="no channel, and no collection of a store",
                expected="a channel named training, or the hyperparameter collection and LOOKALIKE_ARTIFACTS",
            )
        return TrainingRequest(
            parameters.options,
            files=None if channel is None else lambda: source_of(channel),
            items_of=parameters.collection,
            label=parameters.label,
            target=parameters.collection,
            publish="never",  # the pipeline decides, after this job
        )

    def _resume_or_keep(self, fresh: Dataset, kept: Path, log: JobLog) -> Dataset:
        """The data set to train on. A new instance has none of its files, so the source is always read."""
        from lookalike.training.sources.dataset import Dataset

        if kept.is_file():
            dataset = Dataset.read(kept)
            if _can_resume(dataset, fresh, exact=self.contract.channel is not None):
                log.prepared(dataset, resumed=True)
                return dataset
        fresh.write(kept)
        log.prepared(fresh, resumed=False)
        return fresh

    def _fetch_encoder_in_use(
        self, own: Library, parameters: JobParameters, store: Library | None, log: JobLog
    ) -> str | None:
        """The id of the collection's encoder, copied into `own`; None: there is none."""
        if store is None or parameters.collection is None:
            return None
        try:
            manifest = store.encoders.get(store.collections.get(parameters.collection).encoder_id)
            folder = self.contract.scratch / "serving"
            folder.mkdir(exist_ok=True)
            for info in manifest.precisions.values():
                store.artifacts.download(f"encoders/{manifest.id}/{info.file}", folder / info.file)
            (folder / MANIFEST_FILE).write_bytes(manifest.dump())
            return own.encoders.add(folder).id
        except LookalikeError as error:
            log.log(f"the encoder in use cannot be read: {error}")
            return None


def _write(artefact: Artefact, outcome: Outcome) -> None:
    dataset, result = outcome.trained.dataset, outcome.trained.result
    artefact.put(RESULT, dict(result.document))
    artefact.put(SPLIT, dict(result.split))
    artefact.put(NOTES, list(dict.fromkeys([*dataset.notes, *result.document.get("notes", [])])))
    if outcome.comparison:
        artefact.put(COMPARISON, outcome.comparison.to_json())
    artefact.put_encoder(result.encoder)


def _can_resume(kept: Dataset, fresh: Dataset, *, exact: bool) -> bool:
    """Whether the files of a stored data set exist, and (`exact`) come from the same source."""
    if exact:
        return _content(kept) == _content(fresh)
    return all(example.path.is_file() for example in kept.examples)


def _content(dataset: Dataset) -> list[list[object]]:
    """A fingerprint of a data set's images that is the same on any instance, without file times."""
    return [
        [example.id, example.label, example.product, example.split, example.path.stat().st_size]
        for example in dataset.examples
    ]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def stop_requests() -> Callable[[], bool]:
    """Whether SIGTERM came: SageMaker sends it two minutes before it ends a job or reclaims its machine."""
    import signal

    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    return lambda: bool(signals)


def main(environment: dict[str, str]) -> int:
    """Run the container. Returns its exit code."""
    from lookalike.aws.training.exit_code import exit_code_of

    contract = Contract.of(environment)
    if not contract.is_first_host:
        sys.stdout.write("another machine of this job trains; nothing to do on this one\n")
        return 0
    stopped = stop_requests()
    return exit_code_of(contract, Container(contract, stopped).run, stopped)
