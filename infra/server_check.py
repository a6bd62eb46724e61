"""Runs the server's image as an operator does: first start, search, `kill -9`, start again."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from infra.container_builder import Builder, MissingTool

ADDRESS = "http://127.0.0.1:8000"
USER = 10001
IMAGES = 60
PATIENCE_SECONDS = 90.0
KEY = re.compile(r"API key, shown only now: (\S+)")


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """Seconds from the start of the process to the first answer: of an empty store, and of an indexed one."""

    first_seconds: float
    indexed_seconds: float


def check_server(tool: Builder, image: str) -> ServerCheck:
    """Start the server twice on one store, with `kill -9` in between.

    Raises:
        MissingTool: it does not start, does not find what was uploaded, or lost something.
    """
    with tempfile.TemporaryDirectory(prefix="lookalike-server-") as scratch:
        store = Path(scratch) / "store"
        store.mkdir()
        Path(scratch).chmod(0o711)
        shutil.chown(store, USER, USER)
        with _running(tool, image, store) as (seconds, output):
            key = KEY.search(output())
            if key is None:
                raise MissingTool(f"the server printed no key on its first start:\n{output()}")
            if not _fill(key.group(1)):
                raise MissingTool(f"the server did not find what was uploaded:\n{output()[-4000:]}")
        with _running(tool, image, store) as (again, output):
            if KEY.search(output()):
                raise MissingTool("the server printed a key again")
            found = _call("POST", "/collections/shop/search", key.group(1), {"id": "7.jpg", "limit": IMAGES})
            if len(found["results"]) != IMAGES - 1:
                raise MissingTool(f"{IMAGES - 1} items expected after a kill, got {len(found['results'])}")
    return ServerCheck(seconds, again)


def _fill(key: str) -> bool:
    """Upload images; returns whether all were found in time."""
    _call("PUT", "/collections/shop", key, {})
    names = [f"{number}.jpg" for number in range(IMAGES)]
    offers = _call("POST", "/collections/shop/uploads", key, [{"name": name} for name in names])["uploads"]
    for number, offer in enumerate(offers):
        request = urllib.request.Request(  # noqa: S310  # loopback
            offer["url"], data=_photo(number), headers=offer["headers"], method="PUT"
        )
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(OSError):
            found = _call("POST", "/collections/shop/search", key, {"id": "7.jpg", "limit": IMAGES})
            if len(found["results"]) == IMAGES - 1:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


@contextmanager
def _running(tool: Builder, image: str, store: Path) -> Iterator[tuple[float, Any]]:
    """A running server: the seconds until it answered, and what it has printed. It is killed at the end."""
    with tempfile.TemporaryFile("w+") as log:

        def output() -> str:
            log.seek(0)
            return log.read()

        if _answers():
            raise MissingTool(f"another server answers at {ADDRESS}: stop it first")
        started = time.monotonic()
        command = tool.server_command(image, store)
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        try:
            while not _answers():
                if process.poll() is not None or time.monotonic() - started > PATIENCE_SECONDS:
                    raise MissingTool(f"the server does not start in its image:\n{output()[-4000:]}")
                time.sleep(0.02)
            yield time.monotonic() - started, output
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers() -> bool:
    try:
        urllib.request.urlopen(f"{ADDRESS}/health", timeout=2).close()  # noqa: S310  # loopback
    except OSError:
        return False
    return True


def _call(method: str, path: str, key: str, body: Any) -> Any:
    request = urllib.request.Request(  # noqa: S310  # loopback
        ADDRESS + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.loads(answer.read() or b"null")


def _photo(seed: int) -> bytes:
    target = io.BytesIO()
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(blocks).resize((320, 320), Image.Resampling.BICUBIC).save(target, "JPEG")
    return target.getvalue()
