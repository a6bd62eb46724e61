"""Requests to S3 that the functions send: `python -m bench.requests`. `infra.cost` calculates with them.

A deployment on this machine (see `tests/aws_emulator`) with the default encoder, and a collection of a few
hundred images. Lance's tables of a larger one have more files, and a few more requests each.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.stage import add_default_encoder
from lookalike.settings import Settings
from tests.aws_emulator.cloud_collection import CloudClient, CloudCollection, picture
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.event_source_mapping import batch_of
from tests.aws_emulator.lambda_process import LambdaProcess
from tests.aws_emulator.request_recorder import Recorder

NAME = "shop"
BATCH = 50
SINGLES = 20
REFRESH_SECONDS = 0.2
TO_SQS = "POST  "  # its requests have no path
HEAD = f"{'':34} {'GET':>6} {'HEAD':>6} {'list':>6} {'PUT':>6} {'DELETE':>6}"


def row(title: str, seen: Sequence[str], times: int = 1) -> str:
    """Requests by kind, for each of `times`."""
    kinds = Counter(
        "list" if " list " in line else line.split(" ")[0] for line in seen if not line.startswith(TO_SQS)
    )
    kinds["PUT"] += kinds.pop("POST", 0)
    numbers = (kinds[kind] / times for kind in ("GET", "HEAD", "list", "PUT", "DELETE"))
    return f"{title:34}" + "".join(f" {number:6.1f}" for number in numbers)


def events(made: Cloud, shop: CloudCollection, ids: Sequence[str]) -> list[str]:
    """Put images into the bucket; the notifications that S3 sends of them."""
    for number, item_id in enumerate(ids):
        shop.put(item_id, picture(abs(hash(item_id)) % 100_000 + number))
    return made.bodies("uploads")


@contextmanager
def recorded(made: Cloud, short: str) -> Iterator[tuple[LambdaProcess, Recorder]]:
    """A process of a function, and its requests."""
    recorder = Recorder(made.server)
    way = {"AWS_ENDPOINT_URL": recorder.url, "LOOKALIKE_S3_ENDPOINT": recorder.url}
    try:
        with made.process(short, **way) as process:
            yield process, recorder
    finally:
        recorder.forwarder.close()


def ingesting(made: Cloud, shop: CloudCollection) -> None:
    """Whole batches, a snapshot of them, and then images one by one."""
    with recorded(made, "ingest") as (ingest, recorder):
        ingest.invoke(batch_of(events(made, shop, [f"first/{n}.jpg" for n in range(BATCH)])))
        recorder.taken()
        for number in range(3):
            batch = batch_of(events(made, shop, [f"batch-{number}/{n}.jpg" for n in range(BATCH)]))
            ingest.invoke(batch)
        print(row(f"ingest, a batch of {BATCH}", recorder.taken(), 3))
        building(made)
        ingest.invoke(batch_of(events(made, shop, ["single/first.jpg"])))
        recorder.taken()
        for number in range(SINGLES):
            ingest.invoke(batch_of(events(made, shop, [f"single/{number}.jpg"])))
        print(row("ingest, one image", recorder.taken(), SINGLES))


def building(made: Cloud) -> None:
    """One snapshot."""
    with recorded(made, "builder") as (builder, recorder):
        message: dict[str, Any] = batch_of([json.dumps({"collection": NAME})], "lookalike-dev-builds.fifo")
        builder.invoke(message)
        print(row("builder, a snapshot", recorder.taken()))


def querying(made: Cloud, shop: CloudCollection) -> None:
    """A cold query, a warm one, and one within the refresh time."""
    with recorded(made, "query") as (query, recorder):
        client: CloudClient = shop.client(query)
        search = {"id": "first/0.jpg"}
        client.json("POST", f"/collections/{NAME}/search", search)
        print(row("query, the first of a process", recorder.taken()))
        time.sleep(6)  # the keys are trusted for five seconds
        client.json("POST", f"/collections/{NAME}/search", search)
        print(row("query, after the refresh time", recorder.taken()))
        client.json("POST", f"/collections/{NAME}/search", search)
        print(row("query, within the refresh time", recorder.taken()))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, cloud(refresh_seconds=REFRESH_SECONDS) as made:
        local = Settings(store=folder)
        encoder_id = add_default_encoder(local, []).id
        shop = CloudCollection(made, NAME, Path(local.artifacts_url) / "encoders" / encoder_id)
        print(HEAD)
        ingesting(made, shop)
        querying(made, shop)


if __name__ == "__main__":
    main()
