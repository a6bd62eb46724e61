"""The cloud path in seconds: `python -m bench.cloud [latency|cold] [--uploads 100] [--runs 7]`.

A deployment on this machine, made of the synthesised templates (see `tests/fixtures/cloud.py`): functions run
under awslambdaric in processes of their own, and a moto server stands in for AWS. Photos are those of the
clothing set, or drawn.

latency: from the end of `put_object` to the answer of the query function that has the picture in it, with a
batching window of 1 s and a refresh of 1 s. Uploads come one after the other, at odd moments.
cold: from the start of the query function's process to its first answer, on the clothing collection in S3.
With --image, the process is the entry point of the query image that `make images` left on this machine.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the deployment is that of the tests

from fixtures.cloud import Cloud, cloud
from fixtures.cloud_shop import CloudClient, CloudShop
from fixtures.event_source import EventSource
from fixtures.gateway_events import json_of

from bench.coldquery import COMMAND, STEPS, measure
from bench.stage import add_default_encoder, photos, query_jpeg
from lookalike.api.keys import Keys
from lookalike.building import Building
from lookalike.encoders import Encoders
from lookalike.ingest import Ingestor
from lookalike.settings import Settings
from lookalike.snapshots import current
from lookalike.storage import Store

NAME = "clothing"
REFRESH_SECONDS = 1.0
WINDOW_SECONDS = 1.0
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
WRITERS = 8
TARGET_LATENCY_SECONDS, TARGET_COLD_SECONDS = 5.0, 2.0


@dataclass
class Stage:
    """A deployment whose collection has some photos, in a snapshot; `spare` ones are not in it."""

    cloud: Cloud
    shop: CloudShop
    spare: list[bytes]


@contextmanager
def staged(spare: int, limit: int | None, encoder: Path | None) -> Iterator[Stage]:
    """A deployment with all photos, or `limit` of them, but for `spare` ones.

    `encoder`: folder of the encoder; None builds the default one.
    """
    with tempfile.TemporaryDirectory() as folder, cloud(refresh_seconds=REFRESH_SECONDS) as made:
        found = photos(Path(folder) / "photos")
        if encoder is None:
            local = Settings(store=f"{folder}/store")
            encoder_id = add_default_encoder(local, found).id
            encoder = Path(local.artifacts_url) / "encoders" / encoder_id
        shop = CloudShop(made, NAME, encoder)
        chosen = random.Random(0).sample(found, len(found))
        kept = chosen[spare : spare + limit if limit else None] or chosen
        fill(shop, kept)
        yield Stage(made, shop, [query_jpeg(photo) for photo in chosen[:spare]])


def fill(shop: CloudShop, files: list[Path]) -> None:
    """Put photos into the bucket, take them in and build a snapshot, in this process: it is not measured."""
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(lambda file: shop.put(f"{file.parent.name}/{file.name}", file.read_bytes()), files))
    settings = shop.cloud.settings()
    encoders = Encoders(shop.artifacts)
    loaded = encoders.load(shop.encoder.id)
    ingestor = Ingestor(Store.images(settings), shop.artifacts, settings, lambda _: loaded)
    report = ingestor.reconcile(NAME)
    assert not report.failed, report.failed
    building = Building(settings)
    building.build(building.standing(NAME))
    shop.cloud.sqs.purge_queue(QueueUrl=shop.cloud.queue("uploads"))


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
        upload(stage, client, "first/0.jpg", stage.spare[0])  # the functions start
        for number, data in enumerate(stage.spare):
            time.sleep(odd.uniform(0, REFRESH_SECONDS))
            took.append(upload(stage, client, f"new/{number}.jpg", data))
    assert current(stage.shop.artifacts, NAME) == before, "the index was built again"
    assert before is not None
    low, high = np.percentile(took, [50, 95])
    print(f"{'uploads':>8} {'items':>7} {'median':>8} {'p95':>8} {'worst':>8}")
    print(f"{len(took):8} {before.count:7} {low:7.2f}s {high:7.2f}s {max(took):7.2f}s")
    print(f"\ntarget: ≤ {TARGET_LATENCY_SECONDS:.0f} s at the 95th percentile; no index was built meanwhile")


@contextmanager
def entry_point(stage: Stage, image: bool) -> Iterator[Sequence[str]]:
    """What starts the runtime client: on this machine, or inside the query image."""
    if not image:
        yield COMMAND
        return
    from infra.booting import ENVIRONMENT, OF_THE_RUNTIME
    from infra.images import builder

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
            measured.append(measure(environment, stage.spare[0], collection=NAME, key=key, command=command))
    del measured[0]  # it fills the page cache
    print(f"{'step':14} {'median':>8} {'worst':>8}")
    for step in STEPS:
        times = [each[step] for each in measured]
        print(f"{step:14} {statistics.median(times):7.2f}s {max(times):7.2f}s")
    print(f"\ntarget: ≤ {TARGET_COLD_SECONDS:.0f} s in all; snapshot and encoder are fetched side by side")


def main(argv: list[str] | None = None) -> int:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("latency", "cold"))
    parser.add_argument("--uploads", type=int, default=100)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--items", type=int, help="take so many photos instead of all")
    parser.add_argument("--image", action="store_true", help="cold start inside the query image")
    parser.add_argument("--encoder", type=Path, help="folder of an encoder, instead of the default one")
    options = parser.parse_args(argv)
    with staged(options.uploads, options.items, options.encoder) as stage:
        if options.what in (None, "cold"):
            with entry_point(stage, options.image) as command:
                cold(stage, options.runs, command)
        if options.what in (None, "latency"):
            latency(stage)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
