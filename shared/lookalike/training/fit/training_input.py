"""The input of a training: images, their split, and their backbone features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.training.fit.feature_cache import ActivationCache, Values
from lookalike.training.fit.features import Extraction, read_features
from lookalike.training.options import TrainingOptions
from lookalike.training.sources.dataset import Dataset, Example, check_readable
from lookalike.training.sources.splits import Split, split

Rows = NDArray[np.int64]
GALLERY_SHARE = 2


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The readable images of a data set, split into train and validation.

    Attributes:
        examples: n of them.
        notes: notes for users: what was left out or grouped.
        digests: content hash of each.
        labels: (n,) int64, positions in `names`.
        names: of the classes, sorted.
        train, validation: rows of each side.
        features: (n, views, d) float16.
    """

    examples: tuple[Example, ...]
    notes: tuple[str, ...]
    digests: tuple[bytes, ...]
    labels: Rows
    names: tuple[str, ...]
    train: Rows
    validation: Rows
    features: Values

    @property
    def centre(self) -> NDArray[np.float32]:
        """Features of the view that serving sees: (n, d) float32."""
        return self.features[:, 0].astype(np.float32)

    def probes(self) -> Rows:
        """Training rows used as the gallery in validation if all of them would take too long: of each
        class at most twice as many as are held back, but at least four.
        """
        held = np.bincount(self.labels[self.validation], minlength=len(self.names))
        chosen = []
        for label, count in enumerate(held):
            mine = self.train[self.labels[self.train] == label]
            chosen.append(mine[:: max(1, len(mine) // max(4, GALLERY_SHARE * count))])
        return np.concatenate(chosen)


def gather(
    dataset: Dataset,
    extraction: Extraction,
    cache: ActivationCache,
    options: TrainingOptions,
    dimension: int,
) -> Material:
    """Split the readable images, and read their features from the cache.

    Raises:
        InvalidInput: too few images are readable, or they cannot be split.
    """
    rejected = {dataset.examples[row].id: why for row, why in extraction.rejected.items()}
    readable = check_readable(dataset.examples, rejected)
    rows = {example.id: row for row, example in enumerate(dataset.examples)}
    kept = [rows[example.id] for example in readable.examples]
    sides: Split = split(
        readable.examples,
        extraction.hashes[kept],
        fraction=options.validation_fraction,
        seed=options.seed,
    )
    digests = tuple(extraction.digests[row] for row in kept)
    names, labels = np.unique([example.label for example in readable.examples], return_inverse=True)
    return Material(
        examples=readable.examples,
        notes=(*dataset.notes, *readable.notes, *sides.notes),
        digests=digests,
        labels=labels.astype(np.int64),
        names=tuple(str(name) for name in names),
        train=np.array(sides.train, np.int64),
        validation=np.array(sides.validation, np.int64),
        features=read_features(cache, digests, options.views, dimension),
    )
