"""Time from the end of an upload until a search finds it: `python -m bench.freshness [--uploads 100]`.

`lookalike serve` in a separate process, over a fresh store with the real default encoder. For each photo:
request a URL, PUT it, and search by its id every few milliseconds until a search finds it. First one upload
after the other, then four clients at once, as fast as they can. The first snapshots are built during the run,
as in use.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from bench.stage import add_default_encoder, photos, query_jpeg
from lookalike.settings import Settings

NAME = "fresh"
CLIENTS = 4
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 60.0
TARGET_SECONDS = 2.0
SERVE = (
    "import os; from lookalike.local import serve; from lookalike.settings import Settings; "
    "serve(Settings.from_env(os.environ), port=0, announce=lambda url: print(url, flush=True))"
)


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The URL of a server that runs while the block does."""
    environment = {**os.environ, **settings.to_env()}
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
            server.wait()


def upload(client: httpx.Client, name: str, data: bytes) -> float:
    """Seconds from the end of one PUT until a search finds it."""
    response = client.post(f"/collections/{NAME}/uploads", json=[{"name": name}])
    offer = response.raise_for_status().json()["uploads"][0]
    client.put(offer["url"], content=data, headers=offer["headers"]).raise_for_status()
    ended = time.perf_counter()
    search = {"id": name, "include_self": True, "limit": 1}
    while time.perf_counter() - ended < PATIENCE_SECONDS:
        answer = client.post(f"/collections/{NAME}/search", json=search)
        if answer.status_code == 200 and answer.json()["results"]:
            return time.perf_counter() - ended
        assert answer.status_code in {404, 503}, answer.text
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"{name} was not found within {PATIENCE_SECONDS} s")


def print_row(title: str, took: list[float]) -> None:
    """One row of the table."""
    low, high = np.percentile(took, [50, 95])
    print(f"{title:18} {len(took):7} {low:8.2f}s {high:8.2f}s {max(took):8.2f}s", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Print the percentiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=100)
    count: int = parser.parse_args(argv).uploads
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        settings = Settings(store=str(scratch / "store"))
        found = photos(scratch / "photos")
        add_default_encoder(settings, found)
        pictures = [query_jpeg(found[number * len(found) // count]) for number in range(count)]
        with served(settings) as url, httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client:
            client.put(f"/collections/{NAME}", json={}).raise_for_status()
            print(f"{'uploads':18} {'number':>7} {'median':>9} {'p95':>9} {'worst':>9}")
            one = [upload(client, f"one/{n}.jpg", data) for n, data in enumerate(pictures)]
            print_row("one by one", one)
            with ThreadPoolExecutor(CLIENTS) as clients:
                names = [f"many/{number}.jpg" for number in range(count)]
                many = list(
                    clients.map(lambda pair: upload(client, *pair), zip(names, pictures, strict=True))
                )
            print_row(f"{CLIENTS} clients at once", many)
    print(f"\ntarget: ≤ {TARGET_SECONDS:.0f} s at the 95th percentile")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
