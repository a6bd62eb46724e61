"""A training that goes on beneath the two layers, from pictures to an encoder that serves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.classes import write_classes

from lookalike.encoders import Encoder, EncoderManifest
from lookalike.errors import Incompatible, InvalidInput
from lookalike.images import ImageLimits, read_image
from lookalike.settings import Settings
from lookalike.training.fit import trained_network
from lookalike.training.fit.trainer import Trainer
from lookalike.training.options import TrainingOptions
from lookalike.training.sources.read_source import read_source

EACH = 5


@pytest.mark.parametrize(
    ("options", "phase"),
    [
        (TrainingOptions(last_stages=True, views=2, epochs=2, dimension=16), "last stages"),
        (TrainingOptions(whole_network=True, views=1, epochs=1, dimension=16), "whole network"),
    ],
    ids=["last stages", "whole network"],
)
def test_the_backbone_is_trained_too(options: TrainingOptions, phase: str, tmp_path: Path) -> None:
    write_classes(tmp_path / "photos", EACH)
    dataset = read_source(tmp_path / "photos", tmp_path / "scratch")
    (tmp_path / "run").mkdir()
    reports: list[Mapping[str, Any]] = []

    def train() -> dict[str, object]:
        trainer = Trainer(
            dataset,
            options,
            tmp_path / "run",
            tmp_path / "cache",
            reports.append,
        )
        return trainer.train()

    result = train()
    told = [report for report in reports if report["phase"] == phase]
    assert told[-1]["done"] == told[-1]["total"]
    assert told[-1]["remaining_seconds"] == 0
    epochs = result["epochs"]
    assert isinstance(epochs, dict)
    assert isinstance(result["notes"], list)
    assert [record["epoch"] for record in epochs[phase]] == list(range(1, (options.epochs or 0) + 1))
    manifest = EncoderManifest.read(tmp_path / "run" / "encoder")
    # Whether so short a training keeps int8 is the data's affair. Without it, a note says why.
    refused = [note for note in result["notes"] if note.startswith("the encoder is in fp32 only: ")]
    assert len(refused) == (0 if "int8" in manifest.precisions else 1)
    encoder = Encoder(manifest, tmp_path / "run" / "encoder" / "encoder.tflite", "fp32")
    limits = ImageLimits.from_settings(Settings())
    vectors = encoder.encode(
        [
            read_image(example.path.read_bytes(), limits, manifest.preprocess)[1]
            for example in dataset.examples[:4]
        ]
    )
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert len(np.unique(vectors.round(4), axis=0)) == 4
    if options.last_stages:  # begun again, it has nothing left to do
        again = train()
        assert again["encoder"] == result["encoder"]
        assert again["views_computed"] == 0


def test_a_failed_quantisation_does_not_fail_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Incompatible("LiteRT cannot express the model in int8", got="XNNPACK")

    monkeypatch.setattr(trained_network, "to_int8", fail)
    write_classes(tmp_path / "photos", EACH)
    (tmp_path / "run").mkdir()
    dataset = read_source(tmp_path / "photos", tmp_path / "scratch")
    options = TrainingOptions(views=1, epochs=1, dimension=16)
    trainer = Trainer(dataset, options, tmp_path / "run", tmp_path / "cache", lambda _: None)
    result = trainer.train()
    manifest = EncoderManifest.read(tmp_path / "run" / "encoder")
    assert result["encoder"] == manifest.id
    assert list(manifest.precisions) == ["fp32"]
    [note] = result["notes"]
    assert note.startswith("the encoder is in fp32 only: it cannot be made: LiteRT cannot express")


def test_both_at_once_is_one_too_many() -> None:
    with pytest.raises(InvalidInput, match="part of the whole network"):
        TrainingOptions(last_stages=True, whole_network=True)
