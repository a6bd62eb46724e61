"""Trainings over HTTP: ask for one, watch it, cancel it; and go back to the encoder before."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lookalike.api.answers import UploadAnswer
from lookalike.api.schemas import TrainingBody
from lookalike.errors import LookalikeError
from lookalike.training_jobs import Training, Trainings, zip_key

if TYPE_CHECKING:
    from lookalike.api.service import Service
    from lookalike.api.uploads import UploadDesk
    from lookalike.publishing import Publication


class TrainingDesk:
    """Takes orders for trainings; `Service.trainer` carries them out."""

    def __init__(self, service: Service, uploads: UploadDesk) -> None:
        self._service = service
        self._uploads = uploads
        uploads.on_zip(self._zip_arrived)

    def ask(self, collection: str, body: TrainingBody, base: str) -> tuple[Training, UploadAnswer | None]:
        """Begin a training, or give a URL for the zip file with which it will begin.

        Args:
            collection: its name.
            body: what is wanted.
            base: the URL of this API.

        Raises:
            CollectionNotFound: there is no such collection.
            Conflict: another training has not ended, or none can be carried out here.
            StoreUnavailable: it could not be begun; ask again.
        """
        config = self._service.collections.get(collection)
        self._service.trainer.check()
        asked = Training(
            "",
            config.name,
            body.source,
            options=body.options().to_json(),
            label=body.label,
            publish=body.publish,
        )
        book = self._book(collection)
        if body.source == "collection":
            made = book.create(asked)
            self._begin(book, made)
            return made, None
        made = book.create(asked, upload_seconds=self._service.settings.url_seconds)
        return made, self._uploads.offer_zip(made.id, zip_key(collection, made.id), base)

    def _begin(self, book: Trainings, made: Training) -> None:
        """Begin a training; one that cannot be begun must not stand in the way of the next."""
        try:
            self._service.trainer.begin(made.collection, made.id)
        except LookalikeError as error:
            book.finish(made.id, "failed", reason=f"it could not be begun: {error}")
            raise

    def all(self, collection: str) -> list[Training]:
        """All trainings of a collection, the latest first."""
        return self._book(collection).all()

    def get(self, collection: str, training_id: str) -> Training:
        """One training. Raises TrainingNotFound."""
        return self._book(collection).get(training_id)

    def log(self, collection: str, training_id: str) -> list[dict[str, str]]:
        """What happened in it, line by line. Raises TrainingNotFound."""
        return self._book(collection).log(training_id)

    def report(self, collection: str, training_id: str) -> bytes:
        """Its evaluation, as HTML. Raises TrainingNotFound."""
        return self._book(collection).report(training_id)

    def cancel(self, collection: str, training_id: str) -> Training:
        """Ask for the end of a training; one that has ended stays as it is. Raises TrainingNotFound."""
        book = self._book(collection)
        if book.update(training_id, cancel_requested=True).is_active:
            self._service.trainer.cancel(collection, training_id)
        return book.get(training_id)

    def rollback(self, collection: str) -> Publication:
        """Let the encoder before the present one serve again.

        Raises:
            Conflict: there is none, or another change is under way.
        """
        from lookalike.library import Library
        from lookalike.publishing import rollback

        done = rollback(Library(self._service.settings, self._service.cache), collection)
        with suppress(LookalikeError):  # the next search tells; the change itself is made
            self._service.searcher(collection).refresh(force=True)
        self._service.follower.collection_changed(collection)
        return done

    def _zip_arrived(self, key: str) -> None:
        collection, _, name = key.split("/")
        training_id = name.removesuffix(".zip")
        training = self._book(collection).uploaded(training_id)
        if training.is_active:
            self._service.trainer.begin(collection, training_id)
        else:
            self._service.images.delete(key)

    def _book(self, collection: str) -> Trainings:
        return Trainings(self._service.artifacts, self._service.collections.get(collection).name)
