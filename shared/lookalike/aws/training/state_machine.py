"""Runs trainings in a state machine of AWS Step Functions: one execution each, with the training's id as
name.

`infra/training_state_machine.py` defines the machine. An execution's input is

    {"collection": "shoes", "training_id": "20260720t101500-4f2a1c", "source": "zip" | "collection",
     "zip_key": "shoes/training/20260720t101500-4f2a1c.zip", "hyperparameters": {"views": "6", …}}

It uses only immutable parts of a training's record, so that starting a training twice has no further effect.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from lookalike.aws.training.hyperparameters import to_hyperparameters
from lookalike.boto import boto_client
from lookalike.errors import StoreUnavailable
from lookalike.storage import Store
from lookalike.training_jobs import Training, Trainings, zip_key

CANCELLED = "cancelled by the user"
STARTED_ALREADY = "ExecutionAlreadyExists"
NEVER_STARTED = "ExecutionDoesNotExist"


def execution_input(training: Training) -> dict[str, Any]:
    """The execution's input; equal for equal trainings."""
    return {
        "collection": training.collection,
        "training_id": training.id,
        "source": training.source,
        "zip_key": zip_key(training.collection, training.id),
        "hyperparameters": to_hyperparameters(training),
    }


def execution_arn(machine_arn: str, training_id: str) -> str:
    """The execution that runs a training."""
    return f"{machine_arn.replace(':stateMachine:', ':execution:')}:{training_id}"


class StateMachineTrainer:
    """The `lookalike.training_jobs.runner.TrainingRunner` on AWS.

    Args:
        machine_arn: of the state machine.
        images: the images root, for the zip file of a training that is cancelled.
        artifacts: the artifacts root, which has the records.
        client: of Step Functions; None: boto3 makes one when it is first needed.
    """

    def __init__(self, machine_arn: str, images: Store, artifacts: Store, client: Any = None) -> None:
        self._machine_arn = machine_arn
        self._images = images
        self._artifacts = artifacts
        self._given = client

    @cached_property
    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        return boto_client("stepfunctions", region_name=self._machine_arn.split(":")[3])

    def check(self) -> None:
        """Do nothing: this deployment can run trainings."""

    def begin(self, collection: str, training_id: str) -> None:
        """Start the execution of a training; does nothing if it was already started.

        Raises:
            TrainingNotFound: there is no such training.
            StoreUnavailable: Step Functions did not answer; call again.
        """
        training = Trainings(self._artifacts, collection).get(training_id)
        given = json.dumps(execution_input(training), sort_keys=True)
        self._ask(
            lambda: self._client.start_execution(
                stateMachineArn=self._machine_arn, name=training_id, input=given
            ),
            passed=STARTED_ALREADY,
        )

    def cancel(self, collection: str, training_id: str) -> None:
        """Stop the execution, and with it the training job; mark the record as cancelled.

        A stopped execution runs no further step, not even its last one, so this updates the record.

        Raises:
            StoreUnavailable: Step Functions did not answer; call again.
        """
        self._ask(
            lambda: self._client.stop_execution(
                executionArn=execution_arn(self._machine_arn, training_id),
                error="Cancelled",
                cause=CANCELLED,
            ),
            passed=NEVER_STARTED,
        )
        Trainings(self._artifacts, collection).finish(training_id, "cancelled", reason=CANCELLED)
        self._images.delete(zip_key(collection, training_id))

    def _ask(self, call: Callable[[], object], *, passed: str) -> None:
        """Call Step Functions; the error code `passed` counts as success."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            call()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != passed:
                raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable("Step Functions did not answer", got=str(error), fix="Try again.")
