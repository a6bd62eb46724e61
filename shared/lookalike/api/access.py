"""Who may call an operation: what decides it, and a dependency for each scope.

```
Access                  the app asks it before each operation
├── LoopbackAccess      everybody on this machine, and nobody else
├── KeyAccess           whoever has an API key with the scope
└── GatewayAccess       whom API Gateway let in: it checked a JWT, or a signature of IAM
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
"""Where Mangum puts what API Gateway sent, in an ASGI scope."""
_OUR_SCOPE = re.compile(r"(?:(?:.*[/:.])?lookalike[/:.])?(read|write)")
_LIST_MARKS = str.maketrans("[],", "   ")


class Access(Protocol):
    """Decides who may call an operation."""

    loopback_only: bool
    """Whether requests under other names than this machine's own are refused, whatever they ask for."""
    schemes: Mapping[str, Mapping[str, Any]]
    """How callers show who they are, as OpenAPI security schemes; none: they need not."""

    async def check(self, request: Request, scope: Scope) -> None:
        """Raises Unauthenticated or Forbidden."""


class LoopbackAccess:
    """Lets everybody in who reaches the server under one of this machine's own names."""

    loopback_only = True
    schemes: Mapping[str, Mapping[str, Any]] = {}

    async def check(self, request: Request, scope: Scope) -> None:
        """Everything is allowed."""


class KeyAccess:
    """Lets a request pass if its API key has the scope."""

    loopback_only = False
    schemes: Mapping[str, Mapping[str, Any]] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    }

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    async def check(self, request: Request, scope: Scope) -> None:
        """Look the key up."""
        # In a thread, because the keys may have to be read from the store again.
        await run_in_threadpool(self.keys.check, presented_key(request), scope)


class GatewayAccess:
    """Lets a request pass that API Gateway let in, and says so.

    With JWT, the token's scopes must name ours: `read`, or `lookalike/read` with anything before it; likewise
    `write`. With IAM, policies name the methods and paths that a caller may use, and the gateway has held
    them against the request already. A request about which the gateway says nothing did not pass its
    authorizer, and is refused.
    """

    loopback_only = False

    def __init__(self, kind: Literal["jwt", "iam"]) -> None:
        self._kind = kind
        self.schemes: Mapping[str, Mapping[str, Any]] = _GATEWAY_SCHEMES[kind]

    async def check(self, request: Request, scope: Scope) -> None:
        """Read what the gateway says of the caller."""
        event = request.scope.get(EVENT) or {}
        said = ((event.get("requestContext") or {}).get("authorizer") or {}).get(self._kind)
        if not said:
            raise Unauthenticated(
                "API Gateway did not say who is calling",
                expected=f"an {self._kind.upper()} authorizer on this route",
            )
        if self._kind == "jwt" and scope not in (held := scopes_of(said)):
            raise Forbidden(
                "the token may not do this", got=f"scopes {', '.join(sorted(held)) or 'none'}", expected=scope
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


def scopes_of(said: Mapping[str, Any]) -> set[str]:
    """Our scopes in what a JWT authorizer says: its `scopes`, or the claims `scope` or `scp` of the token.

    The gateway writes a claim that is a list as `[one two]`.
    """
    claims = said.get("claims") or {}
    named = [str(claims.get(name) or "") for name in ("scope", "scp")]
    words = " ".join([*(said.get("scopes") or ()), *named]).translate(_LIST_MARKS).split()
    return {match[1] for word in words if (match := _OUR_SCOPE.fullmatch(word))}


def presented_key(request: Request) -> str | None:
    """The API key that came with a request: `Authorization: Bearer …`, else `X-API-Key`."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("x-api-key")


class Requires:
    """Lets a request pass if the app's access grants it the scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> None:
        """Raises Unauthenticated or Forbidden."""
        access: Access = request.app.state.access
        await access.check(request, self.scope)


Reader = Annotated[None, Depends(Requires("read"))]
Writer = Annotated[None, Depends(Requires("write"))]
