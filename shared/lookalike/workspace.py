"""Gone with the next merge: modules that still say `Workspace` get a `Library`."""

from __future__ import annotations

import os

from lookalike.library import Library
from lookalike.settings import Settings, cache_folder


class Workspace(Library):
    """See `Library`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, cache_folder(os.environ))

    @classmethod
    def at(cls, store: str | None) -> Workspace:
        """See `Library.open`."""
        return cls(Settings.from_env(os.environ, store=store))
