"""Whether an int8 model is good enough: its vectors against those of fp32, on held-out images.

The model runs in a child process, because LiteRT can abort the process that opens it.

XNNPACK, which LiteRT uses by default, refuses some quantised models while it prepares them. Sometimes that
raises a Python exception, and sometimes it corrupts the heap and ends the process. A training must survive
both.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookalike.encoders.manifest import MODEL_FILES, EncoderManifest
from lookalike.encoders.runtime import Encoder, unit_length
from lookalike.errors import Incompatible
from lookalike.types import Pixels, Precision, Vectors

MIN_MEAN_COSINE = 0.98
"""Least mean cosine between int8 and fp32 vectors of the held-out images. For scale, on EfficientNet-Lite0:
0.996 (its measured value) costs 0.1 to 0.4 points of recall@1, 0.988 (with every layer in int8) 0.2 to
0.8."""
TIMEOUT_SECONDS = 900
TAIL_CHARACTERS = 500


def mean_cosine(manifest: EncoderManifest, folder: Path, images: Sequence[Pixels]) -> float:
    """Mean cosine of the int8 vectors to the fp32 vectors. Raises Incompatible if int8 cannot be run."""
    fp32 = Encoder(manifest, folder / MODEL_FILES["fp32"], "fp32").encode(images)
    int8 = encode_in_child(manifest, folder, "int8", images)
    cosine = float(np.mean(np.sum(unit_length(fp32) * unit_length(int8), axis=1)))
    if not np.isfinite(cosine):
        raise Incompatible("its vectors are not finite", got=cosine)
    return cosine


def encode_in_child(
    manifest: EncoderManifest, folder: Path, precision: Precision, images: Sequence[Pixels]
) -> Vectors:
    """Vectors of `images` by one model file of an encoder that is not registered yet.

    Args:
        manifest: of the encoder; it names the model file.
        folder: holds the model file.
        precision: which model file.
        images: (size, size, 3) uint8 each.

    Returns:
        (n, dimension) float32, as `Encoder.encode` gives them.

    Raises:
        Incompatible: LiteRT cannot run the file, or its process died or exceeded `TIMEOUT_SECONDS`.
    """
    with tempfile.TemporaryDirectory(prefix="lookalike-trial-") as scratch:
        inputs, outputs = Path(scratch) / "images.npy", Path(scratch) / "vectors.npy"
        np.save(inputs, np.stack(images), allow_pickle=False)
        command = [sys.executable, "-m", "lookalike.training.backbones.int8_check"]
        command += [str(folder / MODEL_FILES[precision]), precision, str(inputs), str(outputs)]
        try:
            done = subprocess.run(  # noqa: S603  # our own module
                command,
                input=json.dumps(manifest.to_json()).encode(),
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Incompatible(
                f"LiteRT did not finish with the {precision} model", got=f"{TIMEOUT_SECONDS} s"
            ) from error
        if done.returncode or not outputs.is_file():
            text = done.stderr.decode("utf-8", "replace").strip()[-TAIL_CHARACTERS:]
            raise Incompatible(
                f"LiteRT cannot run the {precision} model",
                got=f"exit code {done.returncode}: {text or 'no message'}",
            )
        vectors: Vectors = np.load(outputs, allow_pickle=False)
        return vectors


def main() -> None:
    """Run as the child: model file, precision, images and output as arguments; the manifest on stdin."""
    model, precision, inputs, outputs = sys.argv[1:]
    manifest = EncoderManifest.from_json(json.load(sys.stdin))
    encoder = Encoder(manifest, Path(model), "int8" if precision == "int8" else "fp32")
    np.save(outputs, encoder.encode(np.load(inputs, allow_pickle=False)), allow_pickle=False)


if __name__ == "__main__":
    main()
