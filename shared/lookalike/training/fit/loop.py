"""The training loop: batches, AdamW with cosine decay, validation, early stopping, checkpoints.

All randomness comes from (seed, epoch) or (seed, step), and every epoch ends with a checkpoint. So a killed
training resumes with exactly the same results as without the kill.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lookalike.integrity import load_json, reading
from lookalike.training.fit.batch_sampling import Labels, Rows, epoch_batches
from lookalike.training.fit.losses import LOSSES, PAIRWISE
from lookalike.training.options import Loss

PATIENCE_SHARE = 0.4
MIN_PATIENCE = 4

Monitor = Callable[["Epoch"], None]


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a training: the variables, the inputs and the optimiser's settings.

    Attributes:
        name: shown to users, and used in file names.
        variables: the trainable variables.
        undecayed: names of those without weight decay.
        embed: (inputs, dropout seed or None) → embeddings.
        classes: the class weights.
        inputs: row numbers and a random generator → a batch of inputs.
        labels: class of each row.
        metrics: measured after each epoch; the epoch with the best `map_at_r` is kept.
        loss: name of the loss; see `losses`.
        epochs, batch, learning_rate, weight_decay: of AdamW (Loshchilov and Hutter 2019,
            https://arxiv.org/abs/1711.05101), with cosine decay to 0 (https://arxiv.org/abs/1608.03983).
        warm_up: epochs in which the learning rate rises from 0, so that the first, noisy gradients do not
            destroy the pretrained weights (https://arxiv.org/abs/1706.02677).
    """

    name: str
    variables: Mapping[str, tf.Variable]
    undecayed: Sequence[str]
    embed: Callable[[Any, Any], Any]
    classes: tf.Variable
    inputs: Callable[[Rows, np.random.Generator], NDArray[Any]]
    labels: Labels
    metrics: Callable[[], Mapping[str, float]]
    loss: Loss
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float = 1e-2
    warm_up: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Epoch:
    """Results of an epoch so far: `step` of `steps` are done, `metrics` are the newest."""

    phase: str
    number: int
    epochs: int
    step: int
    steps: int
    loss: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Progress:
    """The parts of a checkpoint that are not arrays."""

    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the last epoch; empty before the first."""
        last = self.history[-1] if self.history else {}
        return {name: value for name, value in last.items() if name not in {"epoch", "loss"}}


def fit(phase: Phase, checkpoint: Path, monitor: Monitor) -> list[dict[str, Any]]:
    """Train; afterwards the variables have the values of the best epoch on validation.

    Args:
        phase: what to train, and how.
        checkpoint: a file; if it exists and belongs to the same phase, training resumes from it.
        monitor: called after each epoch, and about every second in between; it may raise to stop.

    Returns:
        One record for each epoch: loss and metrics.
    """
    steps = max(1, -(-len(phase.labels) // phase.batch))
    optimizer = _optimizer(phase, steps)
    best = {name: variable.numpy() for name, variable in phase.variables.items()}
    done = _restore(checkpoint, phase, optimizer, best)
    step = _step_function(phase, optimizer)
    patience = max(MIN_PATIENCE, round(PATIENCE_SHARE * phase.epochs))
    while done.epoch < phase.epochs and not done.stopped:
        loss = _run_epoch(phase, step, done, steps, monitor)
        metrics = dict(phase.metrics())
        done.epoch += 1
        record = {"epoch": done.epoch, "loss": round(loss, 5), **metrics}
        done.history.append(record)
        if metrics["map_at_r"] >= done.best:
            done.best, done.best_epoch = metrics["map_at_r"], done.epoch
            best.update({name: variable.numpy() for name, variable in phase.variables.items()})
        done.stopped = done.epoch - done.best_epoch >= patience
        _save(checkpoint, phase, optimizer, best, done)
        monitor(Epoch(phase.name, done.epoch, phase.epochs, steps, steps, loss, metrics))
    for name, variable in phase.variables.items():
        variable.assign(best[name])
    return done.history


def _optimizer(phase: Phase, steps: int) -> Any:
    rising = min(round(steps * phase.warm_up), steps * phase.epochs // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if rising else phase.learning_rate,
        decay_steps=steps * phase.epochs - rising,
        warmup_target=phase.learning_rate if rising else None,
        warmup_steps=rising,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=phase.weight_decay)
    undecayed = [phase.variables[name] for name in phase.undecayed]
    if undecayed:
        optimizer.exclude_from_weight_decay(var_list=undecayed)
    optimizer.build(list(phase.variables.values()))
    return optimizer


def _step_function(phase: Phase, optimizer: Any) -> Callable[[Any, Any, Any], Any]:
    loss_of = LOSSES[phase.loss]
    # Pairwise losses have no class weights, so those get no gradient.
    trained = [v for v in phase.variables.values() if phase.loss not in PAIRWISE or v is not phase.classes]

    # No loss branches on a tensor, so AutoGraph would only spend a second on rewriting the code.
    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(inputs: Any, labels: Any, seed: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(phase.embed(tf.cast(inputs, tf.float32), seed), labels, phase.classes)
        optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))
        return loss

    compiled: Callable[[Any, Any, Any], Any] = step
    return compiled


def _run_epoch(phase: Phase, step: Any, done: _Progress, steps: int, monitor: Monitor) -> float:
    epoch = done.epoch
    rng = np.random.default_rng([phase.seed, epoch])
    losses: list[Any] = []
    reported = time.monotonic()
    for rows in epoch_batches(phase.labels, phase.batch, rng, pairwise=phase.loss in PAIRWISE):
        number = epoch * steps + len(losses)
        inputs = phase.inputs(rows, rng)
        losses.append(step(inputs, phase.labels[rows], tf.constant([phase.seed, number])))
        if time.monotonic() - reported > 1.0:
            reported = time.monotonic()
            loss = float(losses[-1])
            monitor(Epoch(phase.name, epoch + 1, phase.epochs, len(losses), steps, loss, done.metrics))
    return float(np.mean([float(loss) for loss in losses]))


# Checkpoints


def _signature(phase: Phase) -> str:
    """Identifies a checkpoint's options and data, so that training never resumes from another one's."""
    shapes = {name: list(variable.shape) for name, variable in phase.variables.items()}
    facts = [phase.name, shapes, phase.loss, phase.epochs, phase.batch, phase.learning_rate, phase.seed]
    text = json.dumps([*facts, phase.weight_decay, phase.warm_up, phase.labels.tolist()])
    return hashlib.sha256(text.encode()).hexdigest()


def _save(
    path: Path, phase: Phase, optimizer: Any, best: Mapping[str, NDArray[Any]], done: _Progress
) -> None:
    arrays = {f"now/{name}": variable.numpy() for name, variable in phase.variables.items()}
    arrays |= {f"best/{name}": value for name, value in best.items()}
    arrays |= {f"optimizer/{n}": np.asarray(variable) for n, variable in enumerate(optimizer.variables)}
    state = {"signature": _signature(phase), **{name: getattr(done, name) for name in done.__slots__}}
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".part")
    with staged.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


def _restore(path: Path, phase: Phase, optimizer: Any, best: dict[str, NDArray[Any]]) -> _Progress:
    if not path.is_file():
        return _Progress()
    fix = "Delete it: the training then starts this phase again."
    with reading(str(path), fix), np.load(path, allow_pickle=False) as arrays:
        state = load_json(arrays["state"].tobytes())
        if state.pop("signature") != _signature(phase):
            return _Progress()
        for name, variable in phase.variables.items():
            variable.assign(arrays[f"now/{name}"])
            best[name] = arrays[f"best/{name}"]
        for number, variable in enumerate(optimizer.variables):
            variable.assign(arrays[f"optimizer/{number}"])
        return _Progress(**state)
