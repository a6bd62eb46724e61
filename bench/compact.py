"""What its own search space does to a collection: `python -m bench.compact [--set clothing] [--trained]`.

Photos of the split `train` are the collection, those of `val` the queries. Before: an index of the encoder's
numbers (`dimensions: 0`). After: an index of the collection's principal components, as many as large
collections have by default. Differences are paired, on the same queries, with the interval that holds 95 % of
the bootstrap's draws. Needs labelled photos (see `bench.recall`). `--trained` trains a feature layer first.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.growth import put
from bench.recall import DATA, SETS, inputs, read_photos
from bench.training import Bench, lookalike
from lookalike.catalogue import Catalogue
from lookalike.collection_config import CollectionConfig
from lookalike.errors import CollectionNotFound
from lookalike.evaluation import Difference, Draws, Retrieval
from lookalike.evaluation.retrieval import retrieval
from lookalike.library import Library
from lookalike.search import Query, QueryPart
from lookalike.search_space import fit_space
from lookalike.settings import Settings
from lookalike.snapshots import SnapshotManifest, build_snapshot, open_snapshot
from lookalike.types import Vectors

SEARCHES = 400
WARM_UP = 20
KINDS = ("before", "after")


@dataclass(frozen=True)
class Outcome:
    """One way of indexing."""

    manifest: SnapshotManifest
    found: Retrieval

    @property
    def bytes_per_item(self) -> float:
        """Of the files that grow with the items."""
        return sum(self.manifest.index.file_bytes) / self.manifest.count


@dataclass(frozen=True)
class Asking:
    """Vectors of the queries, and their classes."""

    vectors: Vectors
    labels: list[str]


def outcome(
    library: Library, config: CollectionConfig, gallery: Vectors, labels: Sequence[str], asking: Asking
) -> Outcome:
    """Index the gallery in a collection of its own, and ask."""
    library.collections.create(config)
    catalogue = Catalogue(library.artifacts, config.name, config.encoder_id, gallery.shape[1])
    put(catalogue, 0, gallery)
    manifest = build_snapshot(library.artifacts, config, catalogue, work_dir=library.cache / "build")
    snapshot = open_snapshot(manifest, library.artifacts, library.cache)
    # `put` names items so that their order is another.
    rows = [int(Path(snapshot.id_at(row)).stem) for row in range(manifest.count)]
    found = retrieval(
        snapshot.in_search_space(asking.vectors),
        asking.labels,
        np.array(snapshot.vectors),
        [labels[row] for row in rows],
    )
    return Outcome(manifest, found)


def name_of(kind: str) -> str:
    """The collection of one way of indexing."""
    return f"compact-{kind}"


def warm_searches(library: Library, vectors: Vectors) -> dict[str, float]:
    """Median milliseconds of a search by vector, of each way. They alternate, so that other load affects
    both."""
    searchers = {kind: library.searcher(name_of(kind)) for kind in KINDS}
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(SEARCHES + WARM_UP):
        query = Query((QueryPart("vector", vectors[number % len(vectors)]),))
        for kind, searcher in searchers.items():
            started = time.perf_counter()
            searcher.search(query)
            took[kind].append((time.perf_counter() - started) * 1_000)
    return {kind: statistics.median(each[WARM_UP:]) for kind, each in took.items()}


def measure(library: Library, bench: Bench, title: str) -> None:
    """The table of one encoder, that of the collection."""
    config = library.collections.get(bench.name)
    batches = list(library.catalogue(config).scan())
    gallery = np.concatenate([batch.vectors for batch in batches])
    labels = [item.category or "" for batch in batches for item in batch.items]
    encoder = library.encoders.load(config.encoder_id)
    files = [f for f, asks in zip(bench.photos.files, bench.photos.queries, strict=True) if asks]
    classes = bench.photos.classes[bench.photos.queries].tolist()
    asking = Asking(encoder.encode(list(inputs(files, encoder.manifest.preprocess))), classes)
    space = fit_space([gallery], "cosine")
    assert space is not None
    dimensions = {"before": 0, "after": space.dimension}
    try:
        outcomes = {
            kind: outcome(
                library,
                CollectionConfig(name_of(kind), config.encoder_id, dimensions=dimensions[kind]),
                gallery,
                labels,
                asking,
            )
            for kind in KINDS
        }
        warm = warm_searches(library, asking.vectors)
    finally:
        for kind in KINDS:
            with suppress(CollectionNotFound):
                library.collections.delete(name_of(kind))
    print(f"\n{title}: {len(files)} queries, {len(labels)} items")
    print(f"{'':8} {'numbers':>8} {'R@1':>7} {'mAP@R':>7} {'bytes/item':>11} {'warm ms':>8}")
    for kind, each in outcomes.items():
        print(
            f"{kind:8} {each.manifest.dimension:8} {each.found.recall(1):7.3f} {each.found.map_at_r:7.3f} "
            f"{each.bytes_per_item:11,.0f} {warm[kind]:8.2f}"
        )
    draws = Draws(len(files))
    before, after = outcomes["before"].found, outcomes["after"].found
    for word, new, old in (
        ("R@1", after.hits[1], before.hits[1]),
        ("mAP@R", after.average_precision, before.average_precision),
    ):
        means = ((float(np.nanmean(values)), draws.mean(values)) for values in (new, old))
        found = Difference.of(*means)
        change = found.change
        print(f"{word} {change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f}): {found.verdict}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=SETS, action="append", dest="sets")
    parser.add_argument("--trained", action="store_true", help="train the feature layer too")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder with the labelled photos")
    parser.add_argument("--store", type=Path, help="where to work; made collections are used again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-compact-") as scratch:
        root = arguments.store or Path(scratch)
        for name in arguments.sets or SETS:
            bench = Bench(name, read_photos(arguments.data / name), arguments.data, root)
            source, cache = bench.train_side(), root / "cache"
            lookalike(bench.store, cache, "index", str(source), "--collection", name)
            measure(Library(Settings(store=str(bench.store)), cache), bench, f"{name}, frozen encoder")
            if arguments.trained:
                made = lookalike(bench.store, cache, "train", str(source))["encoder"]
                encoder = made["id"] if isinstance(made, dict) else made
                lookalike(bench.store, cache, "publish", name, str(encoder), "--force")
                library = Library(Settings(store=str(bench.store)), cache)
                measure(library, bench, f"{name}, trained feature layer")


if __name__ == "__main__":
    main()
