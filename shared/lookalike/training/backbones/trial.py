"""Encode images with a new model file in a child process, because LiteRT can abort the process that opens it.

XNNPACK, which LiteRT uses by default, refuses some quantised models while it prepares them. Sometimes the
refusal arrives as a Python exception, and sometimes it corrupts the heap and ends the process. A training
must survive both.
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
from lookalike.encoders.runtime import Encoder
from lookalike.errors import Incompatible
from lookalike.types import Pixels, Precision, Vectors

TIMEOUT_SECONDS = 900
TAIL_CHARACTERS = 500


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
        command = [sys.executable, "-m", "lookalike.training.backbones.trial"]
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
