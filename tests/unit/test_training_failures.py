"""Causes that services write, as sentences for people."""

from __future__ import annotations

import json

import pytest

from lookalike.aws.training.failures import MAX_CHARACTERS, explain


def job(**described: str) -> str:
    return json.dumps({"TrainingJobName": "x", "TrainingJobStatus": "Failed", **described})


def raised(kind: str, message: str) -> str:
    return json.dumps({"errorType": kind, "errorMessage": message, "stackTrace": ["secret"]})


@pytest.mark.parametrize(
    ("step", "error", "cause", "sentence", "alarm"),
    [
        (
            "train",
            "States.TaskFailed",
            job(FailureReason="AlgorithmError: there is only one class; got shoes, exit code: 1"),
            "there is only one class; got shoes",
            False,
        ),
        (
            "train",
            "States.TaskFailed",
            job(FailureReason="AlgorithmError: the training process died; got\nout of memory, exit code: 2"),
            "the training process died; got\nout of memory",
            True,
        ),
        (
            "train",
            "States.TaskFailed",
            job(FailureReason="AlgorithmError: , exit code: 137"),
            "gave no reason",
            True,
        ),
        (
            "train",
            "States.TaskFailed",
            job(FailureReason="CapacityError: Unable to provision requested ML compute capacity."),
            "the training failed: CapacityError: Unable to provision",
            True,
        ),
        (
            "train",
            "States.TaskFailed",
            job(TrainingJobStatus="Stopped", SecondaryStatus="MaxRuntimeExceeded"),
            "the training took too long",
            True,
        ),
        (
            "train",
            "States.TaskFailed",
            job(TrainingJobStatus="Stopped"),
            "another client stopped the",
            True,
        ),
        (
            "train",
            "SageMaker.ResourceLimitExceededException",
            "The account-level service limit is 0 Instances.",
            "SageMaker's quota for the training's machine is used up. Request an increase at https://console.",
            True,
        ),
        (
            "train",
            "SageMaker.ResourceLimitExceededException",
            "The account-level service limit 'ml.m5.2xlarge for spot training job usage' is 0 "
            "Instances, with current utilization of 0 Instances and a request delta of 1 Instances.",
            "No ml.m5.2xlarge is available: the account's quota 'ml.m5.2xlarge for spot training job usage' "
            "is 0. Request an increase at "
            "https://console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas,",
            True,
        ),
        (
            "train",
            "SageMaker.ResourceLimitExceededException",
            "The account-level service limit 'ml.g4dn.xlarge for training job usage' is 2 Instances, …",
            "the account's quota 'ml.g4dn.xlarge for training job usage' is 2, and used up. Request",
            True,
        ),
        (
            "register",
            "Incompatible",
            raised("Incompatible", "the model artefact is cut off"),
            "is cut off",
            True,
        ),
        (
            "publish",
            "InvalidInput",
            raised("InvalidInput", "nothing tells which is better"),
            "nothing tells",
            False,
        ),
        (
            "publish",
            "KeyError",
            raised("KeyError", "'x'"),
            "publishing the encoder failed: KeyError: 'x'",
            True,
        ),
        ("encode", "States.ExceedToleratedFailureThreshold", "", "encoding the collection", True),
        ("encode", "States.ItemReaderFailed", "no access", "ItemReaderFailed: no access", True),
        (
            "publish",
            "Sandbox.Timedout",
            "",
            "publishing the encoder failed: it took too long",
            True,
        ),
        ("register", "Lambda.Unknown", "[1, 2]", "adding the encoder failed: Lambda.Unknown: [1, 2]", True),
    ],
)
def test_sentences(step: str, error: str, cause: str, sentence: str, alarm: bool) -> None:
    failure = explain(step, error, cause)
    assert sentence in failure.sentence
    assert failure.alarm is alarm
    assert not failure.cancelled
    assert "secret" not in failure.sentence


@pytest.mark.parametrize("kind", ["TrainingCancelled", "EncodingCancelled"])
def test_a_cancellation_is_no_failure(kind: str) -> None:
    failure = explain("publish", kind, raised(kind, "…"))
    assert (failure.cancelled, failure.alarm) == (True, False)


def test_endless_causes_are_cut() -> None:
    failure = explain("encode", "States.Runtime", "x" * 100_000)
    assert len(failure.sentence) == MAX_CHARACTERS
