"""Time from process start to the first response: `python -m bench.coldstart [--runs 7]`.

A fresh process each time: interpreter, imports, app, the collection's snapshot, the encoder, one search by
the bytes of a 640-px JPEG through the app, its answer in JSON. The collection is the clothing photos, indexed
as a user would; without them, as many synthetic vectors. The files are warm in the page cache, as on a
machine that has just unpacked them. Resident memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAME = "clothing"
SYNTHETIC_ITEMS = 3_409
FOREIGN = ("tensorflow", "lance", "torch", "typer", "rich", "pandas", "boto3")
TARGET_SECONDS, TARGET_MEGABYTES = 1.2, 350
STEPS = ("interpreter", "import", "app", "answer", "total")


def child(photo: Path) -> None:
    """The measured process; prints the time of each step as JSON."""
    entered = time.time()
    import asyncio
    import resource

    from lookalike.api.http.access import LoopbackAccess
    from lookalike.api.http.app import create_app
    from lookalike.library import Library
    from lookalike.settings import Settings

    imported = time.time()
    settings = Settings.from_env(os.environ, threads=1)
    library = Library(settings, photo.parent / "cache")
    app = create_app(library, access=LoopbackAccess())
    made = time.time()
    messages = []

    async def ask() -> None:
        form = b'--b\r\nContent-Disposition: form-data; name="image"; filename="q.jpg"\r\n\r\n'
        body = form + photo.read_bytes() + b"\r\n--b--\r\n"
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": f"/collections/{NAME}/search",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=b")],
        }

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, object]) -> None:
            messages.append(message)

        await app(scope, receive, send)  # type: ignore[arg-type]  # a plain dictionary is a message

    asyncio.run(ask())
    answered = time.time()
    answer = json.loads(b"".join(message.get("body", b"") for message in messages))  # type: ignore[misc]
    assert messages[0]["status"] == 200, answer
    print(
        json.dumps(
            {
                "times": [entered, imported, made, answered],
                "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "foreign": [name for name in FOREIGN if name in sys.modules],
                "results": len(answer["results"]),
            }
        )
    )


def stage(scratch: Path) -> tuple[str, Path]:
    """A store with the collection, and a query. Imported late: the child must not see any of it."""
    from bench.growth import put
    from bench.stage import CLOTHING, add_default_encoder, photos, query_jpeg
    from bench.vectors import embedding_like
    from lookalike.catalogue import Catalogue
    from lookalike.collection_config import CollectionConfig, Collections
    from lookalike.settings import Settings
    from lookalike.snapshots import build_snapshot
    from lookalike.storage import Store

    settings = Settings(store=str(scratch / "store"))
    found = photos(scratch / "photos")
    manifest = add_default_encoder(settings, found)
    query = scratch / "query.jpg"
    query.write_bytes(query_jpeg(found[0]))
    if CLOTHING.is_dir():
        command = [sys.executable, "-m", "lookalike.cli", "index", str(CLOTHING), "--collection", NAME]
        subprocess.run([*command, "--store", settings.store, "--json"], check=True, capture_output=True)
        return settings.store, query
    artifacts = Store.artifacts(settings)
    config = CollectionConfig(NAME, manifest.id)
    Collections(artifacts).create(config)
    catalogue = Catalogue(artifacts, NAME, manifest.id, manifest.dimension)
    put(catalogue, 0, embedding_like(SYNTHETIC_ITEMS, manifest.dimension))
    build_snapshot(artifacts, config, catalogue, work_dir=scratch / "work")
    return settings.store, query


def measure(store: str, query: Path) -> dict[str, float]:
    """One fresh process: seconds of each step, megabytes."""
    started = time.time()
    ran = subprocess.run(
        [sys.executable, "-m", "bench.coldstart", "--child", str(query)],
        env={**os.environ, "LOOKALIKE_STORE": store},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(ran.stdout)
    assert not found["foreign"], f"a query process must not import {found['foreign']}"
    assert found["results"] == 10, found
    entered, imported, made, answered = found["times"]
    spans = (entered - started, imported - entered, made - imported, answered - made, answered - started)
    return dict(zip(STEPS, spans, strict=True)) | {"megabytes": found["megabytes"]}


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        child(options.child)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        store, query = stage(Path(folder))
        measure(store, query)  # fills the page cache
        runs = [measure(store, query) for _ in range(options.runs)]
    print(f"{'step':12} {'median':>8} {'worst':>8}")
    for step in STEPS:
        took = [run[step] for run in runs]
        print(f"{step:12} {statistics.median(took):7.2f}s {max(took):7.2f}s")
    megabytes = statistics.median(run["megabytes"] for run in runs)
    print(f"{'memory':12} {megabytes:6.0f}MB")
    print(f"\nnot imported: {', '.join(FOREIGN)}")
    print(f"targets: ≤ {TARGET_SECONDS} s, ≤ {TARGET_MEGABYTES} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
