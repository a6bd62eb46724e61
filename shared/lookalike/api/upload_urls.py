"""URLs that a client may PUT a file to: presigned by S3, or with a token that this server signs.

The server's signing key is lost when the process ends. Clients then request new URLs, as for expired ones.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from lookalike.api.http.models import ResponseBody
from lookalike.errors import Forbidden

if TYPE_CHECKING:
    from lookalike.api.context import Context


class UploadResponse(ResponseBody):
    """The URL to PUT one file to."""

    id: str
    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str] = Field(description="Send these with the PUT.")
    expires_at: str


class UploadTokens:
    """Signs and checks tokens that allow writing one object of the images root until a given time."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secrets.token_bytes(32)
        self._clock = clock

    def sign(self, key: str, seconds: float) -> str:
        """A URL-safe token for the object `key`, valid for `seconds`."""
        payload = json.dumps([key, self._clock() + seconds]).encode()
        return f"{_encode(payload)}.{_encode(self._mac(payload))}"

    def verify(self, token: str) -> str:
        """The key of the object that `token` allows writing. Raises Forbidden."""
        payload_text, _, mac_text = token.partition(".")
        try:
            payload, mac = _decode(payload_text), _decode(mac_text)
        except ValueError:
            payload, mac = b"", b""
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise Forbidden("this server did not sign the upload URL", fix="Request a new one.")
        key, expires = json.loads(payload)
        if self._clock() > expires:
            raise Forbidden("the upload URL has expired", fix="Request a new one.")
        return str(key)

    def _mac(self, payload: bytes) -> bytes:
        return hmac.new(self._secret, payload, hashlib.sha256).digest()


def upload_url(context: Context, id_: str, key: str, content_type: str, base: str) -> UploadResponse:
    """A URL to PUT one file to.

    Args:
        context: the app's context.
        id_: what the response calls the upload.
        key: the object of the images root that the file becomes.
        content_type: of the file.
        base: the URL of this API.
    """
    images = context.library.images
    seconds = context.library.settings.url_seconds
    expires_at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    url = (
        images.sign("PUT", key, seconds)
        if images.can_sign
        else f"{base}/uploads/{context.upload_tokens.sign(key, seconds)}"
    )
    return UploadResponse(id=id_, url=url, headers={"Content-Type": content_type}, expires_at=expires_at)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
