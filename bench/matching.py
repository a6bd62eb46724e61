"""How well products are matched across sellers: `python -m bench.matching FOLDER [--runs 5]`.

FOLDER holds two tables and their true pairs: `left.csv`, `right.csv`, `truth.csv`, or `abt.csv`, `buy.csv`,
`truth.csv` (Abt–Buy of the database group of Leipzig University). The model learns from part of the left
products; all figures are of the others. Each run draws another part; the mean is printed.

F1: harmonic mean of precision (share of returned pairs that are right) and recall (share of true pairs that
are returned). ECE: expected calibration error of the confidences, in ten bins.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from lookalike.matching import KnownPairs, Listing, MatchOptions, match, read_known_pairs, read_listing

NAMES = (("left.csv", "right.csv"), ("abt.csv", "buy.csv"))
HALF = -1
SETTINGS = (
    ("half of the left products", 1.0, HALF),
    ("100 of them", 1.0, 100),
    ("none", 1.0, 0),
    ("none; each seller has half of the products", 0.5, 0),
    ("none; each seller has 30 % of them", 0.3, 0),
)
COLUMNS = ("F1", "precision", "recall", "ECE", "precision at ≥ 0.95", "share at ≥ 0.95")


def measure(left: Listing, right: Listing, truth: KnownPairs, learned: int, seed: int) -> list[float]:
    """The figures of one run that learns from the pairs of `learned` left products."""
    rows = set(np.random.default_rng(seed).permutation(len(left))[:learned].tolist())
    known = frozenset(pair for pair in truth.same if pair[0] in rows)
    report = match(left, right, KnownPairs(known, frozenset()) if known else None, MatchOptions(seed=seed))
    names = {(left.ids[one], right.ids[other]) for one, other in truth.same if one not in rows}
    used = {left.ids[row] for row in rows}
    found = [(p.confidence, (p.left_id, p.right_id) in names) for p in report.pairs if p.left_id not in used]
    sure, outcomes = (np.array(column) for column in zip(*found, strict=True))
    precision, recall = outcomes.mean(), outcomes.sum() / len(names)
    high = sure >= 0.95
    return [
        2 * precision * recall / (precision + recall),
        precision,
        recall,
        calibration_error(sure, outcomes),
        outcomes[high].mean() if high.any() else float("nan"),
        high.mean(),
    ]


def thinned(
    left: Listing, right: Listing, truth: KnownPairs, share: float, seed: int
) -> tuple[Listing, Listing, KnownPairs]:
    """Both listings with a random `share` of their products, and the true pairs that are left."""
    draw = np.random.default_rng(seed)
    rows = [np.sort(draw.permutation(len(side))[: round(share * len(side))]) for side in (left, right)]
    places = [{row: place for place, row in enumerate(kept.tolist())} for kept in rows]
    same = frozenset(
        (places[0][one], places[1][other])
        for one, other in truth.same
        if one in places[0] and other in places[1]
    )
    return _only(left, rows[0]), _only(right, rows[1]), KnownPairs(same, frozenset())


def _only(listing: Listing, rows: np.ndarray) -> Listing:
    return replace(
        listing,
        ids=tuple(listing.ids[row] for row in rows),
        titles=tuple(listing.titles[row] for row in rows),
        descriptions=tuple(listing.descriptions[row] for row in rows),
        brands=tuple(listing.brands[row] for row in rows),
        prices=listing.prices[rows],
        images=(),
    )


def calibration_error(confidence: np.ndarray, outcomes: np.ndarray) -> float:
    """Mean distance of confidence from truth, weighted by bin."""
    bins = np.minimum((confidence * 10).astype(int), 9)
    of_bin = [bins == number for number in range(10)]
    return float(sum(m.mean() * abs(confidence[m].mean() - outcomes[m].mean()) for m in of_bin if m.any()))


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(argv)
    names = next(pair for pair in NAMES if (options.folder / pair[0]).is_file())
    left, right = (read_listing(options.folder / name) for name in names)
    truth = read_known_pairs(options.folder / "truth.csv", left, right)
    print(f"{len(left):,} and {len(right):,} products, {len(truth.same):,} true pairs")
    print(f"mean of {options.runs} runs\n")
    print(f"| learned from | {' | '.join(COLUMNS)} | s |\n|---{'|---' * (len(COLUMNS) + 1)}|")
    for title, share, learned in SETTINGS:
        began = time.perf_counter()
        runs = []
        for seed in range(options.runs):
            sides = thinned(left, right, truth, share, seed) if share < 1 else (left, right, truth)
            runs.append(measure(*sides, len(left) // 2 if learned == HALF else learned, seed))
        seconds = (time.perf_counter() - began) / options.runs
        figures = " | ".join(f"{value:.3f}" for value in np.nanmean(runs, axis=0))
        print(f"| {title} | {figures} | {seconds:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
