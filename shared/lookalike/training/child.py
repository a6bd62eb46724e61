"""Train, and build encoders, in a child process.

TensorFlow takes 4 s to import, keeps 1 GB, and writes a lot to standard error. A child process frees the
memory when it ends and can be stopped at any time. Its standard error is shown only if it dies.

Parent and child speak JSON lines. The parent writes one request to the child's standard input and keeps that
open; the child ends when it closes. The child writes `{"progress": …}` as it works, and ends with
`{"result": …}` or `{"error": …}`.

A training also leaves files in its run folder, from which it resumes after a kill:

    dataset.jsonl                 the data set
    state.json log.jsonl          its progress, and the metrics of each epoch
    checkpoints/                  after every epoch
    split.json result.json encoder/
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.encoders.manifest import EncoderManifest
from lookalike.errors import Incompatible, LookalikeError
from lookalike.images import Preprocess
from lookalike.integrity import load_json, reading
from lookalike.progress import TrainingProgress
from lookalike.training.backbones.presets import PACKAGED
from lookalike.training.child_process import ChildProcess, Work, tail
from lookalike.training.tensorflow_import import import_tensorflow
from lookalike.types import Pixels

if TYPE_CHECKING:
    from lookalike.training.options import TrainingOptions
    from lookalike.training.sources.dataset import Dataset

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1"}
"""Environment of a child that builds an encoder. An export needs no GPU, so TensorFlow looks for none."""
TRAINING_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3"}
MAX_CALIBRATION_IMAGES = 250
INSTALL_TENSORFLOW = "Run: pip install 'lookalike[train]' (in a clone: make setup)"
NICENESS = 5
"""Niceness of a training process: searches on the same machine take precedence."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        encoder: its folder, for `Encoders.add`.
        manifest: of the encoder.
        split: ids of the images by part, `train` and `validation`.
        metrics: validation images as queries against training images, before quantisation.
        seconds: of each step, and `total`.
        document: all of `result.json`.
    """

    encoder: Path
    manifest: EncoderManifest
    split: Mapping[str, list[str]]
    metrics: Mapping[str, float]
    seconds: Mapping[str, float]
    document: Mapping[str, Any]


def train_in_child(
    dataset: Dataset,
    options: TrainingOptions,
    run: Path,
    *,
    cache: Path,
    progress: Callable[[TrainingProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> TrainingResult:
    """Train in a fresh process; called again with the same folder, it resumes.

    Args:
        dataset: images and classes to train on.
        options: training options.
        run: a folder for this data set and these options.
        cache: a folder that all trainings share, for image features.
        progress: called with the progress of the training.
        cancelled: called several times a second; once it returns True, the training stops.

    Raises:
        TrainingCancelled: `cancelled` returned True.
        InvalidInput: the data set cannot be used for training.
        Incompatible: TensorFlow is not installed; or the options do not fit the backbone.
        LookalikeError: the process died; the error quotes the end of its standard error.
    """
    _require_tensorflow("training")
    started = time.monotonic()
    run.mkdir(parents=True, exist_ok=True)
    dataset.write(run / "dataset.jsonl")

    def on_progress(fields: Mapping[str, Any]) -> None:
        if progress:
            progress(TrainingProgress(**fields))

    request = {"run": str(run), "options": options.to_json(), "cache": str(cache)}
    with (run / "stderr.txt").open("w+", encoding="utf-8", errors="replace") as stderr:
        child = ChildProcess("train", request, TRAINING_ENVIRONMENT, stderr, argument=str(run))
        if child.result(on_progress, cancelled) is None:
            raise LookalikeError(
                "the training process died", got=tail(stderr), fix="Run it again: it resumes."
            )
    return _read_result(run, time.monotonic() - started)


def build_encoder_in_child(
    backbone: str,
    target: Path,
    *,
    calibration: Iterable[Pixels] | None = None,
    check: Iterable[Pixels] | None = None,
    preprocess: Preprocess | None = None,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> EncoderManifest:
    """`export.build_encoder`, with the same arguments, result and errors, in a fresh process.

    Raises:
        LookalikeError: as `build_encoder` does; also if the process died, with the end of its standard error.
        Incompatible: also when the backbone needs TensorFlow, which is not installed.
    """
    if backbone not in PACKAGED:
        _require_tensorflow(f"the backbone {backbone}")
    with tempfile.TemporaryDirectory(prefix="lookalike-build-") as scratch:
        request = {
            "backbone": backbone,
            "target": str(target),
            "options": options,
            "preprocess": preprocess.to_json() if preprocess else None,
            "calibration": _save_images(calibration, Path(scratch) / "calibration"),
            "check": _save_images(check, Path(scratch) / "check"),
        }
        with (Path(scratch) / "stderr").open("w+", encoding="utf-8", errors="replace") as stderr:
            child = ChildProcess("build", request, QUIET, stderr)
            manifest = child.result(progress or (lambda _: None))
            if manifest is None:
                raise LookalikeError("the process that builds the encoder died", got=tail(stderr))
    return EncoderManifest.from_json(manifest)


def _require_tensorflow(work: str) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise Incompatible(f"{work} needs TensorFlow, which is not installed", fix=INSTALL_TENSORFLOW)


def _read_result(run: Path, total_seconds: float) -> TrainingResult:
    with reading(f"the result of the training in {run}", "Delete this folder and train again."):
        document = load_json((run / "result.json").read_text(encoding="utf-8"))
        split = load_json((run / "split.json").read_text(encoding="utf-8"))
        manifest = EncoderManifest.read(run / "encoder")
        seconds = {**document["seconds"], "total": round(total_seconds, 1)}
        return TrainingResult(run / "encoder", manifest, split, document["metrics"], seconds, document)


def _save_images(images: Iterable[Pixels] | None, folder: Path) -> str | None:
    if images is None:
        return None
    folder.mkdir()
    for number, image in enumerate(islice(images, MAX_CALIBRATION_IMAGES)):
        np.save(folder / f"{number:04}.npy", image, allow_pickle=False)
    return str(folder)


# The child's side


def _from_error(error: LookalikeError) -> dict[str, Any]:
    given = {"got": error.got, "expected": error.expected}
    texts = {key: None if value is None else str(value) for key, value in given.items()}
    return {"kind": type(error).__name__, "problem": error.problem, "fix": error.fix, **texts}


def main(work: Work) -> None:
    """Run the request on standard input."""
    # Only this module writes to the parent; what a library prints goes to standard error.
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as output:
        os.dup2(2, 1)
        request = load_json(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()

        def send(**message: Any) -> None:
            output.write(json.dumps(message) + "\n")

        try:
            send(result={"train": _train, "build": _build}[work](request, lambda value: send(progress=value)))
        except LookalikeError as error:
            send(error=_from_error(error))


def _end_with_parent() -> None:
    sys.stdin.read()  # until the parent closes it or dies
    os._exit(1)


def _train(request: Mapping[str, Any], progress: Callable[[Any], None]) -> dict[str, Any]:
    os.nice(NICENESS)
    import_tensorflow()
    from lookalike.training.fit.progress_files import ProgressFiles
    from lookalike.training.fit.trainer import Trainer
    from lookalike.training.options import TrainingOptions
    from lookalike.training.sources.dataset import Dataset

    run = Path(request["run"])
    options, dataset = TrainingOptions.from_json(request["options"]), Dataset.read(run / "dataset.jsonl")
    report = ProgressFiles(run, progress)
    Trainer(dataset, options, run, Path(request["cache"]), report, threads=os.cpu_count() or 1).train()
    return {}


def _build(request: Mapping[str, Any], progress: Callable[[Any], None]) -> dict[str, Any]:
    from lookalike.training.backbones.export import build_encoder

    if request["backbone"] not in PACKAGED:
        import_tensorflow()

    def read(key: str) -> list[Pixels] | None:
        folder = request[key]
        return folder and [np.load(file) for file in sorted(Path(folder).glob("*.npy"))]

    preprocess = request["preprocess"]
    return build_encoder(
        request["backbone"],
        Path(request["target"]),
        calibration=read("calibration"),
        check=read("check"),
        preprocess=Preprocess.from_json(preprocess) if preprocess else None,
        progress=progress,
        **request["options"],
    ).to_json()


if __name__ == "__main__":
    main("train" if sys.argv[1] == "train" else "build")
