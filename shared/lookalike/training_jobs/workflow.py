"""One training: read → train → register → judge → publish → report.

`lookalike train`, a training over HTTP and the SageMaker container run all of it and differ in their request,
their folders and their `ProgressSink`. The pipeline on AWS takes over after the container, and calls
`reason_not_to_publish` and `publish_trained` in its own steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import InvalidInput, LookalikeError, StoreUnavailable
from lookalike.progress import TrainingProgress
from lookalike.publishing import (
    Comparison,
    ExampleVectors,
    Publication,
    compare_on_own_or_else,
    publish_encoder,
)
from lookalike.publishing.publish import Judge
from lookalike.training_jobs.folders import TrainingFolders
from lookalike.training_jobs.progress_sinks import ProgressSink, Trained
from lookalike.training_jobs.records import Publish

if TYPE_CHECKING:
    from lookalike.library import Library
    from lookalike.training.options import TrainingOptions
    from lookalike.training.sources.dataset import Dataset, Example


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train on, how, and what to do with the encoder.

    Attributes:
        options: how to train.
        files: returns the folder or zip file to train on; called when it is needed. None: `items_of`.
        items_of: the collection whose items to train on.
        label: metadata field whose values are the classes; None: the category.
        target: the collection whose encoder is compared, and may be replaced; None: there is none.
        publish: when the encoder replaces that of `target`; None: do not even compare.
        training_id: of the record, for the history of the collection.
    """

    options: TrainingOptions
    files: Callable[[], Path] | None = None
    items_of: str | None = None
    label: str | None = None
    target: str | None = None
    publish: Publish | None = None
    training_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended.

    Attributes:
        trained: the encoder and what it was made from.
        comparison: with the encoder in use; None: not requested, or not possible.
        publication: None: no attempt to publish was made.
        reason: why the encoder was published or not, a sentence; None: not requested.
        report_problem: why there is no report; None: there is one, or none was requested.
    """

    trained: Trained
    comparison: Comparison | None = None
    publication: Publication | None = None
    reason: str | None = None
    report_problem: str | None = None


class Workflow:
    """One training, over one library. Run again after a crash, it resumes.

    Args:
        library: gets the encoder.
        request: what to do.
        sink: receives progress, and decides when to stop.
        baseline: returns the encoder to compare with; None: that of the request's target.
    """

    def __init__(
        self,
        library: Library,
        request: TrainingRequest,
        sink: ProgressSink,
        *,
        baseline: Callable[[], str | None] | None = None,
    ) -> None:
        self._library = library
        self._request = request
        self._sink = sink
        self._baseline = baseline or self._encoder_of_target
        self._vectors: ExampleVectors | None = None
        self._comparison: Comparison | None = None

    def run(self, folders: TrainingFolders, dataset: Dataset | None = None) -> Outcome:
        """Do all steps.

        Args:
            folders: where files are kept.
            dataset: what to train on; None: it is read as the request says.

        Raises:
            TrainingCancelled, EncodingCancelled: the sink requested it.
            LookalikeError: it cannot succeed; StoreUnavailable: a retry may succeed.
        """
        trained = self._train(dataset or self.prepare(folders), folders)
        publish = self._request.publish
        before = self._baseline() if publish or folders.page else None
        publication, reason = None, None
        if publish == "never":
            self._compare_if_possible(trained, before)
            reason = reason_not_to_publish(publish, self._comparison)
        elif publish:
            publication = self._publish(trained)
            reason = publication.reason
        problem = self._report(trained, before, folders.page) if folders.page else None
        return Outcome(trained, self._comparison, publication, reason, problem)

    # Steps

    def prepare(self, folders: TrainingFolders) -> Dataset:
        """The data set: the stored one, or else read from the source and stored.

        Raises:
            InvalidInput: nothing can be learned from the source.
        """
        from lookalike.training.sources.dataset import Dataset

        self._sink.report(TrainingProgress("preparing"))
        kept = folders.dataset
        if kept is not None and kept.is_file():  # the collection may have changed since
            dataset = Dataset.read(kept)
            self._sink.prepared(dataset, resumed=True)
            return dataset
        dataset = self.read(folders.source)
        self._warn_of_missing(dataset)
        if kept is not None:
            dataset.write(kept)
        self._sink.prepared(dataset, resumed=False)
        return dataset

    def _warn_of_missing(self, dataset: Dataset) -> None:
        """Report at once which categories of the collection are not in the training."""
        if self._request.target is None or self._request.label not in (None, "category"):
            return
        known = set(dataset.labels)
        catalogue = self._library.catalogue(self._request.target)
        counts = Counter(item.category for batch in catalogue.scan() for item in batch.items)
        missing = sorted(name for name in counts if name is not None and name not in known)
        if missing:
            first = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            items = sum(counts[name] for name in missing)
            self._sink.log(
                f"{len(missing)} of the collection's categories are not in the training images ({first}; "
                f"{items:,} items): the encoder may get worse for them, and is then not published"
            )

    def read(self, scratch: Path) -> Dataset:
        """The data set of the source, as it is now. Raises InvalidInput."""
        request = self._request
        scratch.mkdir(parents=True, exist_ok=True)
        if request.files is not None:
            from lookalike.training.sources.read_source import read_source

            return read_source(request.files(), scratch, label=request.label)
        if request.items_of is None:
            raise InvalidInput("there is nothing to train on", expected="files, or a collection")
        from lookalike.training.sources.from_collection import collection_dataset

        return collection_dataset(
            self._library,
            request.items_of,
            scratch,
            label=request.label,
            progress=lambda done, total: self._sink.report(TrainingProgress("preparing", done, total)),
        )

    def _train(self, dataset: Dataset, folders: TrainingFolders) -> Trained:
        from lookalike.training.child import train_in_child

        run = folders.run(dataset)
        result = train_in_child(
            dataset,
            self._request.options,
            run,
            cache=folders.features,
            progress=self._sink.report,
            cancelled=self._sink.is_cancelled,
        )
        trained = Trained(dataset, result, self._library.encoders.add(result.encoder), run)
        self._sink.trained(trained)
        return trained

    def _compare_if_possible(self, trained: Trained, before: str | None) -> None:
        """Compare if possible: a missing comparison does not fail a training."""
        if before is None:
            return
        self._sink.report(TrainingProgress("comparing"))
        try:
            self._compare(trained, before, trained.manifest.id)
        except StoreUnavailable:
            raise
        except LookalikeError as error:
            self._sink.log(f"no comparison: {error}")

    def _compare(self, trained: Trained, old: str, new: str) -> Comparison:
        self._comparison = self._examples(trained).compare(old, new)
        self._sink.compared(self._comparison)
        return self._comparison

    def _publish(self, trained: Trained) -> Publication:
        target = self._request.target
        assert target is not None
        assert self._request.publish is not None

        def judge(old: str, new: str) -> Comparison:
            self._comparison = compare_on_own_or_else(
                self._library, target, old, new, lambda: self._examples(trained).compare(old, new)
            )
            self._sink.compared(self._comparison)
            return self._comparison

        return publish_trained(
            self._library,
            target,
            trained.manifest.id,
            self._sink,
            judge,
            publish=self._request.publish,
            training_id=self._request.training_id,
        )

    def _report(self, trained: Trained, before: str | None, page: Path) -> str | None:
        """Write the report. A missing report does not fail a training: returns why there is none."""
        from lookalike.training_jobs.report import write_report

        self._sink.report(TrainingProgress("drawing the report"), None)
        encoders = [*([before] if before else []), trained.manifest.id]
        try:
            write_report(
                self._library, self._examples(trained), list(dict.fromkeys(encoders)), page, trained.result
            )
        except (ImportError, LookalikeError) as error:
            self._sink.log(f"no report: {error}")
            return str(error)
        return None

    def _examples(self, trained: Trained) -> ExampleVectors:
        """Vectors of the images that the training held out, and of those it was trained on."""
        if self._vectors is None:

            def part(name: str) -> list[Example]:
                wanted = set(trained.result.split[name])
                return [example for example in trained.dataset.examples if example.id in wanted]

            self._vectors = ExampleVectors(
                self._library, self._request.target, part("validation"), part("train")
            )
        return self._vectors

    def _encoder_of_target(self) -> str | None:
        target = self._request.target
        return self._library.collections.get(target).encoder_id if target else None


def reason_not_to_publish(publish: Publish, comparison: Comparison | None) -> str | None:
    """Why an encoder is not to be published, as far as that is known before re-encoding; None: it can be."""
    if publish == "never":
        return "not published, as requested" + (f"; {comparison.sentence}" if comparison else "")
    if publish == "if_better" and comparison and not comparison.is_better:
        return comparison.sentence
    return None


def publish_trained(
    library: Library,
    collection: str,
    encoder_id: str,
    sink: ProgressSink,
    judge: Judge | None,
    *,
    publish: Publish,
    training_id: str | None,
) -> Publication:
    """`publish_encoder` for the encoder that a training made; `sink` reports its progress and may stop it."""
    return publish_encoder(
        library,
        collection,
        encoder_id,
        force=publish == "always",
        judge=judge,
        training=training_id,
        progress=lambda phase, done, total: sink.report(TrainingProgress(phase, done, total), "publishing"),
        cancelled=sink.is_cancelled,
    )
