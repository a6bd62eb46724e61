"""Why a training in the cloud failed, as a sentence for the user.

Step Functions gives an error name and a cause. The cause is JSON that a service wrote: SageMaker's
description of the job, or Lambda's report of an exception.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lookalike import errors
from lookalike.aws.training.quota import QUOTA_ERROR, quota_failure
from lookalike.errors import InvalidInput, LookalikeError, TrainingCancelled
from lookalike.integrity import load_json
from lookalike.publishing import EncodingCancelled

Step = Literal["train", "register", "encode", "publish"]
WORDS: Mapping[str, str] = {
    "train": "the training",
    "register": "adding the encoder",
    "encode": "encoding the collection with the new encoder",
    "publish": "publishing the encoder",
}
REFUSED, BROKEN = 1, 2
"""Exit codes of the training container: the source or an option cannot be used; anything else."""
MAX_CHARACTERS = 1_000
CANCELLED = frozenset({TrainingCancelled.__name__, EncodingCancelled.__name__})
TIMEOUTS = frozenset({"States.Timeout", "Sandbox.Timedout"})
_ALGORITHM = re.compile(r"AlgorithmError: (?P<text>.*?)(?:, exit code: (?P<code>\d+))?\s*", re.DOTALL)
_STOPPED: Mapping[str, str] = {
    "MaxRuntimeExceeded": "the training took too long. Use fewer images, views or epochs",
    "MaxWaitTimeExceeded": "no machine was free for the training for too long. Try again later",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of a training.

    Attributes:
        sentence: message for users.
        alarm: whether an operator must act; False if the source cannot be used for training.
        cancelled: the user cancelled it.
    """

    sentence: str
    alarm: bool = True
    cancelled: bool = False


def explain(step: str, error: str, cause: str) -> Failure:
    """The failure of a step, from the error that Step Functions caught."""
    document = _document(cause)
    if step == "train" and error.rpartition(".")[2] == QUOTA_ERROR.rpartition(".")[2]:
        return Failure(_cut(quota_failure(cause)))
    failure = _of_job(document) if step == "train" else _of_function(step, error, document)
    if failure is None:
        problem = f"it took too long ({error})" if error in TIMEOUTS else f"{error}: {cause}"
        failure = Failure(f"{WORDS.get(step, step)} failed: {problem}")
    return Failure(_cut(failure.sentence), failure.alarm, failure.cancelled)


def _of_job(document: Mapping[str, Any]) -> Failure | None:
    """The failure of a training job; None: the job never started."""
    reason = str(document.get("FailureReason") or "")
    if found := _ALGORITHM.fullmatch(reason):
        refused = found["code"] == str(REFUSED)
        return Failure(found["text"].strip() or "the training failed and gave no reason", alarm=not refused)
    if document.get("TrainingJobStatus") == "Stopped":
        why = _STOPPED.get(str(document.get("SecondaryStatus")), "another client stopped the training job")
        return Failure(why)
    return Failure(f"the training failed: {reason}") if reason else None


def _of_function(step: str, error: str, document: Mapping[str, Any]) -> Failure | None:
    """The failure of a function that raised; None: it was not one of our errors."""
    name = str(document.get("errorType") or error)
    message = str(document.get("errorMessage") or "")
    if name in CANCELLED:
        return Failure("cancelled by the user", alarm=False, cancelled=True)
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, LookalikeError):
        return Failure(message, alarm=not issubclass(kind, InvalidInput))
    if error == "States.ExceedToleratedFailureThreshold":
        return Failure(f"{WORDS[step]} failed: some images could not be encoded. Train again")
    return Failure(f"{WORDS.get(step, step)} failed: {name}: {message}") if message else None


def _document(cause: str) -> Mapping[str, Any]:
    try:
        found = load_json(cause)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"
