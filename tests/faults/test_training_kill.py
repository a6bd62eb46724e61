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


def test_killed_again_and_again_it_ends_in_the_same_encoder(
    undisturbed: TrainingResult, dataset: Dataset, options: TrainingOptions, tmp_path: Path
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    epochs_seen: list[int] = []
    for number in range(KILLS):
        wanted = number * EPOCHS // KILLS

        def kill(progress: TrainingProgress, wanted: int = wanted) -> None:
            if progress.phase == "feature layer" and progress.metrics:
                epochs_seen.append(round(progress.done / progress.total * EPOCHS))
                if epochs_seen[-1] > wanted:
                    os.kill(_child(run), signal.SIGKILL)

        with pytest.raises(LookalikeError, match="it resumes"):
            train_in_child(dataset, options, run, cache=cache, progress=kill)
    result = train_in_child(dataset, options, run, cache=cache)
    assert result.document["views_computed"] == 0
    assert result.metrics == undisturbed.metrics
    assert result.split == undisturbed.split
    assert result.document["epochs"] == undisturbed.document["epochs"]
    assert result.manifest.id == undisturbed.manifest.id  # the same bytes


def test_killed_while_features_are_computed_it_keeps_those_it_has(
    dataset: Dataset, options: TrainingOptions, tmp_path: Path
) -> None:
    computed = 0
    for attempt in range(5):
        run, cache = tmp_path / f"run{attempt}", tmp_path / f"cache{attempt}"

        def kill(progress: TrainingProgress, run: Path = run) -> None:
            if progress.phase == "features" and 0 < progress.done < progress.total:
                os.kill(_child(run), signal.SIGKILL)

        with pytest.raises(LookalikeError, match="it resumes"):
            train_in_child(dataset, options, run, cache=cache, progress=kill)
        computed = train_in_child(dataset, options, run, cache=cache).document["views_computed"]
        if computed:  # else the features were complete before the signal came
            break
    assert 0 < computed < 4 * len(dataset.examples)


def test_cancelling_stops_it_at_once_and_loses_nothing(
    dataset: Dataset, options: TrainingOptions, tmp_path: Path
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    asked = threading.Event()
    told_at = 0.0

    def ask(progress: TrainingProgress) -> None:
        nonlocal told_at
        if progress.phase == "feature layer" and not asked.is_set():
            told_at = time.monotonic()
            asked.set()

    with pytest.raises(TrainingCancelled):
        train_in_child(dataset, options, run, cache=cache, progress=ask, cancelled=asked.is_set)
    assert time.monotonic() - told_at < 10
    assert train_in_child(dataset, options, run, cache=cache).document["views_computed"] == 0


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
