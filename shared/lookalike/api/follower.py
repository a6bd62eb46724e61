"""Who hears of what the API changes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Follower(Protocol):
    """Hears of changes that this process made, where no bucket reports them."""

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Objects of the images root were written or removed; return once that is searched, or it took
        longer than `wait_seconds`."""

    def collection_changed(self, name: str) -> None:
        """A collection was created, or its configuration changed."""

    def quiet(self, name: str) -> AbstractContextManager[None]:
        """While the block runs, nothing is published in a collection."""


class Silence:
    """The follower where events come from elsewhere."""

    def objects_changed(self, keys: Sequence[str], *, wait_seconds: float = 0.0) -> None:
        """Nothing to do."""

    def collection_changed(self, name: str) -> None:
        """Nothing to do."""

    def quiet(self, name: str) -> AbstractContextManager[None]:
        """Nothing to do."""
        return nullcontext()
