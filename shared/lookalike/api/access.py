"""Who may call an operation: a dependency for each scope."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from lookalike.api.keys import Keys
from lookalike.types import Scope


def presented_key(request: Request) -> str | None:
    """The API key that came with a request: `Authorization: Bearer …`, else `X-API-Key`."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("x-api-key")


class Requires:
    """Lets a request pass if the app has no keys at all, or its key has the scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        """Raises Unauthenticated or Forbidden."""
        keys: Keys | None = request.app.state.keys
        if keys is not None:
            # In a thread, because the keys may have to be read from the store again.
            await run_in_threadpool(keys.check, presented_key(request), self.scope)


Reader = Annotated[None, Depends(Requires("read"))]
Writer = Annotated[None, Depends(Requires("write"))]
