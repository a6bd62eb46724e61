"""What a training is asked to do, on its way through SageMaker's names and texts."""

from __future__ import annotations

import pytest

from lookalike.aws.training.hyperparameters import from_hyperparameters, to_hyperparameters
from lookalike.errors import InvalidInput
from lookalike.training.options import TrainingOptions
from lookalike.training_jobs import Training


@pytest.mark.parametrize(
    "options",
    [
        TrainingOptions(),
        TrainingOptions(
            loss="triplet", dimension=64, views=2, last_stages=True, epochs=7, blend=0.25, name="x-1"
        ),
        TrainingOptions(blend=0.0, seed=3, validation_fraction=0.2),
    ],
)
def test_options_come_back(options: TrainingOptions) -> None:
    training = Training("20260720t101500-4f2a1c", "shoes", "zip", options=options.to_json(), label="brand")
    texts = to_hyperparameters(training)
    assert all(isinstance(text, str) and text for text in texts.values())
    lesson = from_hyperparameters(texts)
    assert (lesson.options, lesson.collection, lesson.training_id, lesson.label) == (
        options,
        "shoes",
        "20260720t101500-4f2a1c",
        "brand",
    )


def test_by_hand_nothing_need_be_given() -> None:
    lesson = from_hyperparameters({"sagemaker_region": '"eu-west-1"'})
    assert (lesson.options, lesson.collection, lesson.training_id) == (TrainingOptions(), None, None)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"colour": "red"}, "unknown hyperparameter; got colour"),
        ({"views": "many"}, "the hyperparameter views cannot be read; got 'many'; expected a number"),
        ({"views": "2.5"}, "the hyperparameter views cannot be read"),
        ({"epochs": "0"}, "epochs is out of range"),
        ({"last_stages": "maybe"}, "expected true or false"),
        ({"loss": '"hinge"'}, "unknown loss; got 'hinge'"),
    ],
)
def test_what_cannot_be_used_is_refused(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        from_hyperparameters(given)
