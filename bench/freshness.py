"""From the end of an upload to its being found: `python -m bench.freshness [--uploads 100]`.

A real server process on loopback, with the default encoder: ask for a URL, PUT a photo to it, then search by
its id, again and again, until it is found. Time counts from the moment the PUT was answered.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from bench.stage import add_default_encoder, photos
from lookalike.settings import Settings

NAME = "fresh"
TARGET_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.02


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(client: httpx.Client) -> None:
    """Until the server answers."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            client.get("/health").raise_for_status()
            return
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def upload(client: httpx.Client, photo: Path, number: int) -> float:
    """Seconds from the end of one upload to a search that finds it."""
    wanted = {"name": f"new/{number:04}{photo.suffix}", "content_type": "image/jpeg"}
    answer = client.post(f"/collections/{NAME}/uploads", json=[wanted])
    answer.raise_for_status()
    ticket = answer.json()["uploads"][0]
    client.put(ticket["url"], content=photo.read_bytes(), headers=ticket.get("headers")).raise_for_status()
    ended = time.perf_counter()
    query = {"id": ticket["id"], "include_self": True, "limit": 1}
    while time.perf_counter() - ended < PATIENCE_SECONDS:
        found = client.post(f"/collections/{NAME}/search", json=query)
        if found.status_code == 200 and found.json()["results"][0]["id"] == ticket["id"]:
            return time.perf_counter() - ended
        time.sleep(PAUSE_SECONDS)
    raise TimeoutError(f"{ticket['id']} was not found within {PATIENCE_SECONDS} s")


def main(argv: list[str] | None = None) -> int:
    """Upload photos one after another and print the percentiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=100)
    uploads: int = parser.parse_args(argv).uploads
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(store=str(Path(folder) / "store"))
        found = photos(Path(folder) / "photos")
        add_default_encoder(settings, found)
        port = free_port()
        command = [sys.executable, "-m", "lookalike.cli", "serve", "--port", str(port)]
        server = subprocess.Popen(
            [*command, "--store", settings.store], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
                wait_for(client)
                client.put(f"/collections/{NAME}", json={}).raise_for_status()
                took = [upload(client, found[n * 7 % len(found)], n) for n in range(uploads)]
        finally:
            server.terminate()
            server.wait(PATIENCE_SECONDS)
    print(f"{uploads} uploads, seconds from the end of the PUT to being found")
    for name, share in (("median", 50), ("95th percentile", 95), ("slowest", 100)):
        print(f"{name:16} {np.percentile(took, share):.2f}")
    print(f"target: ≤ {TARGET_SECONDS:.0f} s at the 95th percentile")
    return 0


if __name__ == "__main__":
    sys.exit(main())
