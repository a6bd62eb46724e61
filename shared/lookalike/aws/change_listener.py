"""Who hears on AWS of what the API changes: the builder. Of objects the bucket reports by itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from lookalike.aws.build_queue import BuildQueue
from lookalike.collection_config import Collections
from lookalike.storage import Store


class BuildRequester:
    """Asks for builds of collections that were configured otherwise."""

    def __init__(self, queue_url: str, artifacts: Store) -> None:
        self._queue = BuildQueue(queue_url)
        self._collections = Collections(artifacts)

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """The bucket's notification follows."""

    def collection_changed(self, name: str) -> None:
        """Let the builder look. Raises StoreUnavailable."""
        self._queue.request_check(self._collections.get(name))

    def paused(self, name: str) -> AbstractContextManager[None]:
        """A build that ends after the deletion finds no collection, and publishes nothing."""
        return nullcontext()
