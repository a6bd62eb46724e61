"""The local server: the API over a folder, with ingest, watcher and builder in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.local.server import LocalServer, serve

__all__ = ["LocalServer", "serve"]


def __getattr__(name: str) -> Any:
    # On first use, so that the builder's process does not import a web server.
    if name in __all__:
        from lookalike.local import server

        return getattr(server, name)
    raise AttributeError(name)
