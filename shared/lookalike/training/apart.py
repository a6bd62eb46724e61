"""`build_encoder` in a process of its own, so that the caller never pays for TensorFlow.

TensorFlow takes 5 s to import, keeps 1 GB, and writes to standard error whatever it is told. A child process
gives the memory back, and what it wrote is shown only if it died.

Parent and child speak JSON: one request on the child's standard input, then lines on its standard output:
`{"progress": text}` as it goes, and at last `{"manifest": …}` or `{"error": …}`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from lookalike import errors
from lookalike.encoders.manifest import EncoderManifest
from lookalike.errors import Incompatible, LookalikeError
from lookalike.images import Preprocess
from lookalike.types import Pixels

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1"}
"""What TensorFlow reads before its import. An export needs no GPU, so none is looked for."""
MAX_PICTURES = 250
TAIL_CHARACTERS = 2_000


def build_encoder_apart(
    backbone: str,
    target: Path,
    *,
    calibration: Iterable[Pixels] | None = None,
    preprocess: Preprocess | None = None,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> EncoderManifest:
    """`export.build_encoder`, with the same arguments, result and errors, in a fresh process.

    Raises:
        LookalikeError: as `build_encoder` does; and if the process died, with the end of what it wrote.
        Incompatible: also when TensorFlow is not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise Incompatible(
            "building an encoder needs TensorFlow, which is not installed",
            fix="Install lookalike[train], or add an encoder that was built elsewhere.",
        )
    with tempfile.TemporaryDirectory(prefix="lookalike-build-") as scratch:
        request: dict[str, Any] = {"backbone": backbone, "target": str(target), "options": options}
        request["preprocess"] = preprocess.to_json() if preprocess else None
        request["calibration"] = None
        if calibration is not None:
            request["calibration"] = str(_save_pictures(calibration, Path(scratch)))
        with (
            (Path(scratch) / "stderr").open("w+", encoding="utf-8", errors="replace") as noise,
            closing(_converse(request, noise)) as messages,
        ):
            for message in messages:
                if "progress" in message and progress:
                    progress(message["progress"])
                elif "error" in message:
                    raise as_error(message["error"])
                elif "manifest" in message:
                    return EncoderManifest.from_json(message["manifest"])
            noise.seek(0)
            tail = noise.read()[-TAIL_CHARACTERS:]
            raise LookalikeError("the process that builds the encoder died", got=tail.strip() or "no message")


def _converse(request: dict[str, Any], noise: IO[str]) -> Generator[dict[str, Any], None, None]:
    """Start the child, and yield what it says."""
    command = [sys.executable, "-m", "lookalike.training.apart"]
    with subprocess.Popen(  # noqa: S603  # our own module, and nothing of the request is in the command
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=noise,
        text=True,
        env={**os.environ, **QUIET},
    ) as child:
        assert child.stdin
        assert child.stdout
        try:
            with child.stdin as pipe:
                json.dump(request, pipe)
            for line in child.stdout:
                yield json.loads(line)
            child.wait()  # it closed its output early: let it write why
        finally:
            child.kill()


def _save_pictures(pictures: Iterable[Pixels], folder: Path) -> Path:
    for number, picture in enumerate(islice(pictures, MAX_PICTURES)):
        np.save(folder / f"{number:04}.npy", picture, allow_pickle=False)
    return folder


def as_error(error: dict[str, Any]) -> LookalikeError:
    """The error that `as_json` was given in another process."""
    kind: type[LookalikeError] = getattr(errors, error.pop("kind"), LookalikeError)
    return kind(**error)


def as_json(error: LookalikeError) -> dict[str, Any]:
    """An error as JSON-ready values."""
    given = {"got": error.got, "expected": error.expected}
    texts = {key: None if value is None else str(value) for key, value in given.items()}
    return {"kind": type(error).__name__, "problem": error.problem, "fix": error.fix, **texts}


def main() -> None:
    """The child's side."""
    # A copy of standard output is ours alone; whatever a library prints goes to standard error.
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as answers:
        os.dup2(2, 1)

        def say(**message: Any) -> None:
            answers.write(json.dumps(message) + "\n")

        request = json.load(sys.stdin)
        try:
            say(manifest=_build(request, lambda text: say(progress=text)).to_json())
        except LookalikeError as error:
            say(error=as_json(error))


def _build(request: dict[str, Any], progress: Callable[[str], None]) -> EncoderManifest:
    from lookalike.training.backbones.export import build_encoder

    pictures = preprocess = None
    if request["calibration"]:
        pictures = [np.load(file) for file in sorted(Path(request["calibration"]).glob("*.npy"))]
    if request["preprocess"]:
        preprocess = Preprocess.from_json(request["preprocess"])
    return build_encoder(
        request["backbone"],
        Path(request["target"]),
        calibration=pictures,
        preprocess=preprocess,
        progress=progress,
        **request["options"],
    )


if __name__ == "__main__":
    main()
