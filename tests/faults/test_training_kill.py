"""A training that is killed again and again ends in the encoder it would have made, and loses no feature."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from fixtures.classes import write_classes
from fixtures.encoders import save_tiny_model
from fixtures.repetition import times

from lookalike.errors import LookalikeError, TrainingCancelled
from lookalike.progress import TrainingProgress
from lookalike.training.child import TrainingResult, train_in_child
from lookalike.training.options import TrainingOptions
from lookalike.training.sources.dataset import Dataset
from lookalike.training.sources.read_source import read_source

EACH = 16
EPOCHS = 30
KILLS = times(1, soak=6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("source")
    write_classes(folder / "photos", EACH)
    return read_source(folder / "photos", folder / "scratch")


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> TrainingOptions:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_tiny_model(folder)
    return TrainingOptions(backbone=str(folder), dimension=16, views=4, epochs=EPOCHS, name="small")


@pytest.fixture(scope="module")
def undisturbed(
    dataset: Dataset, options: TrainingOptions, tmp_path_factory: pytest.TempPathFactory
) -> TrainingResult:
    folder = tmp_path_factory.mktemp("undisturbed")
    return train_in_child(dataset, options, folder / "run", cache=folder / "cache")


def test_an_undisturbed_training_says_all_it_should(undisturbed: TrainingResult, dataset: Dataset) -> None:
    assert undisturbed.document["views_computed"] == 4 * len(dataset.examples)
    assert undisturbed.manifest.id.startswith("small-")
    both = sorted(undisturbed.split["train"] + undisturbed.split["validation"])
    assert both == sorted(example.id for example in dataset.examples)
    assert set(undisturbed.metrics) >= {"recall_at_1", "map_at_r", "frozen_recall_at_1", "frozen_map_at_r"}
    state = json.loads((undisturbed.encoder.parent / "state.json").read_text("utf-8"))
    assert state["phase"]


def test_another_loss_reuses_every_feature(
    undisturbed: TrainingResult, dataset: Dataset, options: TrainingOptions, tmp_path: Path
) -> None:
    cache = undisturbed.encoder.parent.parent / "cache"
    other = TrainingOptions.from_json({**options.to_json(), "loss": "softmax", "epochs": 2})
    assert train_in_child(dataset, other, tmp_path / "run", cache=cache).document["views_computed"] == 0


def test_interrupted_again_and_again_it_ends_in_the_same_encoder(
    undisturbed: TrainingResult, dataset: Dataset, options: TrainingOptions, tmp_path: Path
) -> None:
    """Killed while it computes features, killed in epochs, cancelled: each time it resumes."""
    run, cache = _killed_in_features(dataset, options, tmp_path)
    kept: list[int] = []  # images with features, at the start of each attempt
    for number in range(KILLS):
        wanted = number * EPOCHS // KILLS
        _kill_after(wanted, dataset, options, run, cache, kept)
    assert 0 < kept[0] < len(dataset.examples), "the features from before the kill were lost"
    assert set(kept[1:]) <= {len(dataset.examples)}
    _cancel(dataset, options, run, cache)
    result = train_in_child(dataset, options, run, cache=cache)
    assert result.document["views_computed"] == 0
    assert result.metrics == undisturbed.metrics
    assert result.split == undisturbed.split
    assert result.document["epochs"] == undisturbed.document["epochs"]
    assert result.manifest.id == undisturbed.manifest.id  # the same bytes


def _killed_in_features(dataset: Dataset, options: TrainingOptions, folder: Path) -> tuple[Path, Path]:
    """Run folder and cache of a training that was killed while it computed features."""
    for attempt in range(5):
        run, cache = folder / f"run{attempt}", folder / f"cache{attempt}"
        seen: list[TrainingProgress] = []

        def kill(progress: TrainingProgress, run: Path = run, seen: list[TrainingProgress] = seen) -> None:
            seen.append(progress)
            if progress.phase == "features" and 0 < progress.done < progress.total:
                os.kill(_child(run), signal.SIGKILL)

        with pytest.raises(LookalikeError, match="it resumes"):
            train_in_child(dataset, options, run, cache=cache, progress=kill)
        if seen[-1].phase == "features" and seen[-1].done < seen[-1].total:
            break  # else the features were complete before the signal came
    return run, cache


def _kill_after(
    epochs: int, dataset: Dataset, options: TrainingOptions, run: Path, cache: Path, kept: list[int]
) -> None:
    """Resume a training and kill it in a later epoch; adds how many images had features at its start."""
    first: list[int] = []

    def kill(progress: TrainingProgress) -> None:
        if progress.phase == "features":
            first.append(progress.done)
        in_epochs = progress.phase == "feature layer" and bool(progress.metrics)
        if in_epochs and round(progress.done / progress.total * EPOCHS) > epochs:
            os.kill(_child(run), signal.SIGKILL)

    with pytest.raises(LookalikeError, match="it resumes"):
        train_in_child(dataset, options, run, cache=cache, progress=kill)
    kept.append(first[0])


def _cancel(dataset: Dataset, options: TrainingOptions, run: Path, cache: Path) -> None:
    """Resume a training and cancel it in the first epoch that is left."""
    asked = threading.Event()
    asked_at = 0.0

    def ask(progress: TrainingProgress) -> None:
        nonlocal asked_at
        if progress.phase == "feature layer" and not asked.is_set():
            asked_at = time.monotonic()
            asked.set()

    with pytest.raises(TrainingCancelled):
        train_in_child(dataset, options, run, cache=cache, progress=ask, cancelled=asked.is_set)
    assert time.monotonic() - asked_at < 10


def _child(run: Path) -> int:
    """The process that trains in `run`."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"lookalike.training.child" in command and str(run).encode() in command:
                return int(entry.name)
    raise AssertionError("no training runs")
