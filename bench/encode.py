"""Time and memory of encoding one image in each runtime, compared in one run: `python -m bench.encode`.

The packaged default backbone (EfficientNet-Lite0, 224 px) in LiteRT int8, LiteRT fp32 and TensorFlow
(SavedModel through `hub.load`). Every line of the table is measured in separate processes, to include
start-up and memory; the rounds alternate, so that other load on the machine affects all runtimes equally.

cold         seconds from before the first import to the first vector
MB           resident memory at the end
ms           milliseconds an image, one at a time, median
2 callers    images a second of two threads that share one encoder, relative to one thread; 2.0 would be
             perfect on two free CPUs, 1.0 would mean that the interpreter holds the GIL
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.types import Precision

STARTED = time.perf_counter()

TITLES = {"int8": "LiteRT int8", "fp32": "LiteRT fp32", "tensorflow": "TensorFlow, hub.load"}
SIDE = 224
WARM_UP = 5
CALIBRATION_PICTURES = 50


def opener(runtime: str, folder: Path, threads: int) -> Callable[[Any], Any]:
    """A function that encodes one image."""
    if runtime == "tensorflow":
        import tensorflow as tf
        import tensorflow_hub as hub

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        module = hub.load(str(folder / "saved_model"))
        return lambda picture: module(tf.constant(picture[None], tf.float32)).numpy()[0]
    from lookalike.encoders import Encoder, EncoderManifest

    manifest = EncoderManifest.read(folder / "encoder")
    precision: Precision = "int8" if runtime == "int8" else "fp32"
    path = folder / "encoder" / manifest.precision(precision).file
    return Encoder(manifest, path, precision, threads=threads).encode_one


def measure(runtime: str, folder: Path, threads: int, count: int) -> dict[str, float]:
    """Measurements of one process."""
    import numpy as np

    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    encode = opener(runtime, folder, threads)
    encode(picture)
    cold = time.perf_counter() - STARTED
    for _ in range(WARM_UP):
        encode(picture)
    single = [seconds(encode, picture) for _ in range(count)]
    return {
        "cold": cold,
        "ms": statistics.median(single) * 1e3,
        "callers": pictures_a_second(encode, picture, 2, count)
        / pictures_a_second(encode, picture, 1, count),
        "megabytes": resident_megabytes(),
    }


def seconds(encode: Callable[[Any], Any], picture: Any) -> float:
    """The time of one call."""
    started = time.perf_counter()
    encode(picture)
    return time.perf_counter() - started


def pictures_a_second(encode: Callable[[Any], Any], picture: Any, callers: int, count: int) -> float:
    """Throughput of threads that each encode one image at a time."""
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(encode, [picture] * callers * 2))  # opens what each caller needs
        started = time.perf_counter()
        list(pool.map(encode, [picture] * count))
        return count / (time.perf_counter() - started)


def resident_megabytes() -> float:
    """Resident memory of this process."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 2**20


def build(folder: Path) -> None:
    """The encoder in both precisions, and the same network as a SavedModel."""
    import numpy as np
    import tensorflow as tf

    from lookalike.training.backbones.export import build_encoder
    from lookalike.training.backbones.load import load_backbone

    chance = np.random.default_rng(0)
    blocks = chance.integers(0, 256, (CALIBRATION_PICTURES, 14, 14, 3), np.uint8)
    pictures = list(blocks.repeat(SIDE // 14, 1).repeat(SIDE // 14, 2))
    # Speed does not depend on the quantisation ranges, so any images will do for calibration.
    build_encoder("efficientnet-lite0", folder / "encoder", calibration=pictures, bound=0.0)
    backbone = load_backbone("efficientnet-lite0")
    module = tf.Module()
    assert backbone.keras_model
    module.network = backbone.keras_model()
    module.__call__ = tf.function(
        backbone.features, input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32)], autograph=False
    )
    tf.saved_model.save(module, str(folder / "saved_model"))


def child(*arguments: str) -> str:
    """Run a part of this script in a separate process."""
    from lookalike.training.child import QUIET

    command = [sys.executable, "-m", "bench.encode", *arguments]
    done = subprocess.run(command, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2_000:]}")
    return done.stdout


def main(argv: list[str] | None = None) -> int:
    """Build, measure in rounds, print the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=100, help="images of one measurement")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--measure", nargs=3, metavar=("RUNTIME", "FOLDER", "THREADS"), help=argparse.SUPPRESS
    )
    options = parser.parse_args(argv)
    if options.build:
        build(options.build)
    elif options.measure:
        runtime, folder, threads = options.measure
        print(json.dumps(measure(runtime, Path(folder), int(threads), options.count)))
    else:
        print_table(options.rounds, options.count)
    return 0


def print_table(rounds: int, count: int) -> None:
    """Run all measurements, in the parent process."""
    lines = [(runtime, threads) for threads in (1, 2) for runtime in TITLES]
    found: dict[tuple[str, int], list[dict[str, float]]] = {line: [] for line in lines}
    with tempfile.TemporaryDirectory() as folder:
        child("--build", folder)
        for _ in range(rounds):
            for runtime, threads in lines:
                output = child("--measure", runtime, folder, str(threads), "--count", str(count))
                found[runtime, threads].append(json.loads(output.splitlines()[-1]))
    print(f"{os.cpu_count()} CPUs; medians of {rounds} rounds of {count} images")
    print(f"{'runtime':22} {'threads':>7} {'ms':>7} {'2 callers':>10} {'cold s':>7} {'MB':>6}")
    for (runtime, threads), answers in found.items():
        middle = {key: statistics.median(answer[key] for answer in answers) for key in answers[0]}
        print(
            f"{TITLES[runtime]:22} {threads:7} {middle['ms']:7.1f} {middle['callers']:10.2f}"
            f" {middle['cold']:7.2f} {middle['megabytes']:6.0f}"
        )


if __name__ == "__main__":
    sys.exit(main())
