"""The steps of a training that are the same wherever it is carried out, on this machine or on AWS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import InvalidInput
from lookalike.publishing import Comparison, ExampleVectors, Publication, publish_encoder
from lookalike.publishing.publish import Judge
from lookalike.settings import Settings
from lookalike.training_jobs.progress import Teller
from lookalike.training_jobs.record import Training

if TYPE_CHECKING:
    from lookalike.library import Library
    from lookalike.training.child import TrainingResult
    from lookalike.training.sources.dataset import Dataset, Example

DATASET_FILE = "dataset.jsonl"


def prepare(work: Path, read: Callable[[], Dataset], teller: Teller) -> Dataset:
    """The data set of a training; one that is gone on with keeps the data set that it began with.

    Args:
        work: folder in which it is kept.
        read: makes it of the source.
        teller: told what was left out.

    Raises:
        InvalidInput: nothing can be learnt from the source.
    """
    from lookalike.training.sources.dataset import Dataset

    kept = work / DATASET_FILE
    if kept.is_file():  # the collection may have changed since
        return Dataset.read(kept)
    dataset = read()
    dataset.write(kept)
    for note in dataset.notes:
        teller.say(note)
    teller.say(f"{len(dataset.examples)} pictures of {len(dataset.labels)} classes")
    return dataset


@dataclass(frozen=True, slots=True)
class Sides:
    """The pictures that a training held out, and those that it learnt."""

    validation: Sequence[Example]
    train: Sequence[Example]

    @classmethod
    def of(cls, dataset: Dataset, result: TrainingResult) -> Sides:
        """As the trainer divided them, in the data set's order."""

        def named(side: str) -> list[Example]:
            wanted = set(result.split[side])
            return [example for example in dataset.examples if example.id in wanted]

        return cls(named("validation"), named("train"))

    def vectors(self, library: Library, collection: str) -> ExampleVectors:
        """Their vectors by any encoder. Raises InvalidInput: one side is empty."""
        return ExampleVectors(library, collection, self.validation, self.train)


def draw_report(
    vectors: ExampleVectors, encoder_ids: Sequence[str], page: Path, settings: Settings, title: str
) -> str | None:
    """Write the evaluation report. It is an extra: a training does not fail for the lack of it.

    Returns:
        Why there is none; None: there is one.
    """
    from lookalike.training_jobs.report import write_report

    try:
        write_report(vectors, list(dict.fromkeys(encoder_ids)), page, settings, title=title)
    except (ImportError, InvalidInput) as error:
        return str(error)
    return None


def not_published(training: Training, comparison: Comparison | None) -> str | None:
    """Why an encoder is not to be published, so far as is known before all is encoded; None: it may be."""
    if training.publish == "never":
        return "not published, as asked" + (f"; {comparison.sentence}" if comparison else "")
    if training.publish == "if_better" and comparison and not comparison.is_better:
        return comparison.sentence
    return None


def publish_trained(
    library: Library, training: Training, encoder_id: str, judge: Judge | None, teller: Teller
) -> Publication:
    """`publish_encoder` for the encoder that a training made, with its progress and its cancellation."""
    return publish_encoder(
        library,
        training.collection,
        encoder_id,
        force=training.publish == "always",
        judge=judge,
        training=training.id,
        progress=lambda phase, done, total: teller.tell("publishing", phase, done, total),
        cancelled=teller.is_cancelled,
    )
