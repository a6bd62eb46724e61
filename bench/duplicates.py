"""How well copies are distinguished from other images: `python -m bench.duplicates [--photos FOLDER …]`.

Measures on the emoji of the demo, and on folders of photos if any are given. Copies are made from some images
of each folder, edited in each way of `bench.copies`. Hard negatives are the pairs of different files that the
search for duplicates would compare (similar vectors or perceptual hashes), edits that make another picture,
and drawings. Everything is divided by source image into a half for choosing limits and one for the figures.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.copies import EITHER, OTHER, SAME, drawings
from lookalike.contact_sheet import SheetRow, Tile, write_sheet
from lookalike.default_encoder import default_encoder
from lookalike.demo.emoji import fetch_pictures
from lookalike.duplicates.candidates import CANDIDATE_BITS, CANDIDATE_SCORE, NEIGHBOURS, bits_between
from lookalike.duplicates.original import choose
from lookalike.duplicates.samples import Sample, sample_of
from lookalike.duplicates.verdict import judge
from lookalike.encoders import Encoder
from lookalike.images import ImageLimits, decode, model_input, perceptual_hash
from lookalike.images.copies import HASH_BYTES, MAX_DISTANCE, close_pairs
from lookalike.library import Library
from lookalike.settings import Settings
from lookalike.types import Item

LIMITS = ImageLimits.from_settings(Settings())
CACHE = Path(".cache") / "demo"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
RUN = 40
"""Files next to each other in a folder are often similar, so they are taken in runs."""
HALVES = ("choosing", "held out")


@dataclass
class Counts:
    """Of one edit, in one half."""

    pairs: int = 0
    found: int = 0
    same: int = 0
    both: int = 0
    original_kept: int = 0


@dataclass
class Result:
    """What was measured."""

    copies: dict[tuple[str, str], Counts] = field(default_factory=dict)
    others: dict[tuple[str, str], Counts] = field(default_factory=dict)
    either: dict[tuple[str, str], Counts] = field(default_factory=dict)
    wrong: list[tuple[str, bytes, bytes]] = field(default_factory=list)

    def of(self, table: str, half: str, name: str) -> Counts:
        counts: dict[tuple[str, str], Counts] = getattr(self, table)
        return counts.setdefault((half, name), Counts())


class Space:
    """Vectors and perceptual hashes, as a collection has them."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def of(self, data: bytes) -> tuple[NDArray[np.float32], bytes | None]:
        """The vector (unit length) and the hash of an image."""
        preprocess = self._encoder.manifest.preprocess
        image = decode(data, LIMITS, min_side=preprocess.min_side)
        vector = self._encoder.encode([model_input(image, preprocess)])[0]
        return vector / np.linalg.norm(vector), perceptual_hash(image)


def half_of(name: str) -> str:
    """Which half a source belongs to, by its name alone."""
    return HALVES[hashlib.sha256(name.encode()).digest()[0] % 2]


def sources(folder: Path, count: int, seed: int) -> list[Path]:
    """Up to `count` images of a folder, in runs spread over it."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    runs = [files[start : start + RUN] for start in range(0, len(files), RUN)]
    random.Random(seed).shuffle(runs)
    return [file for run in runs for file in run][:count]


def measure_copies(result: Result, files: Sequence[Path], space: Space) -> None:
    """Each file against its edited copies."""
    for file in files:
        data = file.read_bytes()
        image, sample = decode(data, LIMITS).image, sample_of(data, LIMITS)
        own = space.of(data)
        for table, edits in (("copies", SAME), ("others", OTHER), ("either", EITHER)):
            for name, edit in edits.items():
                copy = edit(image, random.Random(f"{file.name} {name}"))
                counts = result.of(table, half_of(file.name), name)
                is_same = _count(counts, own, space.of(copy), sample, sample_of(copy, LIMITS))
                if is_same and table == "others":
                    result.wrong.append((name, data, copy))


def _count(
    counts: Counts,
    one: tuple[NDArray[np.float32], bytes | None],
    other: tuple[NDArray[np.float32], bytes | None],
    sample: Sample,
    copy: Sample,
) -> bool:
    bits = bits_between(one[1], other[1])
    found = float(one[0] @ other[0]) >= CANDIDATE_SCORE or (bits is not None and bits <= CANDIDATE_BITS)
    verdict = judge(sample, copy)
    is_same = verdict.relation == "same"
    counts.pairs += 1
    counts.found += found
    counts.same += is_same
    counts.both += found and is_same
    if is_same:
        # The copy comes first by name, so that a tie counts as wrong.
        items = {0: Item("b", width=sample.width, height=sample.height)}
        items[1] = Item("a", width=copy.width, height=copy.height)
        counts.original_kept += choose(items, dict(enumerate(verdict.traces)))[0][0] == 0
    return is_same


def measure_neighbours(result: Result, files: Sequence[Path], space: Space, limit: int) -> None:
    """Pairs of different files that the search for duplicates would compare."""
    described = [space.of(file.read_bytes()) for file in files]
    vectors = np.stack([vector for vector, _ in described])
    pairs: set[tuple[int, int]] = set()
    for row, scores in enumerate(vectors @ vectors.T):
        for other in np.argsort(-scores)[: NEIGHBOURS + 1].tolist():
            if other != row and scores[other] >= CANDIDATE_SCORE:
                pairs.add((min(row, other), max(row, other)))
    hashed = [row for row, (_, value) in enumerate(described) if value]
    table = np.frombuffer(b"".join(described[row][1] or b"" for row in hashed), np.uint8)
    for left, right, _ in close_pairs(table.reshape(-1, HASH_BYTES), MAX_DISTANCE):
        pairs |= {
            (min(hashed[i], hashed[j]), max(hashed[i], hashed[j]))
            for i, j in zip(left.tolist(), right.tolist(), strict=True)
        }
    chosen = sorted(pairs)
    random.Random(0).shuffle(chosen)
    _judge_all(result, "neighbours in the folder", files, sorted(chosen[:limit]))


def _judge_all(result: Result, name: str, files: Sequence[Path], pairs: Iterable[tuple[int, int]]) -> None:
    samples: dict[int, Sample] = {}
    for one, other in pairs:
        for row in (one, other):
            if row not in samples:
                samples[row] = sample_of(files[row].read_bytes(), LIMITS)
        counts = result.of("others", half_of(files[one].name), name)
        counts.pairs += 1
        if judge(samples[one], samples[other]).relation == "same":
            counts.same += 1
            title = f"{files[one].name} = {files[other].name}"
            result.wrong.append((title, files[one].read_bytes(), files[other].read_bytes()))


def measure_drawings(result: Result) -> None:
    """All pairs of each kind; they count in the half that is held out."""
    for name, files in drawings().items():
        samples = [sample_of(data, LIMITS) for data in files]
        for one, other in combinations(range(len(files)), 2):
            counts = result.of("others", HALVES[1], name)
            counts.pairs += 1
            if judge(samples[one], samples[other]).relation == "same":
                counts.same += 1
                result.wrong.append((name, files[one], files[other]))


def print_tables(result: Result, say: Callable[[str], None] = print) -> None:
    """Per edit the held-out half, then precision and recall of both halves."""
    say("\n| copy (held out) | pairs | compared | recognised | both | original kept |")
    say("|---|---|---|---|---|---|")
    for name in SAME:
        counts = result.of("copies", HALVES[1], name)
        kept = counts.original_kept / counts.same if counts.same else 0.0
        parts = (counts.found, counts.same, counts.both)
        shares = " | ".join(f"{part / max(1, counts.pairs):.3f}" for part in parts)
        say(f"| {name} | {counts.pairs} | {shares} | {kept:.2f} |")
    say("\n| not a copy (held out) | pairs | called the same |")
    say("|---|---|---|")
    for half, name in sorted(result.others):
        counts = result.others[half, name]
        if half == HALVES[1]:
            say(f"| {name} | {counts.pairs} | {counts.same} |")
    say("\n| either is right (held out) | pairs | called the same |")
    say("|---|---|---|")
    for name in EITHER:
        counts = result.of("either", HALVES[1], name)
        say(f"| {name} | {counts.pairs} | {counts.same} |")
    say("\n| half | copies | others | others called the same | precision | recall | recall with search |")
    say("|---|---|---|---|---|---|---|")
    for half in HALVES:
        copies = [counts for (which, _), counts in result.copies.items() if which == half]
        others = [counts for (which, _), counts in result.others.items() if which == half]
        pairs, right, both = (
            sum(getattr(each, what) for each in copies) for what in ("pairs", "same", "both")
        )
        wrong, count = (sum(getattr(each, what) for each in others) for what in ("same", "pairs"))
        precision, recall, found = (
            part / max(1, whole) for part, whole in ((right, right + wrong), (right, pairs), (both, pairs))
        )
        say(f"| {half} | {pairs:,} | {count:,} | {wrong} | {precision:.4f} | {recall:.3f} | {found:.3f} |")


def write_wrong(result: Result, path: Path) -> None:
    """One row per pair that was called the same wrongly, for a look at it."""
    rows = [
        SheetRow(Tile(decode(one, LIMITS).pixels, name), [Tile(decode(other, LIMITS).pixels)])
        for name, one, other in result.wrong
    ]
    write_sheet(path, "called the same", rows)


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, action="append", default=[], help="a folder of photos")
    parser.add_argument("--sources", type=int, default=40, help="images of each folder that are edited")
    parser.add_argument("--files", type=int, default=800, help="images of each folder that are compared")
    parser.add_argument("--pairs", type=int, default=1_000, help="pairs of each folder that are compared")
    parser.add_argument("--seed", type=int, default=0, help="chooses the images")
    parser.add_argument("--sheet", type=Path, help="draw the pairs that were called the same wrongly")
    options = parser.parse_args(arguments)
    folders = [fetch_pictures(CACHE, lambda text: print(text, file=sys.stderr)), *options.photos]
    result = Result()
    with tempfile.TemporaryDirectory() as scratch:
        library = Library.open(scratch, cache=Path(scratch) / "cache")
        space = Space(library.encoders.load(default_encoder(library).id))
        for folder in folders:
            files = sources(folder, options.files, options.seed)
            chosen = files[:: max(1, len(files) // options.sources)][: options.sources]
            measure_copies(result, chosen, space)
            measure_neighbours(result, files, space, options.pairs)
            print(f"measured {len(files)} images of a folder", file=sys.stderr, flush=True)
    measure_drawings(result)
    print_tables(result)
    for name, _, _ in result.wrong:
        print(f"called the same: {name}")
    if options.sheet:
        write_wrong(result, options.sheet)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
