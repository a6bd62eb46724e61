"""Access control: who may call an operation, and a dependency for each scope.

```
Access                  the app checks it before each operation
├── LoopbackAccess      allows all requests to this machine's own names
├── KeyAccess           requires an API key with the scope
└── GatewayAccess       requires that API Gateway has checked a JWT or an IAM signature
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from lookalike.api.keys import Keys
from lookalike.errors import Forbidden, Unauthenticated
from lookalike.types import Scope

EVENT = "aws.event"
"""Where Mangum stores the event of API Gateway in an ASGI scope."""
_OUR_SCOPE = re.compile(r"(?:(?:.*[/:.])?lookalike[/:.])?(read|write)")
_LIST_MARKS = str.maketrans("[],", "   ")


class Access(Protocol):
    """Decides who may call an operation."""

    loopback_only: bool
    """Whether requests are rejected unless they use one of this machine's own names."""
    schemes: Mapping[str, Mapping[str, Any]]
    """How callers authenticate, as OpenAPI security schemes; empty: no authentication."""

    async def check(self, request: Request, scope: Scope) -> None:
        """Raises Unauthenticated or Forbidden."""


class LoopbackAccess:
    """Allows all requests that use one of this machine's own names."""

    loopback_only = True
    schemes: Mapping[str, Mapping[str, Any]] = {}

    async def check(self, request: Request, scope: Scope) -> None:
        """Allow everything."""


class KeyAccess:
    """Allows a request if its API key has the scope."""

    loopback_only = False
    schemes: Mapping[str, Mapping[str, Any]] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    }

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    async def check(self, request: Request, scope: Scope) -> None:
        """Look up the key."""
        # In a thread, because this may read the keys from the store again.
        collection = request.path_params.get("collection")
        await run_in_threadpool(self.keys.check, presented_key(request), scope, collection=collection)


class GatewayAccess:
    """Allows a request that the authorizer of API Gateway has accepted.

    With JWT, the token must have our scope: `read`, or `lookalike/read` with any prefix; likewise `write`.
    With IAM, policies name the methods and paths that a caller may use, and the gateway has already checked
    them. A request without authorizer data did not pass the authorizer and is rejected.
    """

    loopback_only = False

    def __init__(self, kind: Literal["jwt", "iam"]) -> None:
        self._kind = kind
        self.schemes: Mapping[str, Mapping[str, Any]] = _GATEWAY_SCHEMES[kind]

    async def check(self, request: Request, scope: Scope) -> None:
        """Check the authorizer data of the gateway."""
        event = request.scope.get(EVENT) or {}
        authorizer = ((event.get("requestContext") or {}).get("authorizer") or {}).get(self._kind)
        if not authorizer:
            raise Unauthenticated(
                "API Gateway did not authenticate the caller",
                expected=f"an {self._kind.upper()} authorizer on this route",
            )
        if self._kind == "jwt" and scope not in (held := scopes_of(authorizer)):
            raise Forbidden(
                "the token lacks the scope", got=f"scopes {', '.join(sorted(held)) or 'none'}", expected=scope
            )


_GATEWAY_SCHEMES: dict[str, Mapping[str, Mapping[str, Any]]] = {
    "jwt": {"jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    "iam": {
        "iam": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "AWS Signature Version 4.",
            "x-amazon-apigateway-authtype": "awsSigv4",
        }
    },
}


def scopes_of(authorizer: Mapping[str, Any]) -> set[str]:
    """Our scopes in the data of a JWT authorizer: its `scopes`, or the token's claims `scope` or `scp`.

    The gateway writes a claim that is a list as `[one two]`.
    """
    claims = authorizer.get("claims") or {}
    named = [str(claims.get(name) or "") for name in ("scope", "scp")]
    words = " ".join([*(authorizer.get("scopes") or ()), *named]).translate(_LIST_MARKS).split()
    return {match[1] for word in words if (match := _OUR_SCOPE.fullmatch(word))}


def presented_key(request: Request) -> str | None:
    """The API key of a request: `Authorization: Bearer …`, else `X-API-Key`."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("x-api-key")


class Requires:
    """Dependency that allows a request if the app's access control grants it the scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        """Raises Unauthenticated or Forbidden."""
        access: Access = request.app.state.access
        await access.check(request, self.scope)


Reader = Annotated[None, Depends(Requires("read"))]
Writer = Annotated[None, Depends(Requires("write"))]
