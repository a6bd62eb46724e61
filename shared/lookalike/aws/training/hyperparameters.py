"""The parameters of a training as SageMaker passes them on: names and texts.

The query function writes them into the execution's input, the training container reads them from
`hyperparameters.json`. To start the container by hand, in the console or with the SDK, pass the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from lookalike.errors import InvalidInput
from lookalike.integrity import load_json
from lookalike.training.options import TrainingOptions
from lookalike.training_jobs import Training

OURS = ("collection", "training_id", "label")
PASSED_PREFIX = "sagemaker_"
"""SageMaker's own SDK adds parameters with this prefix; they are ignored."""


@dataclass(frozen=True, slots=True)
class JobParameters:
    """One training as its container sees it.

    Attributes:
        options: how to train.
        collection: to compare with, and to train on if there is no channel; None: neither.
        training_id: of the record to update; None: there is none.
        label: metadata field whose values are the classes; None: the category.
    """

    options: TrainingOptions
    collection: str | None = None
    training_id: str | None = None
    label: str | None = None


def to_hyperparameters(training: Training) -> dict[str, str]:
    """The parameters that the container needs; None values are left out."""
    given: dict[str, Any] = {
        "collection": training.collection,
        "training_id": training.id,
        "label": training.label,
        **training.options,
    }
    return {name: _text(value) for name, value in given.items() if value is not None}


def from_hyperparameters(given: Mapping[str, str]) -> JobParameters:
    """Inverse of `to_hyperparameters`. Raises InvalidInput: an unknown name or unreadable value."""
    ours = {name: _plain(text) for name, text in given.items() if name in OURS}
    options: dict[str, Any] = {}
    known = {field.name for field in fields(TrainingOptions)}
    for name, text in given.items():
        if name in OURS or name.startswith(PASSED_PREFIX):
            continue
        if name not in known:
            raise InvalidInput(
                "unknown hyperparameter", got=name, expected=", ".join(sorted(known | set(OURS)))
            )
        options[name] = _option(name, text)
    return JobParameters(TrainingOptions.from_json(options), **ours)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(text: str) -> str:
    """The text without the JSON quotes that SageMaker's SDK adds."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(load_json(text))
        except ValueError:
            return text
    return text


def _option(name: str, text: str) -> Any:
    """Parse the value of an option by its type."""
    kind = str(get_type_hints(TrainingOptions)[name])
    plain = _plain(text)
    if "None" in kind and plain in {"", "null", "None"}:
        return None
    try:
        if "bool" in kind:
            return {"true": True, "false": False}[plain.lower()]
        if "int" in kind and "float" not in kind:
            return int(plain)
        if "float" in kind:
            return float(plain)
    except (KeyError, ValueError) as error:
        expected = "true or false" if "bool" in kind else "a number"
        raise InvalidInput(
            f"the hyperparameter {name} cannot be read", got=repr(text[:80]), expected=expected
        ) from error
    return plain
