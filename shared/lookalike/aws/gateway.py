"""The app behind an HTTP API of API Gateway: Mangum, and fixes for what it does not handle.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
(payload format 2.0).
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from mangum import Mangum
from mangum.types import ASGI

from lookalike.api.http.envelope import REQUEST_ID

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
"""Largest request and response of one Lambda call, as JSON."""
MAX_PICTURE_BYTES = 4_500_000
"""Largest image that fits into a request: base64 turns three bytes into four, and headers take space too."""
ROOM_BYTES = 16 * 1024
TEXT_TYPES = ["text/", "application/json", "application/problem+json"]
REQUEST_ID_HEADER = "x-request-id"


class Gateway:
    """Answers the requests that API Gateway passes on."""

    def __init__(self, app: ASGI) -> None:
        self._adapter = Mangum(app, lifespan="off", text_mime_types=TEXT_TYPES)

    def answer(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """The response for API Gateway to send."""
        answer: dict[str, Any] = self._adapter(_settled(event), context)
        if _size(answer) > MAX_PAYLOAD_BYTES - ROOM_BYTES:
            return _too_large(event, answer)
        return answer


def request_id(event: dict[str, Any]) -> str:
    """The request id in responses and logs: the caller's, else API Gateway's."""
    given = {name.lower(): value for name, value in event.get("headers", {}).items()}.get(
        REQUEST_ID_HEADER, ""
    )
    return given if REQUEST_ID.fullmatch(given) else str(event["requestContext"]["requestId"])


def _settled(event: dict[str, Any]) -> dict[str, Any]:
    """The event, changed so that Mangum reads it correctly."""
    about = event["requestContext"]
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    # An HTTP API passes the path decoded, and Mangum decodes it again: `100%25` would arrive as `100%`.
    http = about["http"] | {"path": quote(about["http"]["path"])}
    headers[REQUEST_ID_HEADER] = request_id(event)
    return event | {"headers": headers, "requestContext": about | {"http": http}}


def _size(answer: dict[str, Any]) -> int:
    """Size of the response as Lambda passes it on: a JSON string with escaped quotes."""
    body = answer.get("body", "")
    return len(json.dumps(body)) if len(body) > MAX_PAYLOAD_BYTES // 6 - ROOM_BYTES else len(body)


def _too_large(event: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The response is too large: Lambda would drop it, and the caller would see a server error."""
    document = {
        "type": "urn:lookalike:problem:answer-too-large",
        "title": "The response is too large",
        "status": 413,
        "detail": f"the response is too large for API Gateway; expected at most {MAX_PAYLOAD_BYTES} bytes",
        "instance": event["rawPath"][:1_000],
        "request_id": request_id(event),
        "fix": "Use a smaller `limit`.",
    }
    headers = {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
        REQUEST_ID_HEADER: request_id(event),
    }
    body = json.dumps(document)
    return {"statusCode": 413, "headers": headers, "body": body, "isBase64Encoded": False}
