"""The gain from training: `python -m bench.training [layer|stages|losses|blind]… [--set clothing]`.

Needs labelled photos: a folder with `clothing/` and `grocery/`, each with a `metadata.csv` of the columns
`file`, `category` and `split` (LOOKALIKE_DATA). Photos of the split `train` are the training images and the
gallery; those of the split `val` are the queries, and training never sees them.

    layer    from a folder of photos to a published encoder, the feature layer trained
    stages   the same, the last stages trained too
    losses   every loss, on the features that the first run left
    blind    trained on coarse categories, evaluated on fine ones; trained on 60 fine ones, evaluated on 21
    others
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.recall import DATA, SETS, Photos, inputs, read_photos
from lookalike.encoders import Encoder, Encoders
from lookalike.evaluation import Candidate, EncoderResult, QuerySplit, evaluate
from lookalike.images import ImageLimits
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.training.backbones.load import load_backbone
from lookalike.training.fit.blend import SHARES, Frozen, Side
from lookalike.training.fit.feature_cache import ActivationCache
from lookalike.training.fit.features import Extractor, cache_folder, read_features
from lookalike.training.fit.head import Head
from lookalike.training.fit.loop import fit
from lookalike.training.fit.phases import layer_phase
from lookalike.training.fit.training_input import Material
from lookalike.training.options import LOSSES, TrainingOptions
from lookalike.types import Precision, Vectors

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lookalike"
COLUMNS = f"{'R@1':>7} {'mAP@R':>7} {'R@P.92':>7} {'ECE':>6}"
PARTS = ("layer", "stages", "losses", "blind")
UNSEEN_CLASSES = 21


@dataclass(frozen=True)
class Bench:
    """One set of photos, and a store to train in."""

    name: str
    photos: Photos
    folder: Path
    scratch: Path

    @property
    def store(self) -> Path:
        return self.scratch / f"{self.name}-store"

    def source(self, name: str, labels: Sequence[str | None]) -> Path:
        """A folder of the photos that have a label, in a folder for each label."""
        target = self.scratch / name
        for file, label in zip(self.photos.files, labels, strict=True):
            if label is not None:
                place = target / label / file.name
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.exists():
                    os.link(file, place) if _same_device(file, place) else shutil.copyfile(file, place)
        return target

    def train_side(self) -> Path:
        """The training photos, by their category."""
        chosen = self.photos.gallery
        return self.source(
            f"{self.name}-train",
            [str(c) if take else None for c, take in zip(self.photos.classes, chosen, strict=True)],
        )

    def vectors(self, encoder: Encoder) -> Vectors:
        """Of every photo."""
        return encoder.encode(list(inputs(self.photos.files, encoder.manifest.preprocess)))

    def judge(
        self,
        vectors: Mapping[str, Vectors],
        labels: Sequence[str],
        queries: np.ndarray,
        gallery: np.ndarray,
    ) -> dict[str, EncoderResult]:
        """Held-out photos against the gallery."""
        none = np.empty(0, np.int64)
        split = QuerySplit(np.flatnonzero(queries), np.flatnonzero(gallery), (none, none), "held-out photos")
        candidates = [Candidate(name, value) for name, value in vectors.items()]
        report = evaluate(candidates, [str(file) for file in self.photos.files], labels, split)
        return {result.name: result for result in report.encoders}


def _same_device(file: Path, place: Path) -> bool:
    return file.stat().st_dev == place.parent.stat().st_dev and os.access(file, os.W_OK)


def lookalike(store: Path, cache: Path, *arguments: str) -> dict[str, object]:
    """What one command prints with `--json`."""
    ran = subprocess.run(
        [sys.executable, "-m", "lookalike.cli", *arguments, "--store", str(store), "--json"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
    )
    if not ran.stdout.strip():
        raise SystemExit(f"lookalike {' '.join(arguments)} failed:\n{ran.stderr[-2000:]}")
    document: dict[str, object] = json.loads(ran.stdout)
    return document


def line(name: str, result: EncoderResult, seconds: float | None = None) -> None:
    """One row of a table."""
    values = [result.metrics[key].value for key in ("recall_at_1", "map_at_r", "recall_at_precision")]
    error = result.reliability.expected_calibration_error if result.reliability else float("nan")
    took = f" {seconds:7.0f} s" if seconds is not None else ""
    print(f"{name:44} {values[0]:7.3f} {values[1]:7.3f} {values[2]:7.3f} {error:6.3f}{took}", flush=True)


def whole(bench: Bench, *options: str) -> None:
    """Index, train and publish with the commands of a user; then evaluate on held-out photos."""
    source = bench.train_side()
    collection = bench.name
    lookalike(bench.store, bench.scratch / "cache", "index", str(source), "--collection", collection)
    started = time.monotonic()
    trained = lookalike(
        bench.store, bench.scratch / "cache", "train", str(source), "--publish", collection, *options
    )
    seconds = time.monotonic() - started
    encoders = Encoders(Store.artifacts(Settings(store=str(bench.store))))
    title = f"{bench.name}, {' '.join(options) or 'feature layer'}"
    vectors: dict[str, Vectors] = {}
    manifests = {m.id: m for m in encoders.list()}
    new = str(trained["encoder"]) if isinstance(trained["encoder"], str) else str(trained["encoder"]["id"])  # type: ignore[index]
    frozen = next(m.id for m in manifests.values() if "training" not in m.details)
    for name, encoder_id, precision in (
        ("frozen", frozen, None),
        (f"{title}, int8", new, "int8"),
        (f"{title}, fp32", new, "fp32"),
    ):
        chosen: Precision | None = precision  # type: ignore[assignment]
        if chosen is None or chosen in manifests[encoder_id].precisions:
            vectors[name] = bench.vectors(encoders.load(encoder_id, chosen, threads=2))
    results = bench.judge(
        vectors, [str(c) for c in bench.photos.classes], bench.photos.queries, bench.photos.gallery
    )
    for name, result in results.items():
        line(name, result, seconds if name.endswith("int8") else None)


@dataclass(frozen=True)
class Heads:
    """Feature layers trained on cached features, without the detour of exporting them."""

    photos: Photos
    features: np.ndarray

    @classmethod
    def of(cls, bench: Bench) -> Heads:
        """Features of every view of every photo, from the cache that the other parts use too."""
        backbone = load_backbone(TrainingOptions().backbone)
        root = bench.scratch / "cache" / "lookalike" / "training" / "features"
        limits = ImageLimits.from_settings(Settings())
        views = TrainingOptions().views
        with ActivationCache(cache_folder(root, backbone)) as cache:
            extractor = Extractor(backbone, cache, activations=False)
            found = extractor.extract(bench.photos.files, views, limits, lambda _done, _total: None)
            return cls(bench.photos, read_features(cache, found.digests, views, backbone.dimension))

    def train(self, labels: Sequence[str], rows: np.ndarray, options: TrainingOptions) -> Side:
        """Train on `labels` of `rows`, a tenth of which decides when to stop; both parts of every vector."""
        names, numbers = np.unique(np.array(labels)[rows], return_inverse=True)
        held = np.arange(len(rows)) % 10 == 0
        material = Material(
            examples=(),
            notes=(),
            digests=(),
            labels=numbers.astype(np.int64),
            names=tuple(names.tolist()),
            train=np.flatnonzero(~held),
            validation=np.flatnonzero(held),
            features=self.features[rows],
        )
        sample = material.features[material.train].reshape(-1, self.features.shape[2]).astype(np.float32)
        head = Head(sample.mean(0), sample.std(0), options.dimension, len(names), options.seed)
        with tempfile.TemporaryDirectory() as folder:
            fit(layer_phase(material, head, options), Path(folder) / "layer.npz", lambda _epoch: None)
        centre = self.features[:, 0].astype(np.float32)
        frozen = Frozen.fit(centre[rows])
        return Side(head.embed(centre), frozen(centre), np.zeros(len(centre), np.int64))


def losses(bench: Bench) -> None:
    """Every loss on the same features, compared with frozen features."""
    heads = Heads.of(bench)
    labels = [str(label) for label in bench.photos.classes]
    rows = np.flatnonzero(bench.photos.gallery)
    vectors = {}
    for loss in LOSSES:
        side = heads.train(labels, rows, TrainingOptions(loss=loss))
        vectors["frozen"] = side.at(0.0)
        vectors[loss] = side.at(1.0)
    vectors = {"frozen": vectors.pop("frozen"), **vectors}
    results = bench.judge(vectors, labels, bench.photos.queries, bench.photos.gallery)
    for name, result in results.items():
        line(f"{bench.name}, {name}", result)


def blind(bench: Bench) -> None:
    """How well encoders keep distinctions that their categories do not make."""
    heads = Heads.of(bench)
    with (bench.folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        coarse = [row["coarse_category"] for row in csv.DictReader(file)]
    fine = np.array([str(label) for label in bench.photos.classes])
    queries, gallery = bench.photos.queries, bench.photos.gallery
    side = heads.train(coarse, np.flatnonzero(gallery), TrainingOptions())
    vectors = {f"share {share:.2f}": side.at(share) for share in SHARES}
    for name, result in bench.judge(vectors, list(fine), queries, gallery).items():
        line(f"42 coarse, evaluated on 81 fine: {name}", result)
    unseen = np.isin(fine, np.random.default_rng(0).choice(np.unique(fine), UNSEEN_CLASSES, replace=False))
    side = heads.train(list(fine), np.flatnonzero(gallery & ~unseen), TrainingOptions())
    vectors = {f"share {share:.2f}": side.at(share) for share in SHARES}
    for name, result in bench.judge(vectors, list(fine), queries & unseen, gallery & unseen).items():
        line(f"60 fine, evaluated on 21 others: {name}", result)


def main(argv: list[str] | None = None) -> int:
    """Print the chosen tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=["layer"])
    parser.add_argument("--set", choices=SETS, action="append", dest="sets")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with clothing/ and grocery/")
    parser.add_argument("--scratch", type=Path, help="kept, so that features are not computed again")
    options = parser.parse_args(argv)
    names = options.sets or list(SETS)
    absent = [name for name in names if not (options.data / name / "metadata.csv").is_file()]
    if absent:
        print(f"no labelled photos at {options.data / absent[0]}: set LOOKALIKE_DATA, or pass --data FOLDER")
        return 1
    with tempfile.TemporaryDirectory() as temporary:
        scratch = options.scratch or Path(temporary)
        print(f"{'':44} {COLUMNS}")
        for name in names:
            bench = Bench(name, read_photos(options.data / name), options.data / name, scratch)
            for part in options.parts or ["layer"]:
                if part == "layer":
                    whole(bench)
                elif part == "stages":
                    whole(bench, "--last-stages")
                elif part == "losses":
                    losses(bench)
                elif name == "grocery":
                    blind(bench)
    return 0


if __name__ == "__main__":
    sys.exit(main())
