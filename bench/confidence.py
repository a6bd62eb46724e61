"""How often confidence is right: `python -m bench.confidence [--set clothing] [--trained] [--store FOLDER]`.

Photos of the split `train` become a collection; those of the split `val` are queries that are used for
nothing else. Each query requests its 20 most similar items, and then all items by confidence. `isotonic` is
what earlier versions
did: isotonic regression on the score alone, learned from the ten nearest of the collection's own items.
Photos of the other set stand for "none of these". Needs labelled photos (see `bench.recall`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from bench.recall import DATA, SETS, Photos, read_photos
from bench.training import Bench, lookalike
from lookalike.confidence import NEAREST, expected_calibration_error
from lookalike.indexes import exact_search
from lookalike.library import Library
from lookalike.search import Query, QueryPart, SearchResult
from lookalike.settings import Settings

STRANGERS = 300
SURE = 0.9
LIKELIHOODS = ("likely", "maybe", "unlikely")


@dataclass(frozen=True)
class Said:
    """Confidences of matches, and whether they were right; both (n,)."""

    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]

    def line(self, name: str) -> None:
        """One row of the table."""
        sure = self.confidence >= SURE
        precision = self.right[sure].mean() if sure.any() else float("nan")
        print(
            f"{name:40} {expected_calibration_error(self.confidence, self.right):6.3f} "
            f"{np.mean((self.confidence - self.right) ** 2):6.3f} "
            f"{roc_auc_score(self.right, self.confidence):6.3f} "
            f"{(sure & self.right).sum() / self.right.sum():7.2f} ({precision:.3f})",
            flush=True,
        )


def ask(library: Library, collection: str, files: Sequence[Path], options: Query) -> list[SearchResult]:
    """The answers to each photo."""
    searcher = library.searcher(collection)
    return [
        searcher.search(replace(options, parts=(QueryPart("image", file.read_bytes()),))) for file in files
    ]


def said(results: Sequence[SearchResult], truth: Sequence[str]) -> Said:
    """Every match of every answer."""
    pairs = [
        (match.confidence, match.item.category == right)
        for result, right in zip(results, truth, strict=True)
        for match in result.matches
    ]
    return Said(np.array([c for c, _ in pairs], np.float64), np.array([r for _, r in pairs], bool))


def isotonic(library: Library, collection: str, results: Sequence[SearchResult], seen: Said) -> Said:
    """The same matches, judged by their score alone."""
    view = library.searcher(collection).state().view
    vectors = np.stack([view.vector_at(row) for row in range(view.size)])
    labels = [view.category_at(row) for row in range(view.size)]
    scores, right = [], []
    for row in np.random.default_rng(0).permutation(view.size)[:1_000].tolist():
        rows, distances = exact_search(vectors[row], vectors, 11, view.metric)
        others = [(r, d) for r, d in zip(rows.tolist(), distances.tolist(), strict=True) if r != row][:10]
        scores += [1 - d for _, d in others]
        right += [labels[r] == labels[row] for r, _ in others]
    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, right)
    asked = np.array([match.score for result in results for match in result.matches])
    return Said(fitted.predict(asked), seen.right)


def ranking(
    results: Sequence[SearchResult], truth: Sequence[str], sizes: dict[str, int]
) -> tuple[float, float]:
    """Recall@1 and mean average precision at R (Musgrave et al. 2020)."""
    first, average = [], []
    for result, right in zip(results, truth, strict=True):
        hits = np.array([match.item.category == right for match in result.matches[: sizes[right]]])
        first.append(hits[0])
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        average.append((precision * hits).sum() / sizes[right])
    return float(np.mean(first)), float(np.mean(average))


def measure(library: Library, name: str, title: str, photos: Photos, strangers: Sequence[Path]) -> None:
    """All tables of one collection."""
    queries = [file for file, asks in zip(photos.files, photos.queries, strict=True) if asks]
    truth = photos.classes[photos.queries].tolist()
    near = ask(library, name, queries, Query((QueryPart("id", "x"),), limit=NEAREST))
    seen = said(near, truth)
    print(f"\n{title}: {len(queries)} queries, {NEAREST} nearest each")
    print(f"{'':40} {'ECE':>6} {'Brier':>6} {'AUC':>6} {'≥ 0.9':>7} (precision)")
    isotonic(library, name, near, seen).line("isotonic on the score")
    seen.line("score and neighborhood")
    grouped = Query((QueryPart("id", "x"),), limit=5, group_by="category")
    said(ask(library, name, queries, grouped), truth).line("the best of each of five categories")
    ranked = Query((QueryPart("id", "x"),), limit=NEAREST, rank_by="confidence")
    said(ask(library, name, queries, ranked), truth).line("ranked by confidence")

    words = np.array([match.likelihood for result in near for match in result.matches])
    shares = (
        f"{word} {np.mean(words == word):.2f} ({seen.right[words == word].mean():.3f} right)"
        for word in LIKELIHOODS
        if (words == word).any()
    )
    print("share of matches called", ", ".join(shares))

    classes, counts = np.unique(photos.classes[photos.gallery], return_counts=True)
    sizes = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    for rank_by in ("similarity", "confidence"):
        query = Query((QueryPart("id", "x"),), limit=max(sizes.values()), rank_by=rank_by)
        first, average = ranking(ask(library, name, queries, query), truth, sizes)
        print(f"ranked by {rank_by:12} R@1 {first:.3f}  mAP@R {average:.3f}")

    best = [result.category_estimate[0] for result in near]
    hit = np.mean([one.category == right for one, right in zip(best, truth, strict=True)])
    claimed = np.mean([one.probability for one in best])
    alarm = np.mean([one.category is None for one in best])
    print(
        f"the most probable category is right {hit:.3f}, mean probability {claimed:.3f}; "
        f'"none of these" first {alarm:.3f}'
    )
    odd = ask(library, name, strangers, Query((QueryPart("id", "x"),), limit=1))
    alarms = np.mean([result.category_estimate[0].category is None for result in odd])
    high = np.quantile([result.matches[0].confidence or 0.0 for result in odd], 0.95)
    print(
        f'{len(odd)} photos of other things: "none of these" first {alarms:.3f}; '
        f"95 % of first matches ≤ {high:.2f}"
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=SETS, action="append", dest="sets")
    parser.add_argument(
        "--trained", action="store_true", help="train the feature layer first, and measure again"
    )
    parser.add_argument("--store", type=Path, help="working folder; existing collections are reused")
    arguments = parser.parse_args()
    everything = {name: read_photos(DATA / name) for name in SETS}
    with tempfile.TemporaryDirectory(prefix="bench-confidence-") as scratch:
        root = arguments.store or Path(scratch)
        for name in arguments.sets or SETS:
            others = [file for other in SETS if other != name for file in everything[other].files]
            picked = np.random.default_rng(1).permutation(len(others))[:STRANGERS].tolist()
            strangers = [others[row] for row in picked]
            bench = Bench(name, everything[name], DATA, root)
            source = bench.train_side()
            lookalike(bench.store, root / "cache", "index", str(source), "--collection", name)
            library = Library(Settings(store=str(bench.store)), root / "cache")
            measure(library, name, f"{name}, frozen encoder", bench.photos, strangers)
            if arguments.trained:
                made = lookalike(bench.store, root / "cache", "train", str(source))["encoder"]
                encoder = made["id"] if isinstance(made, dict) else made
                lookalike(bench.store, root / "cache", "publish", name, str(encoder), "--force")
                library = Library(Settings(store=str(bench.store)), root / "cache")
                measure(library, name, f"{name}, trained feature layer", bench.photos, strangers)


if __name__ == "__main__":
    main()
