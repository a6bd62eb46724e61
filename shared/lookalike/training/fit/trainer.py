"""One training, from a data set to an encoder folder. It can resume from the files of each step."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lookalike.encoders import EncoderManifest
from lookalike.encoders.learnt_images import pack_learnt
from lookalike.images import ImageLimits, read_image
from lookalike.settings import Settings
from lookalike.training.backbones.efficientnet_lite import VARIANTS
from lookalike.training.backbones.export import export_backbone
from lookalike.training.backbones.int8_export import MIN_CALIBRATION_PICTURES, REFUSAL
from lookalike.training.backbones.load import Backbone, load_backbone
from lookalike.training.fit.blend import Frozen, Side, Trade, choose, trades
from lookalike.training.fit.devices import compute_type
from lookalike.training.fit.feature_cache import ActivationCache
from lookalike.training.fit.features import Extractor, cache_folder, not_cuttable
from lookalike.training.fit.head import HIDDEN, Head
from lookalike.training.fit.last_stages import Tail
from lookalike.training.fit.loop import Epoch, fit
from lookalike.training.fit.phases import layer_phase, stage_phase, tail_features
from lookalike.training.fit.remaining_time import Pace
from lookalike.training.fit.stage_inputs import DecodedPictures, StageInputs, StoredActivations
from lookalike.training.fit.trained_network import trained_network
from lookalike.training.fit.training_input import Material, gather
from lookalike.training.options import TrainingOptions
from lookalike.training.sources.dataset import Dataset
from lookalike.types import Pixels, Vectors

CALIBRATION_PICTURES = 150
CHECK_IMAGES = 30
OTHER_VIEW = 2
"""The view of the whole image: it is not random, and it shows the same as the centre crop."""

Report = Callable[[Mapping[str, Any]], None]
"""Called with the fields of `TrainingProgress`; it may raise to stop."""


@dataclass(slots=True)
class Trainer:
    """One training in one folder.

    Args:
        dataset: images and classes to train on.
        options: training options.
        run: its folder; the files of an earlier run are reused.
        cache: where features of all trainings are kept.
        report: called with progress.
        threads: images that the backbone processes in parallel.
    """

    dataset: Dataset
    options: TrainingOptions
    run: Path
    cache: Path
    report: Report
    threads: int = 2
    seconds: dict[str, float] = field(default_factory=dict)
    _pace: Pace = field(default_factory=Pace)

    def train(self) -> dict[str, Any]:
        """Run the training. Returns the content of `result.json`.

        Raises:
            InvalidInput: too few images are readable, or they cannot be split.
            BackboneNotFound, Incompatible, StoreUnavailable: see the parts.
        """
        # One process, one seed; batches, dropout and initial weights have their own seeds.
        keras.utils.set_random_seed(self.options.seed)
        self.report({"phase": "loading the backbone"})
        backbone = load_backbone(self.options.backbone)
        with ActivationCache(cache_folder(self.cache, backbone)) as cache:
            material, computed = self._extract(backbone, cache)
            _write(self.run / "split.json", _sides(material))
            stages = self._stages(backbone, cache, material)
            head, history = self._fit(material, stages)
            tail = stages.tail if stages else None
            frozen = Frozen.fit(material.centre[material.train])
            share, lines = self._blend(material, head, stages, frozen)
        manifest = self._export(backbone, material, head, tail, frozen, share)
        result = {
            "encoder": manifest.id,
            "options": self.options.to_json(),
            "pictures": {"train": len(material.train), "validation": len(material.validation)},
            "classes": len(material.names),
            "notes": [*material.notes, *_int8_notes(manifest)],
            "views_computed": computed,
            "epochs": history,
            "blend": {"share": share, "trades": [line.to_json() for line in lines]},
            "metrics": _metrics(lines, share),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }
        _write(self.run / "result.json", result)
        return result

    def _extract(self, backbone: Backbone, cache: ActivationCache) -> tuple[Material, int]:
        with self._timed("features"):
            extractor = Extractor(backbone, cache, activations=self.options.last_stages, threads=self.threads)
            steps = self._counted("features")
            files = [example.path for example in self.dataset.examples]
            limits = ImageLimits.from_settings(Settings())
            extraction = extractor.extract(files, self.options.views, limits, steps)
            material = gather(self.dataset, extraction, cache, self.options, backbone.dimension)
        return material, extraction.computed

    def _stages(self, backbone: Backbone, cache: ActivationCache, material: Material) -> _Stages | None:
        """The part of the backbone that is trained; None: nothing."""
        if not self.options.trains_backbone:
            return None
        if backbone.keras_model is None:
            raise not_cuttable(backbone)
        model, variant = backbone.keras_model(), VARIANTS[backbone.source]
        if self.options.last_stages:
            tail = Tail(model, variant)
            return _Stages(tail, StoredActivations(material, cache, tail.shape))
        tail = Tail(model, variant, whole=True, compute=compute_type())
        return _Stages(tail, DecodedPictures(material, backbone.preprocess, self.threads))

    def _fit(self, material: Material, stages: _Stages | None) -> tuple[Head, dict[str, Any]]:
        sample = material.features[material.train].reshape(-1, material.features.shape[2])
        head = Head(
            sample.mean(axis=0, dtype=np.float64).astype(np.float32),
            sample.std(axis=0, dtype=np.float64).astype(np.float32),
            self.options.dimension,
            len(material.names),
            self.options.seed,
            hidden=0 if stages else HIDDEN,
        )
        history = {}
        with self._timed("feature layer"):
            phase = layer_phase(material, head, self.options)
            history[phase.name] = fit(phase, self.run / "checkpoints" / "layer.npz", self._epoch)
        if stages:
            phase = stage_phase(material, head, stages.tail, stages.inputs, self.options)
            with self._timed(phase.name):
                history[phase.name] = fit(phase, self.run / "checkpoints" / "stages.npz", self._epoch)
        return head, history

    def _blend(
        self, material: Material, head: Head, stages: _Stages | None, frozen: Frozen
    ) -> tuple[float, list[Trade]]:
        self.report({"phase": "choosing the blend"})

        def side(rows: NDArray[np.int64], view: int) -> Side:
            own = material.features[rows, view].astype(np.float32)
            features: Vectors = own
            if stages:
                features = tail_features(stages.tail, stages.inputs, rows, view)
            return Side(head.embed(features), frozen(own), material.labels[rows])

        with self._timed("blend"):
            other = OTHER_VIEW if self.options.views > OTHER_VIEW else 0
            gallery = material.probes() if stages else material.train
            lines = trades(side(material.validation, 0), side(material.validation, other), side(gallery, 0))
            chosen = choose(lines) if self.options.blend is None else self.options.blend
        return chosen, lines

    def _export(
        self,
        backbone: Backbone,
        material: Material,
        head: Head,
        tail: Tail | None,
        frozen: Frozen,
        share: float,
    ) -> EncoderManifest:
        target = self.run / "encoder"
        if (target / "encoder.json").is_file():  # it was killed after the export
            return EncoderManifest.read(target)
        name = self.options.name or f"{backbone.name}-{self.options.loss}"
        with self._timed("export"):
            network = trained_network(backbone, head, tail, frozen, share, name)
            details = {
                "training": self.options.to_json(),
                "share": share,
                "classes": len(material.names),
                "held_out": _sides(material)["validation"],
                "learnt": pack_learnt(material.examples[row].path for row in material.train),
                "categories": list(material.names),
            }
            few = _too_few_for_int8(material)
            # A packaged network that was not trained itself may keep the ranges that come with it.
            known = tail is None and backbone.packaged is not None
            return export_backbone(
                network,
                target,
                name=name,
                calibration=None if few else _calibration(material, backbone),
                check=_check(material, backbone) if known and not few else None,
                progress=lambda text: self.report({"phase": text}),
                details=details | ({REFUSAL: few} if few else {}),
            )

    # Progress

    def _timed(self, name: str) -> _Timer:
        return _Timer(self.seconds, name)

    def _counted(self, phase: str) -> Callable[[int, int], None]:
        def step(done: int, total: int) -> None:
            left = self._pace.left(phase, done, total)
            self.report({"phase": phase, "done": done, "total": total, "remaining_seconds": left})

        return step

    def _epoch(self, epoch: Epoch) -> None:
        done = (epoch.number - 1) * epoch.steps + epoch.step
        total = epoch.epochs * epoch.steps
        self.report(
            {
                "phase": epoch.phase,
                "done": done,
                "total": total,
                "remaining_seconds": self._pace.left(epoch.phase, done, total),
                "loss": epoch.loss,
                "metrics": dict(epoch.metrics),
            }
        )


@dataclass(frozen=True, slots=True)
class _Stages:
    """The trained part of the backbone, and its inputs."""

    tail: Tail
    inputs: StageInputs


class _Timer:
    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = time.monotonic() - self._started


def _too_few_for_int8(material: Material) -> str:
    """Why no int8 file is made, as a sentence; empty if one is made."""
    count = len(material.train)
    if count >= MIN_CALIBRATION_PICTURES:
        return ""
    return f"{count} training images, and {MIN_CALIBRATION_PICTURES} or more are required to calibrate int8"


def _int8_notes(manifest: EncoderManifest) -> list[str]:
    """A note if the encoder has no int8 file, else an empty list."""
    refusal = manifest.details.get(REFUSAL)
    return [f"the encoder is in fp32 only: {refusal}"] if refusal else []


def _calibration(material: Material, backbone: Backbone) -> Iterator[Pixels]:
    """Training images for int8 calibration, evenly spaced, so that every class has its share."""
    rows = material.train[:: max(1, -(-len(material.train) // CALIBRATION_PICTURES))]
    yield from _images(material, backbone, rows)


def _check(material: Material, backbone: Backbone) -> Iterator[Pixels]:
    """Images on which int8 is compared with fp32: held-out ones, and training images if those are few."""
    rows = [*material.validation[:CHECK_IMAGES], *material.train][:CHECK_IMAGES]
    yield from _images(material, backbone, rows)


def _images(material: Material, backbone: Backbone, rows: Iterable[int]) -> Iterator[Pixels]:
    limits = ImageLimits.from_settings(Settings())
    for row in rows:
        yield read_image(material.examples[row].path.read_bytes(), limits, backbone.preprocess)[1]


def _sides(material: Material) -> dict[str, list[str]]:
    return {
        side: [material.examples[row].id for row in rows]
        for side, rows in (("train", material.train), ("validation", material.validation))
    }


def _metrics(lines: list[Trade], share: float) -> dict[str, float]:
    nearest = min(lines, key=lambda line: abs(line.share - share))
    frozen = lines[-1]
    return {
        "recall_at_1": round(nearest.recall_at_1, 4),
        "map_at_r": round(nearest.map_at_r, 4),
        "detail": round(nearest.detail, 4),
        "frozen_recall_at_1": round(frozen.recall_at_1, 4),
        "frozen_map_at_r": round(frozen.map_at_r, 4),
    }


def _write(path: Path, document: object) -> None:
    staged = path.with_suffix(".part")
    with staged.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
