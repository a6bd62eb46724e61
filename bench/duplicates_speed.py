"""How long the duplicates of a collection take: `python -m bench.duplicates_speed COLLECTION --store STORE`.

Measures the search for candidates, the first comparison (all images are read), and a second one, which finds
the verdicts of the first. It removes the stored verdicts of the collection before and leaves new ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress

from lookalike.duplicates import SampleReader, VerdictCache, begin_comparison
from lookalike.errors import ObjectNotFound
from lookalike.library import Library
from lookalike.search.view import View


def measure(library: Library, collection: str, view: View) -> tuple[float, float, int]:
    """Seconds for candidates, seconds for their comparison, and the number of pairs."""
    samples = SampleReader.of(library.images, library.settings, collection)
    started = time.perf_counter()
    comparing = begin_comparison(view, samples, cache=VerdictCache(library.artifacts, collection))
    begun = time.perf_counter()
    comparing.advance()
    return begun - started, time.perf_counter() - begun, comparing.total


def main(arguments: list[str]) -> int:
    """Measure twice and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection")
    parser.add_argument("--store", help="a folder, or s3://bucket/prefix")
    options = parser.parse_args(arguments)
    library = Library.open(options.store)
    view = library.searcher(options.collection).state().view
    with suppress(ObjectNotFound):
        library.artifacts.delete(VerdictCache(library.artifacts, options.collection).path)
    print("| run | items | pairs | candidates | comparison | per pair |")
    print("|---|---|---|---|---|---|")
    for run in ("first", "again"):
        search, comparison, pairs = measure(library, options.collection, view)
        each = 1_000 * comparison / max(1, pairs)
        print(
            f"| {run} | {view.count:,} | {pairs:,} | {search:.2f} s | {comparison:.2f} s | {each:.1f} ms |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
