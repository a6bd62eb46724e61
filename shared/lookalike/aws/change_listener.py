"""Notifies the builder on AWS of changes that the API makes. The bucket itself reports changed objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from lookalike.aws.build_queue import BuildQueue
from lookalike.collection_config import Collections
from lookalike.storage import Store


class BuildRequester:
    """Requests builds of collections whose configuration changed."""

    def __init__(self, queue_url: str, artifacts: Store) -> None:
        self._queue = BuildQueue(queue_url)
        self._collections = Collections(artifacts)

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Do nothing: the bucket sends a notification."""

    def collection_changed(self, name: str) -> None:
        """Request a check by the builder. Raises StoreUnavailable."""
        self._queue.request_check(self._collections.get(name))

    def paused(self, name: str) -> AbstractContextManager[None]:
        """Do nothing: a build that ends after the deletion finds no collection, and publishes nothing."""
        return nullcontext()
