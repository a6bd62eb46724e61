"""`Trainer` in a process of its own: the caller pays for no TensorFlow, and can stop it at any moment.

The run folder is all that the two share, and all that is needed to go on after a kill:

    request.json dataset.jsonl    what was asked
    state.json log.jsonl          how far it is, and what each epoch came to
    checkpoints/                  after every epoch
    split.json result.json encoder/

The child ends by itself when its parent is gone.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lookalike.encoders.manifest import EncoderManifest
from lookalike.errors import Incompatible, LookalikeError, TrainingCancelled
from lookalike.training.apart import as_error, as_json
from lookalike.training.options import TrainingOptions
from lookalike.training.sources.dataset import Dataset

ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3"}
TAIL_CHARACTERS = 2_000
POLL_SECONDS = 0.25
NICENESS = 5
"""So that whoever searches on this machine meanwhile comes first."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        phase: what it does now, in a few words.
        done, total: steps of this phase; 0 of 0 where they cannot be counted.
        remaining_seconds: of this phase; None if unknown.
        loss: of the last batch or epoch.
        metrics: `recall_at_1` and `map_at_r` on validation, after an epoch.
    """

    phase: str
    done: int = 0
    total: int = 0
    remaining_seconds: float | None = None
    loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training made.

    Attributes:
        encoder: its folder, for `Encoders.add`.
        manifest: of the encoder.
        split: ids of the pictures on each side, `train` and `validation`.
        metrics: on validation pictures against training pictures, before quantisation.
        seconds: of each step, and `total`.
        document: all of `result.json`.
    """

    encoder: Path
    manifest: EncoderManifest
    split: Mapping[str, list[str]]
    metrics: Mapping[str, float]
    seconds: Mapping[str, float]
    document: Mapping[str, Any]


def train_apart(
    dataset: Dataset,
    options: TrainingOptions,
    run: Path,
    *,
    cache: Path,
    progress: Callable[[TrainingProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> TrainingResult:
    """Train in a fresh process; called again with the same folder, it goes on where it was stopped.

    Args:
        dataset: what to learn from.
        options: how.
        run: a folder for this data set and these options.
        cache: a folder that all trainings share; features of pictures are kept there.
        progress: told how far it is.
        cancelled: asked several times a second; once it says yes, the training is stopped.

    Raises:
        TrainingCancelled: `cancelled` said yes.
        InvalidInput: the data set cannot be learnt from.
        Incompatible: TensorFlow is not installed; or the options do not fit the backbone.
        LookalikeError: the process died, with the end of what it wrote.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise Incompatible(
            "training needs TensorFlow, which is not installed", fix="Install lookalike[train]."
        )
    started = time.monotonic()
    run.mkdir(parents=True, exist_ok=True)
    dataset.write(run / "dataset.jsonl")
    request = {"options": options.to_json(), "cache": str(cache)}
    (run / "request.json").write_text(json.dumps(request, indent=1), encoding="utf-8")
    with (run / "stderr.txt").open("w+", encoding="utf-8", errors="replace") as noise:
        _follow(run, noise, progress, cancelled)
    return read_result(run, time.monotonic() - started)


def read_result(run: Path, total_seconds: float) -> TrainingResult:
    """The result of a training that has ended well."""
    document = json.loads((run / "result.json").read_text(encoding="utf-8"))
    split = json.loads((run / "split.json").read_text(encoding="utf-8"))
    manifest = EncoderManifest.read(run / "encoder")
    seconds = {**document["seconds"], "total": round(total_seconds, 1)}
    return TrainingResult(run / "encoder", manifest, split, document["metrics"], seconds, document)


def _follow(
    run: Path,
    noise: IO[str],
    progress: Callable[[TrainingProgress], None] | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    """Start the child and listen until it has ended, one way or another."""
    command = [sys.executable, "-m", "lookalike.training.run", str(run)]
    with subprocess.Popen(  # noqa: S603  # our own module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=noise,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    ) as child:
        try:
            for message in _messages(child, cancelled):
                if "progress" in message:
                    if progress:
                        progress(TrainingProgress(**message["progress"]))
                elif "error" in message:
                    raise as_error(message["error"])
                else:
                    return
        finally:
            child.kill()
    noise.seek(0)
    tail = noise.read()[-TAIL_CHARACTERS:].strip()
    raise LookalikeError(
        "the training process died", got=tail or "no message", fix="Run it again: it goes on where it was."
    )


def _messages(child: subprocess.Popen[str], cancelled: Callable[[], bool] | None) -> Any:
    """What the child says, until it is silent for good. Raises TrainingCancelled."""
    said: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        assert child.stdout
        with suppress(ValueError):  # closed under our hands after a cancel
            for line in child.stdout:
                said.put(line)
        said.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        if cancelled and cancelled():
            raise TrainingCancelled("the training was cancelled", fix="Run it again to go on.")
        with suppress(queue.Empty):
            line = said.get(timeout=POLL_SECONDS)
            if line is None:
                return
            yield json.loads(line)


# The child


class Recorder:
    """Keeps `state.json` and `log.jsonl` of a run folder, and tells somebody."""

    def __init__(self, run: Path, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self._run = run
        self._tell = tell

    def __call__(self, fields: Mapping[str, Any]) -> None:
        """Write down fields of `TrainingProgress`."""
        now = time.time()
        record = {"time": round(now, 3), **fields}
        staged = self._run / "state.part"
        staged.write_text(json.dumps(record), encoding="utf-8")
        staged.replace(self._run / "state.json")
        if fields.get("metrics") or "done" not in fields:
            with (self._run / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
        self._tell(fields)


def main(run: Path) -> None:
    """The child's side."""
    # A copy of standard output is ours alone; whatever a library prints goes to standard error.
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as answers:
        os.dup2(2, 1)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        os.nice(NICENESS)

        def say(**message: Any) -> None:
            answers.write(json.dumps(message) + "\n")

        try:
            from lookalike.training.fit.trainer import Trainer

            request = json.loads((run / "request.json").read_text(encoding="utf-8"))
            Trainer(
                Dataset.read(run / "dataset.jsonl"),
                TrainingOptions.from_json(request["options"]),
                run,
                Path(request["cache"]),
                Recorder(run, lambda fields: say(progress=dict(fields))),
                threads=os.cpu_count() or 1,
            ).train()
            say(done=True)
        except LookalikeError as error:
            say(error=as_json(error))


def _end_with_parent() -> None:
    sys.stdin.read()  # until the parent closes it, or is gone
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
