"""Common setup of benchmarks: photos, a store with the default encoder, an app to call."""

from __future__ import annotations

import io
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lookalike.default_encoder import default_encoder
from lookalike.encoders import EncoderManifest
from lookalike.library import Library
from lookalike.settings import Settings, cache_folder

DATA = Path(os.environ.get("LOOKALIKE_DATA", "../shared/data"))
SIDE = 640
SYNTHETIC_PHOTOS = 64
CLOTHING = DATA / "clothing"

Application = Callable[..., Awaitable[None]]


def photos(scratch: Path) -> list[Path]:
    """Photos of the clothing set, or as many drawn ones as int8 calibration takes, made in `scratch`."""
    found = sorted(path for path in CLOTHING.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if found:
        return found
    print(f"no photos at {CLOTHING} (LOOKALIKE_DATA): using drawn ones", flush=True)
    scratch.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(SYNTHETIC_PHOTOS):
        blurred = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize((SIDE, SIDE))
        blurred.save(scratch / f"{number:02}.jpg", quality=90)
    return sorted(scratch.glob("*.jpg"))


def query_jpeg(photo: Path) -> bytes:
    """A photo as a query of the size that the web page sends: a JPEG, 640 px square."""
    target = io.BytesIO()
    with Image.open(photo) as opened:
        ImageOps.fit(opened.convert("RGB"), (SIDE, SIDE)).save(target, "JPEG", quality=88)
    return target.getvalue()


def add_default_encoder(settings: Settings, pictures: list[Path]) -> EncoderManifest:
    """Build the default encoder, calibrated on `pictures`, into the store."""
    return default_encoder(Library(settings, cache_folder(os.environ)), images=pictures)


async def post(app: Application, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
    """One POST to an ASGI app, without a network and without a client's own costs: status and body."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    status = 0
    answer = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        answer.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, bytes(answer)


def multipart(data: bytes) -> tuple[bytes, str]:
    """A form with one file, and its content type."""
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="query.jpg"\r\n\r\n'
    return head + data + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"
