"""The ranges from which the packaged networks are quantised to int8: `python -m bench.int8_ranges`.

Writes `training/backbones/int8_ranges.json`. A layer stays in float32 if int8 vectors come nearer to those of
fp32 by it, one layer at a time, the most useful first. Ranges and layers come from gallery photos; the cosine
in the file, and those that are printed, from validation photos, which are not used for them. Needs the photos
of `bench.recall`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from bench.recall import DATA, SETS, Photos, inputs, read_photos
from lookalike.encoders.runtime import unit_length
from lookalike.training.backbones import packaged
from lookalike.training.backbones.efficientnet_lite_litert import INPUT, features_model
from lookalike.training.backbones.litert_to_int8 import measure_ranges, to_int8
from lookalike.training.backbones.packaged import PackagedNetwork
from lookalike.training.backbones.presets import PACKAGED
from lookalike.types import Pixels, Vectors

RANGE_PHOTOS = 200
HELD_OUT_PHOTOS = 200
TRIAL_PHOTOS = 24
MAX_FLOAT_LAYERS = 6
DIGITS = 4


def sample(sets: Sequence[Photos], count: int, *, held_out: bool) -> list[Path]:
    """Photos taken evenly from the gallery side, or from the queries, of every set."""
    share = count // len(sets)
    chosen: list[Path] = []
    for photos in sets:
        side = np.array(photos.files)[photos.queries if held_out else photos.gallery]
        chosen.extend(side[:: max(1, len(side) // share)][:share])
    return chosen


def vectors(model: bytes, images: Sequence[Pixels]) -> Vectors:
    """Unit-length vectors of a LiteRT model."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    found = []
    for image in images:
        interpreter.set_tensor(source, image[np.newaxis].astype(np.float32))
        interpreter.invoke()
        found.append(interpreter.get_tensor(result)[0].copy())
    return unit_length(np.stack(found))


def mean_cosine(first: Vectors, second: Vectors) -> float:
    """Of rows of unit length."""
    return float(np.mean(np.sum(first * second, axis=1)))


def measure(name: str, sets: Sequence[Photos]) -> dict[str, object]:
    """The entry of one network."""
    network = PackagedNetwork.load(name)
    seen = list(inputs(sample(sets, RANGE_PHOTOS, held_out=False), network.preprocess))
    model = features_model(network.variant, network.weights, network.pixel_range, for_int8=True)
    measured = measure_ranges(model, INPUT, seen)
    ranges = {layer: (round(low, DIGITS), round(high, DIGITS)) for layer, (low, high) in measured.items()}
    trial = seen[:: len(seen) // TRIAL_PHOTOS]
    wanted = vectors(network.to_fp32(), trial)
    chosen: list[str] = []

    def cosine(layers: Sequence[str]) -> float:
        return mean_cosine(vectors(to_int8(model, ranges, layers), trial), wanted)

    convolutions = [layer for layer in ranges if layer.endswith(("_conv", "_conv_stem", "_conv_head"))]
    gains = sorted(convolutions, key=lambda layer: -cosine([layer]))
    best = cosine(chosen)
    for layer in gains:
        if len(chosen) < MAX_FLOAT_LAYERS and (better := cosine([*chosen, layer])) > best:
            chosen, best = [*chosen, layer], better
            print(f"{name}: {layer} in float32: cosine {best:.5f} on {len(trial)} photos", flush=True)
    held_out = list(inputs(sample(sets, HELD_OUT_PHOTOS, held_out=True), network.preprocess))
    found = mean_cosine(
        vectors(to_int8(model, ranges, chosen), held_out), vectors(network.to_fp32(), held_out)
    )
    print(f"{name}: cosine {found:.5f} on {len(held_out)} held-out photos", flush=True)
    return {"mean_cosine": round(found, DIGITS), "float_layers": sorted(chosen), "ranges": ranges}


def main() -> None:
    """Measure every packaged network and write the table."""
    sets = [read_photos(DATA / name) for name in SETS]
    table = {name: measure(name, sets) for name in PACKAGED}
    target = Path(packaged.__file__).with_name(packaged.RANGES_FILE)
    target.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
