"""Index bytes written while a collection grows to N images in batches: `python -m bench.growth`.

The vectors are synthetic and go straight into the catalogue; after each batch `has_enough_changes` is
called as ingest does, and a snapshot is built wherever it says so. A build for every batch would write
O(N²) bytes. Beyond 10,000 items each snapshot is a tenth larger than the one before, so that all of them
together are at most 11 times the last, for any N: less than O(N log N).
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.vectors import embedding_like
from lookalike.catalogue import Catalogue, ItemRow
from lookalike.collection_config import CollectionConfig, Collections
from lookalike.settings import Settings
from lookalike.snapshots import SnapshotManifest, build_snapshot
from lookalike.snapshots.staleness import has_enough_changes
from lookalike.storage import Store
from lookalike.types import Vectors

DIMENSION = 32
BATCH = 500
SIZES = (1_000, 10_000, 100_000)


@dataclass
class Growth:
    """The result of one run."""

    batches: int = 0
    builds: int = 0
    written: int = 0
    last: int = 0
    seconds: float = 0.0


def grow(count: int, folder: Path) -> Growth:
    """Let `count` items arrive in a new collection, and add up the files of every snapshot built."""
    artifacts = Store(str(folder / "artifacts"))
    config = CollectionConfig("growth", "synthetic-000000000000")
    Collections(artifacts).create(config)
    catalogue = Catalogue(artifacts, config.name, config.encoder_id, DIMENSION)
    vectors = embedding_like(count, DIMENSION)
    growth = Growth()
    current: SnapshotManifest | None = None
    started = time.perf_counter()
    for start in range(0, count, BATCH):
        put(catalogue, start, vectors[start : start + BATCH])
        growth.batches += 1
        version, size = (current.catalogue, current.count) if current else (None, 0)
        if has_enough_changes(catalogue, version, size, Settings()):
            current = build_snapshot(artifacts, config, catalogue, work_dir=folder / "work")
            growth.builds += 1
            growth.last = size_of(artifacts, current)
            growth.written += growth.last
    growth.seconds = time.perf_counter() - started
    return growth


def put(catalogue: Catalogue, start: int, vectors: Vectors) -> None:
    """Commit one batch as ingest does: vectors, then items."""
    ids = [f"c{number % 20}/{number:07}.jpg" for number in range(start, start + len(vectors))]
    sequencers = [f"{number:016x}" for number in range(start + 1, start + 1 + len(vectors))]
    catalogue.put_vectors(ids, sequencers, sequencers, vectors)
    catalogue.put_items(
        [
            ItemRow(id_, sequencer, "live", content_hash=sequencer, width=256, height=256)
            for id_, sequencer in zip(ids, sequencers, strict=True)
        ]
    )


def size_of(artifacts: Store, manifest: SnapshotManifest) -> int:
    """Bytes of a snapshot's files."""
    return sum(info.size for info in artifacts.list(f"collections/growth/snapshots/{manifest.id}"))


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    print(f"Batches of {BATCH} items × {DIMENSION} dimensions, engine annoy\n")
    print("| N | builds | index bytes written | ÷ N log2 N | ÷ last snapshot | if every batch built | s |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for count in parser.parse_args(argv).sizes:
        with tempfile.TemporaryDirectory() as folder:
            found = grow(count, Path(folder))
        # A snapshot of half the items is half as large.
        each_time = found.last * (found.batches + 1) // 2
        ratios = f"{found.written / (count * math.log2(count)):.0f} | {found.written / found.last:.1f}"
        print(
            f"| {count:,} | {found.builds} | {found.written:,} | {ratios} | {each_time:,} "
            f"| {found.seconds:.0f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
