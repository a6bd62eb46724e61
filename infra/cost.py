"""What a deployment costs, with the arithmetic: `python -m infra.cost` prints the tables of `docs/cost.md`.

List prices of us-east-1 in US dollars, without any free tier and without data transfer to the internet.
Quantities come from the configuration if it has them; the others are the assumptions below.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from infra.alarms import alarm_specs
from infra.config import Config, FunctionName
from infra.context import read_context
from infra.names import Names

# Prices

GB_SECOND = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
INVOCATION = 0.20 / 1e6
STORAGE_GB_SECOND = 0.0000000309
HTTP_REQUEST = 1.00 / 1e6
S3_GB_MONTH = 0.023
S3_WRITE = 0.005 / 1e3
S3_READ = 0.0004 / 1e3
SQS_REQUEST = 0.40 / 1e6
SQS_FIFO_REQUEST = 0.50 / 1e6
ALARM_METRIC_MONTH = 0.10
METRIC_MONTH = 0.30
DASHBOARD_MONTH = 3.00
LOG_GB = 0.50
ECR_GB_MONTH = 0.10
TRACE = 5.00 / 1e6
KEY_MONTH = 1.00

# Assumptions: `bench.query`, `bench.indexing` and `bench.growth` measured the times and builds.

QUERY_SECONDS = 0.045
"""Billed for a warm query: 20 ms measured on a whole core, 15 for one request to S3, 10 for the runtime."""
COLD_SECONDS, COLD_SHARE = 1.2, 0.01
"""A cold start, and the share of queries that have one."""
READS_A_QUERY = 1
"""A query after `refresh_seconds` reads one small object to learn whether anything changed."""
LOG_BYTES_A_QUERY = 400
"""The one line of the API, with what CloudWatch adds to each."""
FREE_STORAGE_MB = 512
SECONDS_A_MONTH = 30 * 86_400
POLLERS = 5
POLL_SECONDS = 20
"""Lambda polls an empty queue with five pollers; each waits up to 20 seconds for a message."""
IMAGES_GB = 1.7
"""The three container images, compressed, as ECR keeps them."""
INGEST_RATE = 50
"""Images per second and function; 107 were measured on two whole cores with local files."""
PICTURE_KB = 200
DIMENSION = 1_280
BUILDS = {100_000: 29}
"""Builds of a collection that grows to that many images; each takes some 60 seconds at most."""
BUILD_SECONDS = 60
READS_A_BATCH, WRITES_A_BATCH = 38, 9
READS_A_SINGLE = 29
"""For an image that arrives alone. In both cases, reading the image itself is one more request."""
READS_A_BUILD, WRITES_A_BUILD = 96, 45
"""Requests to S3, counted by `bench.requests`. A HEAD costs as much as a read, a listing as a write."""
SINGLE_SECONDS = 0.6
"""An image that arrives alone: 39 requests to S3, most of them one after the other, some 13 ms each."""
METRICS_A_COLLECTION = 9
"""Metrics that ingest and builder emit per collection; a metric costs money for each hour with data."""
PICTURES = 100_000
QUERIES = 1_000


@dataclass(frozen=True)
class Cost:
    """One line: a quantity and its unit price."""

    what: str
    quantity: float
    unit: str
    price: float

    @property
    def dollars(self) -> float:
        """The product."""
        return self.quantity * self.price

    def line(self) -> str:
        """As a row of a Markdown table."""
        return (
            f"| {self.what} | {self.quantity:,.10g} {self.unit} | {self.price:.10f}".rstrip("0").rstrip(".")
            + f" | {self.dollars:.4f} |"
        )


def idle(config: Config) -> list[Cost]:
    """A month without queries and uploads, excluding storage."""
    names = Names(config.stage, "123456789012", "us-east-1", "aws")
    alarms = sum(len(spec.readings) for spec in alarm_specs(config, names, "api"))
    polls = POLLERS * SECONDS_A_MONTH / POLL_SECONDS
    lines = [
        Cost("container images", IMAGES_GB, "GB-months in ECR", ECR_GB_MONTH),
        Cost("alarms", alarms, "metrics", ALARM_METRIC_MONTH),
        Cost("polling the uploads queue", polls, "requests", SQS_REQUEST),
        Cost("polling the builds queue", polls, "requests", SQS_FIFO_REQUEST),
    ]
    if config.dashboard:
        lines.append(Cost("dashboard", 1, "month", DASHBOARD_MONTH))
    if config.alarms.email:
        lines.append(Cost("key of the alarm topic", 1, "month", KEY_MONTH))
    return lines


def queries(config: Config, count: int = QUERIES) -> list[Cost]:
    """The cost of searches."""
    lines = [
        Cost("API Gateway", count, "requests", HTTP_REQUEST),
        *_runs(config, "query", count, QUERY_SECONDS),
        # Lambda also bills the start of a process.
        *_runs(config, "query", count * COLD_SHARE, COLD_SECONDS, what="query: cold starts")[1:2],
        Cost("S3 reads", count * READS_A_QUERY, "requests", S3_READ),
        Cost("logs", count * LOG_BYTES_A_QUERY / 1e9, "GB", LOG_GB),
    ]
    if config.tracing:
        # X-Ray keeps one request a second and a twentieth of the rest; assuming that no two come in the same
        # second.
        lines.append(Cost("traces", count, "traces", TRACE))
    return lines


def ingest(config: Config, count: int = PICTURES, *, alone: bool = False) -> list[Cost]:
    """The one-time cost of ingesting images, in full batches or `alone`, each in its own batch."""
    batches = count if alone else -(-count // config.ingest.batch_size)
    seconds = SINGLE_SECONDS if alone else config.ingest.batch_size / INGEST_RATE
    reads = READS_A_SINGLE if alone else READS_A_BATCH
    builds = BUILDS[count]
    return [
        Cost("uploads to S3", count, "writes", S3_WRITE),
        # Messages are sent one by one, and received and deleted ten at a time if there are so many.
        Cost("uploads queue", count * (3 if alone else 1.2), "requests", SQS_REQUEST),
        *_runs(config, "ingest", batches, seconds),
        Cost("S3 reads by ingest", count + batches * reads, "requests", S3_READ),
        Cost("S3 writes and listings by ingest", batches * WRITES_A_BATCH, "requests", S3_WRITE),
        *_runs(config, "builder", builds, BUILD_SECONDS),
        Cost("S3 reads by the builder", builds * READS_A_BUILD, "requests", S3_READ),
        Cost("S3 writes and listings by the builder", builds * WRITES_A_BUILD, "requests", S3_WRITE),
    ]


def storage(count: int = PICTURES) -> list[Cost]:
    """The cost of storing images for a month."""
    vectors = count * DIMENSION * 4 / 1e9
    return [
        Cost(f"images of {PICTURE_KB} KB", count * PICTURE_KB / 1e6, "GB-months", S3_GB_MONTH),
        Cost("vectors in the catalogue", vectors, "GB-months", S3_GB_MONTH),
        # The current snapshot and the previous one.
        Cost("two snapshots", 2 * 1.3 * vectors, "GB-months", S3_GB_MONTH),
    ]


def metrics() -> list[Cost]:
    """One collection that changes in every hour of a month."""
    return [Cost("metrics", METRICS_A_COLLECTION, "metrics", METRIC_MONTH)]


def _runs(config: Config, function: FunctionName, count: float, seconds: float, what: str = "") -> list[Cost]:
    size = config.functions[function]
    billed = count * seconds
    extra = max(0, size.storage_mb - FREE_STORAGE_MB) / 1_024
    return [
        Cost(f"{function}: invocations", count, "invocations", INVOCATION),
        Cost(
            f"{what or function}: {size.memory_mb:,} MB for {seconds:g} s each",
            billed * size.memory_mb / 1_024,
            "GB-seconds",
            GB_SECOND[config.architecture],
        ),
        Cost(f"{function}: {size.storage_mb:,} MB in /tmp", billed * extra, "GB-seconds", STORAGE_GB_SECOND),
    ]


def table(title: str, lines: Sequence[Cost]) -> str:
    """A Markdown section with its sum."""
    total = sum(line.dollars for line in lines)
    rows = "\n".join(line.line() for line in lines)
    head = f"### {title}: ${total:.4f}\n\n| what | quantity | × price, $ | = $ |\n|---|---:|---:|---:|"
    return f"{head}\n{rows}\n"


def report(config: Config) -> str:
    """All tables."""
    return "\n".join(
        (
            table("Idle, a month", idle(config)),
            table(f"{QUERIES:,} queries", queries(config)),
            table(f"{PICTURES:,} images ingested in bulk", ingest(config)),
            table(f"{PICTURES:,} images ingested one by one", ingest(config, alone=True)),
            table(f"{PICTURES:,} images kept, a month", storage()),
            table("A busy collection's metrics, a month", metrics()),
        )
    )


def main() -> None:
    """Print the tables for the configuration of `cdk.json`."""
    sys.stdout.write(report(Config.from_context(read_context({}))))


if __name__ == "__main__":
    main()
