"""Search by words: `python -m bench.text_search STORE COLLECTION [--untitled 0.4]`, `… --items 100000`.

With a store and the name of a collection whose items have titles, it prints nDCG@10 (Järvelin & Kekäläinen
2002) of queries of two or three words of a title, as written and misspelt; an item is right if its title has
all of them. First every item has its title, then `--untitled` of them have none and only their images speak.
The rows compare words alone, letters, meaning, reciprocal rank fusion of words and meaning, and `fused`,
which the product uses. The bridge is learned from the titled items.

With `--items`, it prints what a search by words costs among so many made-up items.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.library import Library
from lookalike.text_search.bridge import units
from lookalike.text_search.fit_bridge import FittedBridge, fit_bridge
from lookalike.text_search.fusion import fused
from lookalike.text_search.inverted_index import trigrams
from lookalike.text_search.item_text import ItemText
from lookalike.text_search.text_index import (
    IMAGES_FILE,
    TEXT_FILE,
    TextIndex,
    WordIndex,
    write_text_index,
)
from lookalike.types import Item

QUERIES = 400
RANKS = 10
RRF = 60
EMPTY = ItemText("", "", "")
Scores = NDArray[np.floating[Any]]


def ndcg(scores: Scores, right: NDArray[np.bool_]) -> float:
    """nDCG@10 of right and wrong items."""
    gains = 1 / np.log2(np.arange(2, RANKS + 2))
    best = right[np.argsort(-scores, kind="stable")[:RANKS]]
    return float((best * gains).sum() / gains[: min(RANKS, int(right.sum()))].sum())


def reciprocal_ranks(*lists: Scores) -> Scores:
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009)."""
    total = np.zeros(len(lists[0]))
    for scores in lists:
        ranks = np.empty(len(scores))
        ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
        total += 1 / (RRF + ranks)
    return total


def misspelt(word: str, draw: random.Random) -> str:
    """One letter left out, swapped or replaced, in words of four and more."""
    if len(word) < 4:
        return word
    at = draw.randrange(1, len(word) - 1)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    replaced = word[:at] + draw.choice("abcdefghijklmnop") + word[at + 1 :]
    return draw.choice([word[:at] + word[at + 1 :], swapped, replaced])


def compare(index: WordIndex, fitted: FittedBridge, images: Any, has: Any, text: str) -> dict[str, Scores]:
    """The scores of all items by each method."""
    read = index.read(text)
    words, letters = index.scores(read)
    plain = index.words.scores(dict.fromkeys(text.split(), 1.0))
    by_letters = index.letters.scores(dict.fromkeys(trigrams(text.split()), 1.0))
    mended = " ".join(one.read_as or one.word for one in read)
    meaning = np.asarray(images @ fitted.bridge.texts(fitted.encoder.encode([mended]))[0])
    return {
        "words (BM25)": plain,
        "words, mended": words,
        "letters": by_letters,
        "meaning": meaning,
        "reciprocal rank fusion": reciprocal_ranks(plain, meaning),
        "fused": fused(words, letters, meaning, has, fitted.quality.usual_best),
    }


def quality(store: str, collection: str, untitled: float) -> None:
    view = Library.open(store).searcher(collection).state().view
    items = [view.item_at(row) for row in range(view.size)]
    vectors = np.array([view.vector_at(row) for row in range(view.size)])
    full = [ItemText.of(Item(item.id, title=item.title)) for item in items]
    terms = [set(text.terms()) for text in full]
    for share in (0.0, untitled):
        hidden = np.random.default_rng(1).random(len(items)) < share
        texts = [EMPTY if gone else text for gone, text in zip(hidden, full, strict=True)]
        fitted, reason = fit_bridge(vectors, texts)
        if fitted is None:
            raise SystemExit(reason)
        print(f"\n{len(items):,} items, {share:.0%} without a title; held out: {fitted.quality}")
        index, images = WordIndex.build(texts), fitted.bridge.images(vectors)
        has = np.array([bool(text.short) for text in texts])
        for kind in ("as written", "misspelt"):
            found: dict[str, list[float]] = {}
            draw = random.Random(0)
            for _ in range(QUERIES):
                words = [word for word in draw.choice(full).title.lower().split() if word.isalpha()]
                if len(words) < 2:
                    continue
                asked = draw.sample(words, min(len(words), draw.choice([2, 3])))
                right = np.array([all(word in own for word in asked) for own in terms])
                text = " ".join(misspelt(word, draw) if kind == "misspelt" else word for word in asked)
                for name, scores in compare(index, fitted, images, has, text).items():
                    found.setdefault(name, []).append(ndcg(scores, right))
            count = len(found["fused"])
            print(f"\n| {kind}, {count} queries | nDCG@{RANKS} |\n|---|---|")
            for name, values in found.items():
                print(f"| {name} | {np.mean(values):.3f} |")


def cost(count: int) -> None:
    draw = np.random.default_rng(0)
    vocabulary = [
        "".join(draw.choice(list("abcdefghijklmnoprstu"), draw.integers(4, 9))) for _ in range(8_000)
    ]
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    picked = draw.choice(len(vocabulary), (count, 6), p=weights / weights.sum())
    texts = [ItemText.of(Item("x", title=" ".join(vocabulary[word] for word in row))) for row in picked]
    directions = draw.standard_normal((len(vocabulary), 256)).astype(np.float32)
    vectors = units(directions[picked].sum(axis=1) + draw.standard_normal((count, 256)).astype(np.float32))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        fitted, reason = fit_bridge(vectors, texts)
        learned = time.perf_counter()
        info = write_text_index(Path(folder), texts, fitted, reason, vectors, count)
        written = time.perf_counter()
        data = (Path(folder) / TEXT_FILE).read_bytes()
        index = TextIndex.open(info, data, Path(folder) / IMAGES_FILE)
        loaded = time.perf_counter()
        sizes = {name: (Path(folder) / name).stat().st_size / 1e6 for name in info.files}
        times = []
        for row in range(200):
            text = " ".join(vocabulary[word] for word in picked[row * 7][:3])
            begun = time.perf_counter()
            read = index.index.read(text)
            scores = fused(
                *index.index.scores(read), index.meaning(text, read), index.has_words, index.usual_best
            )
            np.argpartition(-scores, 10)
            times.append((time.perf_counter() - begun) * 1e3)
    print(f"\n{count:,} items: learned in {learned - started:.1f} s, written in {written - learned:.1f} s")
    print(", ".join(f"{name} {size:.1f} MB" for name, size in sizes.items()))
    median = np.median(times)
    print(f"loaded in {(loaded - written) * 1e3:.0f} ms; a query takes {median:.1f} ms (median of 200)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", nargs="?")
    parser.add_argument("collection", nargs="?")
    parser.add_argument("--untitled", type=float, default=0.4)
    parser.add_argument("--items", type=int)
    given = parser.parse_args()
    if given.store and given.collection:
        quality(given.store, given.collection, given.untitled)
    if given.items:
        cost(given.items)


if __name__ == "__main__":
    main()
