"""The cloud path in seconds: `python -m bench.cloud [latency|cold] [--uploads 100] [--runs 7]`.

A deployment on this machine, made from the synthesised templates (see `tests/aws_emulator`): functions run
under awslambdaric in separate processes, and a moto server imitates AWS. Photos are those of the
clothing set, or drawn.

latency: from the end of `put_object` to the answer of the query function that has the image in it, with a
batching window of 1 s and a refresh of 1 s. Uploads come one after the other, at irregular intervals.
cold: from the start of the query function's process to its first answer, on the clothing collection in S3.
With --image, the process is the entry point of the query image that `make images` left on this machine.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.coldquery import COMMAND, STEPS, measure
from bench.stage import add_default_encoder, photos, query_jpeg
from lookalike.api.keys import Keys
from lookalike.library import Library
from lookalike.settings import Settings
from lookalike.snapshots import current
from lookalike.storage import Store
from tests.aws_emulator.api_gateway import json_of
from tests.aws_emulator.cloud_collection import CloudClient, CloudCollection
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.event_source_mapping import EventSource

NAME = "clothing"
REFRESH_SECONDS = 1.0
WINDOW_SECONDS = 1.0
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
TARGET_LATENCY_SECONDS, TARGET_COLD_SECONDS = 3.0, 1.2


@dataclass
class Stage:
    """A deployment whose collection has photos, in a snapshot; `uploads` are images to add."""

    cloud: Cloud
    shop: CloudCollection
    uploads: list[bytes]


@contextmanager
def staged(uploads: int, items: int | None) -> Iterator[Stage]:
    """A deployment with all photos, or the first `items` of them. Nothing of this is measured."""
    with tempfile.TemporaryDirectory() as folder, cloud(refresh_seconds=REFRESH_SECONDS) as made:
        scratch = Path(folder)
        found = photos(scratch / "photos")
        local = Settings(store=str(scratch / "store"))
        encoder_id = add_default_encoder(local, found).id
        shop = CloudCollection(made, NAME, Path(local.artifacts_url) / "encoders" / encoder_id)
        index(local.store, chosen(found[:items], scratch / "chosen"))
        to_s3(Store.artifacts(local), shop.artifacts)
        # Copies have other ETags than the snapshot remembers, and would look changed to each cold start.
        Library(made.settings(), scratch / "cache").build_snapshot(NAME)
        step = max(1, len(found) // uploads)
        yield Stage(made, shop, [query_jpeg(found[number * step % len(found)]) for number in range(uploads)])


def chosen(files: list[Path], folder: Path) -> Path:
    """The photos in a folder of their own, by category."""
    for file in files:
        target = folder / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return folder


def index(store: str, folder: Path) -> None:
    """Index as a user would, on this machine."""
    command = [sys.executable, "-m", "lookalike.cli", "index", str(folder), "--collection", NAME]
    subprocess.run([*command, "--store", store, "--json"], check=True, stdout=subprocess.DEVNULL)


def to_s3(local: Store, remote: Store) -> None:
    """Copy the store: its tables and snapshots have no absolute paths."""
    for info in local.list():
        remote.put(info.path, local.get(info.path).data)


def upload(stage: Stage, client: CloudClient, name: str, data: bytes) -> float:
    """Seconds from the end of one `put_object` until a search finds it."""
    stage.shop.put(name, data)
    ended = time.perf_counter()
    search = {"id": name, "include_self": True, "limit": 1}
    while time.perf_counter() - ended < PATIENCE_SECONDS:
        answer = client.search(NAME, search)
        if answer["statusCode"] == 200 and json_of(answer)["results"]:
            return time.perf_counter() - ended
        assert answer["statusCode"] == 404, answer
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"{name} was not found within {PATIENCE_SECONDS} s")


def latency(stage: Stage) -> None:
    """Print the percentiles."""
    made = stage.cloud
    before = current(stage.shop.artifacts, NAME)
    ingest, builder, query = (made.process(name) for name in ("ingest", "builder", "query"))
    client = stage.shop.client(query)
    odd = random.Random(1)
    took = []
    with (
        EventSource(made, "uploads", [ingest], window_seconds=WINDOW_SECONDS),
        EventSource(made, "builds.fifo", [builder]),
    ):
        upload(stage, client, "first/0.jpg", stage.uploads[0])  # the functions start
        for number, data in enumerate(stage.uploads):
            time.sleep(odd.uniform(0, REFRESH_SECONDS))
            took.append(upload(stage, client, f"new/{number}.jpg", data))
    assert current(stage.shop.artifacts, NAME) == before, "the index was built again"
    assert before is not None
    low, high = np.percentile(took, [50, 95])
    print(f"{'uploads':>8} {'items':>7} {'median':>8} {'p95':>8} {'worst':>8}")
    print(f"{len(took):8} {before.count:7} {low:7.2f}s {high:7.2f}s {max(took):7.2f}s")
    print(f"\ntarget: ≤ {TARGET_LATENCY_SECONDS:.1f} s at the 95th percentile; no index was built meanwhile")


@contextmanager
def entry_point(stage: Stage, image: bool) -> Iterator[Sequence[str]]:
    """The command that starts the runtime client: on this machine, or inside the query image."""
    if not image:
        yield COMMAND
        return
    from infra.booting import ENVIRONMENT, OF_THE_RUNTIME
    from infra.container_images import builder

    tool = builder()
    try:
        names = {*stage.cloud.environment("query"), *ENVIRONMENT, *OF_THE_RUNTIME, "LOOKALIKE_CACHE_FOLDER"}
        yield tool.command("query", sorted(names))
    finally:
        tool.close()


def cold(stage: Stage, runs: int, command: Sequence[str] = COMMAND) -> None:
    """Print the steps of a cold start."""
    key = Keys(stage.shop.artifacts).create("bench").key
    measured = []
    for _ in range(runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**stage.cloud.environment("query"), "LOOKALIKE_CACHE_FOLDER": folder}
            measured.append(measure(environment, stage.uploads[0], collection=NAME, key=key, command=command))
    del measured[0]  # it fills the page cache
    print(f"{'step':14} {'median':>8} {'worst':>8}")
    for step in STEPS:
        times = [each[step] for each in measured]
        print(f"{step:14} {statistics.median(times):7.2f}s {max(times):7.2f}s", flush=True)
    print(f"\ntarget: ≤ {TARGET_COLD_SECONDS:.1f} s in all; snapshot and encoder are fetched side by side")


def main(argv: list[str] | None = None) -> int:
    """Print the tables of the chosen benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("latency", "cold"))
    parser.add_argument("--uploads", type=int, default=100)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--items", type=int, help="use only this many photos")
    parser.add_argument("--image", action="store_true", help="cold start inside the query image")
    options = parser.parse_args(argv)
    with staged(options.uploads, options.items) as stage:
        if options.what in (None, "cold"):
            with entry_point(stage, options.image) as command:
                cold(stage, options.runs, command)
        if options.what in (None, "latency"):
            latency(stage)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
