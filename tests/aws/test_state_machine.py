"""Executions are started once, and stopped; against Step Functions of a moto server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lookalike.api.context import Context
from lookalike.api.training_models import TrainingRequest
from lookalike.api.trainings import queue_training
from lookalike.aws.training.hyperparameters import from_hyperparameters
from lookalike.aws.training.state_machine import StateMachineTrainer, execution_arn
from lookalike.collection_config import CollectionConfig
from lookalike.errors import StoreUnavailable
from lookalike.library import Library
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.training_jobs import Training, Trainings, zip_key
from tests.aws_emulator.moto_server import moto_server

REGION = "us-east-1"
ARN = f"arn:aws:states:{REGION}:123456789012:stateMachine:lookalike-dev-training"
WAITS = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with moto_server() as url:
        made = boto3.client(
            "stepfunctions",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        role = "arn:aws:iam::123456789012:role/machine"
        made.create_state_machine(name="lookalike-dev-training", definition=json.dumps(WAITS), roleArn=role)
        yield made


class Place:
    """A store, and a trainer for it."""

    def __init__(self, folder: Path, client: Any) -> None:
        self.images, self.artifacts = Store(str(folder / "images")), Store(str(folder / "artifacts"))
        self.book = Trainings(self.artifacts, "shoes")
        self.trainer = StateMachineTrainer(ARN, self.images, self.artifacts, client)
        self.client = client

    def ask(self) -> str:
        made = self.book.create(Training("", "shoes", "zip", options={"views": 2}, label="brand"))
        self.images.put(zip_key("shoes", made.id), b"zip")
        return made.id

    def described(self, training_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.describe_execution(executionArn=execution_arn(ARN, training_id))
        return found


@pytest.fixture
def place(tmp_path: Path, client: Any) -> Place:
    return Place(tmp_path, client)


def test_started_twice_is_started_once(place: Place) -> None:
    training_id = place.ask()
    place.trainer.begin("shoes", training_id)
    first = place.described(training_id)
    place.book.update(training_id, status="running", phase="features")  # its input does not change with that
    place.trainer.begin("shoes", training_id)
    assert place.described(training_id)["startDate"] == first["startDate"]
    given = json.loads(first["input"])
    assert (given["collection"], given["training_id"], given["source"]) == ("shoes", training_id, "zip")
    assert given["zip_key"] == f"shoes/training/{training_id}.zip"
    lesson = from_hyperparameters(given["hyperparameters"])
    assert (lesson.options.views, lesson.label) == (2, "brand")


def test_one_that_has_ended_is_not_started_again(place: Place) -> None:
    training_id = place.ask()
    place.trainer.begin("shoes", training_id)
    place.client.stop_execution(executionArn=execution_arn(ARN, training_id))
    place.trainer.begin("shoes", training_id)
    assert place.described(training_id)["status"] == "ABORTED"


@pytest.mark.parametrize("started", [True, False])
def test_cancelling_stops_the_execution_and_ends_the_record(place: Place, started: bool) -> None:
    training_id = place.ask()
    if started:
        place.trainer.begin("shoes", training_id)
    for _ in range(2):
        place.trainer.cancel("shoes", training_id)
    ended = place.book.get(training_id)
    assert (ended.status, ended.reason) == ("cancelled", "cancelled by the user")
    assert not place.images.exists(zip_key("shoes", training_id))
    if started:
        assert place.described(training_id)["status"] == "ABORTED"


def test_what_step_functions_refuses_can_be_asked_again(tmp_path: Path, client: Any) -> None:
    place = Place(tmp_path, client)
    place.trainer = StateMachineTrainer(ARN.replace("dev", "gone"), place.images, place.artifacts, client)
    with pytest.raises(StoreUnavailable, match="Step Functions did not answer"):
        place.trainer.begin("shoes", place.ask())


def test_a_training_that_cannot_be_begun_does_not_stand_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")  # nobody listens there
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    settings = Settings(store=str(tmp_path))
    library = Library(settings, tmp_path / "cache")
    trainer = StateMachineTrainer(ARN, library.images, library.artifacts)
    library.collections.create(CollectionConfig("shoes", "tiny-0123456789ab"))
    context = Context.create(library, trainer=trainer)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="Step Functions did not answer"):
            queue_training(context, "shoes", TrainingRequest(source="collection"), "http://here")
    records = Trainings(library.artifacts, "shoes").all()
    assert [training.status for training in records] == ["failed", "failed"]
    assert (records[0].reason or "").startswith("it could not start: Step Functions")
