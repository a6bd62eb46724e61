"""The app behind an HTTP API of API Gateway: Mangum, and what it leaves to be settled.

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
"""What Lambda takes and gives in one call, as JSON."""
MAX_PICTURE_BYTES = 4_500_000
"""Of an image that still gets through: base64 makes four bytes of three, and headers come beside it."""
ROOM_BYTES = 16 * 1024
TEXT_TYPES = ["text/", "application/json", "application/problem+json"]
REQUEST_ID_HEADER = "x-request-id"


class Gateway:
    """Answers the requests that API Gateway hands over."""

    def __init__(self, app: ASGI) -> None:
        self._adapter = Mangum(app, lifespan="off", text_mime_types=TEXT_TYPES)

    def answer(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """What API Gateway is to send back."""
        answer: dict[str, Any] = self._adapter(_settled(event), context)
        if _size(answer) > MAX_PAYLOAD_BYTES - ROOM_BYTES:
            return _too_large(event, answer)
        return answer


def request_id(event: dict[str, Any]) -> str:
    """What the request is called in answers and logs: as its caller says, else as API Gateway does."""
    given = {name.lower(): value for name, value in event.get("headers", {}).items()}.get(
        REQUEST_ID_HEADER, ""
    )
    return given if REQUEST_ID.fullmatch(given) else str(event["requestContext"]["requestId"])


def _settled(event: dict[str, Any]) -> dict[str, Any]:
    """The event as Mangum reads it rightly."""
    about = event["requestContext"]
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    # An HTTP API hands over the path decoded, and Mangum decodes it: `100%25` would arrive as `100%`.
    http = about["http"] | {"path": quote(about["http"]["path"])}
    headers[REQUEST_ID_HEADER] = request_id(event)
    return event | {"headers": headers, "requestContext": about | {"http": http}}


def _size(answer: dict[str, Any]) -> int:
    """Of the answer as Lambda passes it on: as a string in JSON, in which quotes are escaped."""
    body = answer.get("body", "")
    return len(json.dumps(body)) if len(body) > MAX_PAYLOAD_BYTES // 6 - ROOM_BYTES else len(body)


def _too_large(event: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Lambda would drop the answer, and the caller would see a failure of the server."""
    document = {
        "type": "urn:lookalike:problem:answer-too-large",
        "title": "The answer is too large",
        "status": 413,
        "detail": f"the answer is too large for API Gateway; expected at most {MAX_PAYLOAD_BYTES} bytes",
        "instance": event["rawPath"][:1_000],
        "request_id": request_id(event),
        "fix": "Ask for less at once: a smaller `limit`.",
    }
    headers = {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
        REQUEST_ID_HEADER: request_id(event),
    }
    body = json.dumps(document)
    return {"statusCode": 413, "headers": headers, "body": body, "isBase64Encoded": False}
