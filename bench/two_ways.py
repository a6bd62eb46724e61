"""The default encoder built directly and by TensorFlow's converter: `python -m bench.two_ways`.

One table: seconds of processor time to build, and of the int8 files the size, the mean cosine to fp32, the
time an image (paired, one thread) and recall@1 on both labelled sets. Needs TensorFlow and the photos of
`bench.recall`.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.recall import DATA, SETS, Photos, encode, inputs, read_photos, recall_at_1
from lookalike.encoders import Encoder, EncoderManifest
from lookalike.encoders.runtime import unit_length
from lookalike.types import Pixels, Vectors

CALIBRATION_PHOTOS = 200
TIMED_PHOTOS = 100
WAYS = ("direct", "tensorflow")


def build(way: str, folder: Path, data: Path) -> None:
    """Build the encoder in this process."""
    from dataclasses import replace

    from lookalike.training.backbones.export import build_encoder, export_backbone

    if way == "direct":
        build_encoder("efficientnet-lite0", folder)
        return
    from lookalike.training.backbones.load import load_backbone

    backbone = replace(load_backbone("efficientnet-lite0"), packaged=None)
    files: list[Path] = []
    for name in SETS:
        photos = read_photos(data / name)
        gallery = np.array(photos.files)[photos.gallery]
        share = CALIBRATION_PHOTOS // len(SETS)
        files.extend(gallery[:: len(gallery) // share][:share])
    calibration = inputs(files, backbone.preprocess)
    export_backbone(backbone, folder, name="efficientnet-lite0", calibration=calibration)


def build_seconds(way: str, folder: Path, data: Path) -> float:
    """Build in a fresh process; returns its processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "bench.two_ways", "--build", way, str(folder), "--data", str(data)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def paired_milliseconds(encoders: list[Encoder], images: list[Pixels]) -> list[float]:
    """Median milliseconds an image of each encoder; they take turns, image by image."""
    times: list[list[float]] = [[] for _ in encoders]
    for image in images:
        for encoder, taken in zip(encoders, times, strict=True):
            started = time.perf_counter()
            encoder.encode_one(image)
            taken.append((time.perf_counter() - started) * 1e3)
    return [float(np.median(taken)) for taken in times]


def print_table(folders: dict[str, Path], seconds: dict[str, float], sets: dict[str, Photos]) -> None:
    """Encode all photos with both precisions of both encoders, and print a row for each way."""
    manifests = {way: EncoderManifest.read(folder) for way, folder in folders.items()}
    int8 = {
        way: Encoder(manifest, folders[way] / manifest.precision("int8").file, "int8")
        for way, manifest in manifests.items()
    }
    first = next(iter(sets.values()))
    preprocess = manifests["direct"].preprocess
    milliseconds = paired_milliseconds(
        list(int8.values()), list(inputs(first.files[:TIMED_PHOTOS], preprocess))
    )
    print("| built | CPU s | int8, MB | ms an image |" + "".join(f" {name}: cosine | R@1 |" for name in sets))
    print("|---|---|---|---|" + "---|---|" * len(sets))
    for (way, manifest), each in zip(manifests.items(), milliseconds, strict=True):
        cells = []
        for photos in sets.values():
            fp32 = Encoder(manifest, folders[way] / manifest.precision("fp32").file, "fp32")
            vectors: list[Vectors] = [encode(one, photos, preprocess) for one in (fp32, int8[way])]
            cosine = np.mean(np.sum(unit_length(vectors[0]) * unit_length(vectors[1]), axis=1))
            cells += [f"{cosine:.4f}", f"{recall_at_1(photos, vectors[1], vectors[1]):.3f}"]
        size = manifest.precision("int8").size_bytes / 1e6
        print(
            f"| {way} | {seconds[way]:.1f} | {size:.2f} | {each:.1f} | " + " | ".join(cells) + " |",
            flush=True,
        )
    print(f"speed ratio, direct to tensorflow: {milliseconds[0] / milliseconds[1]:.3f}")


def main() -> None:
    """Build both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with clothing/ and grocery/")
    parser.add_argument("--build", nargs=2, metavar=("WAY", "FOLDER"), help="build one encoder, and no table")
    options = parser.parse_args()
    if options.build:
        build(options.build[0], Path(options.build[1]), options.data)
        return
    sets = {name: read_photos(options.data / name) for name in SETS}
    with tempfile.TemporaryDirectory() as scratch:
        folders = {way: Path(scratch) / way for way in WAYS}
        seconds = {way: build_seconds(way, folder, options.data) for way, folder in folders.items()}
        print_table(folders, seconds, sets)


if __name__ == "__main__":
    main()
