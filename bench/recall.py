"""How well the frozen default encoder finds photos of the same class: `python -m bench.recall`.

Validation photos are the queries, the train side is the gallery, the nearest photo by cosine decides (exact
search). Needs labelled photos: a folder with `clothing/` and `grocery/`, each with a `metadata.csv` of the
columns `file`, `category` and `split`.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.encoders import Encoder, EncoderManifest
from lookalike.images import ImageLimits, Preprocess, read_image
from lookalike.settings import Settings
from lookalike.training.child import build_encoder_in_child
from lookalike.types import Pixels, Precision, Vectors

DATA = Path(os.environ.get("LOOKALIKE_DATA", "../shared/data"))
SETS = ("clothing", "grocery")
DEFAULTS = Preprocess()
VARIANTS: dict[str, Preprocess] = {
    "crop 0.875, bicubic": DEFAULTS,
    "crop 0.875, bilinear": replace(DEFAULTS, interpolation="bilinear"),
    "crop 1.0, bicubic": replace(DEFAULTS, crop_fraction=1.0),
    "squash, bicubic": replace(DEFAULTS, crop_fraction=1.0, fit="squash"),
    "pad, bicubic": replace(DEFAULTS, crop_fraction=1.0, fit="pad"),
}


@dataclass(frozen=True)
class Photos:
    """One labelled set: files, classes, and which of them are queries and which are the gallery."""

    files: tuple[Path, ...]
    classes: NDArray[np.str_]
    queries: NDArray[np.bool_]
    gallery: NDArray[np.bool_]


def read_photos(folder: Path) -> Photos:
    """The set in `folder`, as its `metadata.csv` lists it."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    splits = np.array([row["split"] for row in rows])
    return Photos(
        tuple(folder / row["file"] for row in rows),
        np.array([row["category"] for row in rows]),
        np.isin(splits, ("val", "validation")),
        splits == "train",
    )


def inputs(files: Sequence[Path], preprocess: Preprocess) -> Iterator[Pixels]:
    """The model's inputs, made by the same code as in serving."""
    limits = ImageLimits.from_settings(Settings())
    for file in files:
        yield read_image(file.read_bytes(), limits, preprocess)[1]


def encode(encoder: Encoder, photos: Photos, preprocess: Preprocess) -> Vectors:
    """Vectors of every photo of a set."""
    return np.concatenate([encoder.encode([picture]) for picture in inputs(photos.files, preprocess)])


def recall_at_1(photos: Photos, queries: Vectors, gallery: Vectors) -> float:
    """Share of queries whose nearest gallery photo is of their class."""
    nearest = (queries[photos.queries] @ gallery[photos.gallery].T).argmax(1)
    found = photos.classes[photos.gallery][nearest] == photos.classes[photos.queries]
    return float(found.mean())


def print_precisions(folder: Path, manifest: EncoderManifest, sets: dict[str, Photos]) -> None:
    """Recall with every pairing of query and gallery precision."""
    vectors: dict[tuple[str, Precision], Vectors] = {}
    for precision, info in manifest.precisions.items():
        encoder = Encoder(manifest, folder / info.file, precision)
        for name, photos in sets.items():
            vectors[name, precision] = encode(encoder, photos, manifest.preprocess)
    print(f"{'query':8} {'gallery':8}" + "".join(f" {name + ' R@1':>13}" for name in sets))
    for query in manifest.precisions:
        for gallery in manifest.precisions:
            scores = [
                recall_at_1(photos, vectors[name, query], vectors[name, gallery])
                for name, photos in sets.items()
            ]
            print(f"{query:8} {gallery:8}" + "".join(f" {score:13.3f}" for score in scores), flush=True)
    for name in sets if "int8" in manifest.precisions else ():
        cosines = np.sum(vectors[name, "fp32"] * vectors[name, "int8"], axis=1)
        print(f"int8 to fp32, {name}: mean cosine {cosines.mean():.4f}, lowest {cosines.min():.4f}")


def print_variants(folder: Path, manifest: EncoderManifest, sets: dict[str, Photos]) -> None:
    """Recall of fp32 with other preprocessing."""
    encoder = Encoder(manifest, folder / manifest.precisions["fp32"].file, "fp32")
    print(f"\n{'preprocessing (fp32)':22}" + "".join(f" {name + ' R@1':>13}" for name in sets))
    for label, preprocess in VARIANTS.items():
        scores = []
        for photos in sets.values():
            vectors = encode(encoder, photos, preprocess)
            scores.append(recall_at_1(photos, vectors, vectors))
        print(f"{label:22}" + "".join(f" {score:13.3f}" for score in scores), flush=True)


def main(argv: list[str] | None = None) -> int:
    """Build the default encoder, encode both sets, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with clothing/ and grocery/")
    parser.add_argument("--variants", action="store_true", help="also compare ways of preprocessing (slow)")
    options = parser.parse_args(argv)
    absent = [name for name in SETS if not (options.data / name / "metadata.csv").is_file()]
    if absent:
        print(f"no labelled photos at {options.data / absent[0]}: set LOOKALIKE_DATA, or pass --data FOLDER")
        return 1
    sets = {name: read_photos(options.data / name) for name in SETS}
    for name, photos in sets.items():
        print(f"{name}: {photos.queries.sum()} queries, {photos.gallery.sum()} in the gallery")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "encoder"
        manifest = build_encoder_in_child("efficientnet-lite0", folder)
        print(f"\nencoder {manifest.id}, default precision {manifest.default_precision}")
        print_precisions(folder, manifest, sets)
        if options.variants:
            print_variants(folder, manifest, sets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
