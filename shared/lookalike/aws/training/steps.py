"""The steps after a training job, each of which is safe to run twice, even after a kill.

A state machine (`infra/training_state_machine.py`) calls them through `lambdas/ingest/training_steps.py`.
The record has the progress; existing results are reused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lookalike.aws.training.artefact import Artefact
from lookalike.aws.training.failures import explain
from lookalike.aws.training.quota import WAITS, waiting_for
from lookalike.errors import NotFound, TrainingCancelled
from lookalike.layout import parse_key, zip_key
from lookalike.progress import TrainingProgress
from lookalike.publishing import Comparison, Encoding, Publication, compare_on_own_or_else
from lookalike.training_jobs.progress_sinks import RecordSink, finite
from lookalike.training_jobs.records import Status, Training, Trainings
from lookalike.training_jobs.workflow import publish_trained, reason_not_to_publish

if TYPE_CHECKING:
    from lookalike.library import Library


@dataclass(frozen=True, slots=True)
class Registered:
    """The result of registering an artefact.

    Attributes:
        encoder_id: of the encoder, now in the store.
        publish: whether it may be published.
        missing: items to encode with it; 0 if it is not to be published.
    """

    encoder_id: str
    publish: bool
    missing: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How a training ended: a sentence, and whether operators must act."""

    reason: str
    alarm: bool


class Pipeline:
    """The steps of one training.

    Args:
        library: of the store.
        collection: its name.
        training_id: of the training.
    """

    def __init__(self, library: Library, collection: str, training_id: str) -> None:
        self._library = library
        self._collection = collection
        self._id = training_id
        self._trainings = Trainings(library.artifacts, collection)
        self._sink = RecordSink(self._trainings, training_id)

    def register(self, artefact: Artefact) -> Registered:
        """Add the encoder to the store, record its metrics, and decide whether it may be published.

        Raises:
            TrainingNotFound: the collection was deleted.
            TrainingCancelled: it was cancelled, or has ended.
            Incompatible: the artefact is not that of a training.
        """
        training = self._active()
        self._sink.report(TrainingProgress("adding the encoder"))
        encoder_id = self._library.encoders.add(artefact.encoder).id
        comparison = self._valid(artefact.comparison, encoder_id)
        reason = reason_not_to_publish(training.publish, comparison)
        self._trainings.update(
            self._id,
            encoder_id=encoder_id,
            metrics=finite(artefact.metrics),
            notes=artefact.notes,
            comparison=comparison.to_json() if comparison else None,
            has_report=self._keep_report(artefact),
            published=None if reason is None else False,
            reason=reason,
        )
        if reason is not None:
            return Registered(encoder_id, False, 0)
        missing = len(Encoding(self._library, self._collection, encoder_id).missing())
        self._sink.report(TrainingProgress("encoding", 0, missing), "publishing")
        return Registered(encoder_id, True, missing)

    def encode(self, encoder_id: str, keys: Sequence[str]) -> int:
        """Encode some objects of the images root with an encoder that is to be published.

        Returns:
            How many were not encoded before.

        Raises:
            TrainingCancelled: as `register`.
            StoreUnavailable: a retry may succeed.
        """
        self._active()
        places = [parse_key(self._collection, key) for key in keys]
        ids = [place.name for place in places if place and place.kind == "image"]
        return Encoding(self._library, self._collection, encoder_id).encode(ids) if ids else 0

    def publish(self, encoder_id: str) -> Publication:
        """Encode new items, build a snapshot, and publish the encoder if it is better.

        A comparison on the collection's own items decides, or that of the training if there are too few.

        Raises:
            TrainingCancelled, EncodingCancelled: as `register`.
            InvalidInput: the encoders cannot be compared.
            StoreUnavailable, Conflict: a retry may succeed.
        """
        training = self._active()

        def judge(old: str, new: str) -> Comparison:
            def known() -> Comparison | None:
                found = Comparison.from_json(training.comparison) if training.comparison else None
                same = found and (found.old.encoder_id, found.new.encoder_id) == (old, new)
                return found if same else None

            return compare_on_own_or_else(self._library, self._collection, old, new, known)

        done = publish_trained(
            self._library,
            self._collection,
            encoder_id,
            self._sink,
            judge,
            publish=training.publish,
            training_id=self._id,
        )
        numbers = done.comparison.to_json() if done.comparison else training.comparison
        self._trainings.update(self._id, published=done.published, reason=done.reason, comparison=numbers)
        return done

    def await_quota(self, cause: str, waits: int) -> bool:
        """Record that the training waits for a quota of SageMaker. Returns whether to try again.

        Args:
            cause: the message of SageMaker.
            waits: how often it waited before.

        Raises:
            TrainingNotFound: the collection was deleted.
        """
        if waits >= WAITS:
            return False
        training = self._trainings.update(self._id, phase=waiting_for(cause))
        if waits == 0 and training.is_active:
            self._sink.log(waiting_for(cause))
        return training.is_active

    def conclude(self, failed: Mapping[str, Mapping[str, Any]]) -> Conclusion:
        """End the record, and remove the zip file. A training that has ended is not changed.

        Args:
            failed: error name and cause of the step that failed, by its name; empty if none did.
        """
        try:
            conclusion = self._end(failed)
        except NotFound:
            conclusion = Conclusion("the collection was deleted meanwhile", alarm=False)
        self._library.images.delete(zip_key(self._collection, self._id))
        return conclusion

    def _end(self, failed: Mapping[str, Mapping[str, Any]]) -> Conclusion:
        training = self._trainings.get(self._id)
        status: Status = "succeeded"
        conclusion = Conclusion(training.reason or "", alarm=False)
        for step, caught in failed.items():
            failure = explain(step, str(caught.get("Error")), str(caught.get("Cause")))
            status = "cancelled" if failure.cancelled else "failed"
            conclusion = Conclusion(failure.sentence, failure.alarm)
        if training.is_active:
            published = bool(training.published) if status == "succeeded" else training.published
            self._trainings.finish(self._id, status, published=published, reason=conclusion.reason)
            self._sink.log(f"ended: {conclusion.reason}")
        return conclusion

    def _active(self) -> Training:
        training = self._trainings.get(self._id)
        if training.cancel_requested or not training.is_active:
            raise TrainingCancelled("the training was cancelled, or has ended", got=training.status)
        return training

    def _valid(self, comparison: Comparison | None, encoder_id: str) -> Comparison | None:
        """The comparison, if it is with the encoder in use today."""
        serving = self._library.collections.get(self._collection).encoder_id
        ids = (comparison.old.encoder_id, comparison.new.encoder_id) if comparison else None
        return comparison if ids == (serving, encoder_id) else None

    def _keep_report(self, artefact: Artefact) -> bool:
        page = artefact.report
        if page is not None:
            self._trainings.put_report(self._id, page)
        return page is not None
