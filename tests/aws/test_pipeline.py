"""From `POST …/trainings` to the encoder that serves: the state machine executed, with its real functions."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fixtures.classes import drawn_classes, zipped

from tests.aws_emulator.cloud_collection import CloudClient, CloudCollection
from tests.aws_emulator.deployment import Cloud
from tests.aws_emulator.event_source_mapping import EventSource
from tests.aws_emulator.step_functions import Services, executing_cloud

EACH = 6
OPTIONS = {"views": 2, "epochs": 3, "dimension": 32}
PATIENCE_SECONDS = 600
STEPS = [
    "ChooseSource",
    "Register",
    "IsItToServe",
    "EncodeAll",
    "Publish",
    "Conclude",
    "HowDidItEnd",
    "Ended",
]
HERE = "/collections/shapes"


PICTURES = drawn_classes(EACH)


@dataclass
class Shapes:
    """A collection that can be trained on, and everything that takes part."""

    cloud: Cloud
    services: Services
    shop: CloudCollection
    client: CloudClient
    uploads: EventSource

    def ask(self, content: bytes | None = None, **body: Any) -> str:
        """Ask for a training; `content` is the zip file to send."""
        source = "collection" if content is None else "zip"
        asked = self.client.json("POST", f"{HERE}/trainings", {"source": source, **OPTIONS, **body}, 202)
        if content is not None:
            put = httpx.put(asked["upload"]["url"], content=content, headers=asked["upload"]["headers"])
            assert put.status_code == 200, put.text
        return str(asked["training"]["id"])

    def training(self, training_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.json("GET", f"{HERE}/trainings/{training_id}")
        return found

    def ended(self, training_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := self.training(training_id))["finished_at"]:
            assert self.status(training_id) in {"RUNNING", None, "SUCCEEDED"}, self.history(training_id)
            assert time.monotonic() < deadline, (found, self.history(training_id))
            time.sleep(1)
        return found

    def execution(self, training_id: str) -> str:
        """How the execution ended, once it has."""
        deadline = time.monotonic() + 60
        while (status := self._described(training_id)["status"]) == "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return str(status)

    def status(self, training_id: str) -> str | None:
        """Of the execution; None: it was not started yet."""
        try:
            return str(self._described(training_id)["status"])
        except self.cloud.client("stepfunctions").exceptions.ExecutionDoesNotExist:
            return None

    def history(self, training_id: str) -> list[str]:
        """The states that were entered."""
        events = self.cloud.client("stepfunctions").get_execution_history(
            executionArn=self._described(training_id)["executionArn"], maxResults=1000
        )["events"]
        details = [
            event["stateEnteredEventDetails"] for event in events if "stateEnteredEventDetails" in event
        ]
        return [detail["name"] for detail in details]

    def _described(self, training_id: str) -> dict[str, Any]:
        machine = self.cloud.environment("query")["LOOKALIKE_TRAINING_MACHINE_ARN"]
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{training_id}"
        found: dict[str, Any] = self.cloud.client("stepfunctions").describe_execution(executionArn=arn)
        return found

    def zips(self) -> list[str]:
        listed = self.cloud.s3.list_objects_v2(Bucket=self.cloud.images, Prefix="shapes/training/")
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def encoder(self) -> str:
        """What answers a search."""
        found = self.client.json("POST", f"{HERE}/search", {"id": "disc/0.png", "limit": 40})
        assert {match["id"] for match in found["results"]} == set(PICTURES) - {"disc/0.png"}
        return str(found["encoder"])


@pytest.fixture(scope="module")
def shapes(tiny_encoder_folder):
    with executing_cloud() as (made, services):
        shop = CloudCollection(made, "shapes", tiny_encoder_folder)
        ingest, builder, query = (made.process(name) for name in ("ingest", "builder", "query"))
        with (
            EventSource(made, "uploads", [ingest], visibility_seconds=30) as uploads,
            EventSource(made, "builds.fifo", [builder], visibility_seconds=30) as builds,
        ):
            for name, data in PICTURES.items():
                shop.put(name, data)
            uploads.drain()
            builds.drain()
            yield Shapes(made, services, shop, shop.client(query), uploads)


def test_a_zip_file_becomes_the_encoder_that_serves_though_every_function_is_killed_once(shapes):
    before = shapes.encoder()
    shapes.services.kill_after = {"register": 1.5, "encode": 1.5, "publish": 1.5, "conclude": 1.0}
    training_id = shapes.ask(zipped(PICTURES))
    training = shapes.ended(training_id)
    assert training["status"] == "succeeded", (training, shapes.history(training_id))
    assert training["published"], training["reason"]
    assert training["comparison"]["old"]["encoder_id"] == before
    assert training["comparison"]["new"]["map_at_r"] > training["comparison"]["old"]["map_at_r"]
    assert training["encoder"].startswith("efficientnet-lite0")
    assert shapes.encoder() == training["encoder"]
    assert shapes.execution(training_id) == "SUCCEEDED"
    steps = [name for name in shapes.history(training_id) if not name.startswith("TrainOnZip")]
    assert list(dict.fromkeys(steps)) == STEPS
    calls = Counter(shapes.services.calls)
    assert set(calls) == {"register", "encode", "publish", "conclude"}
    assert calls["encode"] >= len(PICTURES)
    assert shapes.services.kill_after == {}
    page = shapes.client.request("GET", f"{HERE}/trainings/{training_id}/report")
    assert page["statusCode"] == 200
    assert training["encoder"] in page["body"]
    log = shapes.client.json("GET", f"{HERE}/trainings/{training_id}/log")["lines"]
    assert any("feature layer" in line["message"] for line in log)
    assert shapes.zips() == []
    job = shapes.services.requests[f"lookalike-dev-{training_id}-0"]
    assert job["CheckpointConfig"]["S3Uri"].endswith(f"/training-jobs/{training_id}/checkpoints")
    assert job["EnableManagedSpotTraining"] is True


def test_a_training_on_the_collection_may_end_without_publishing(shapes):
    serving = shapes.encoder()
    training_id = shapes.ask(publish="never", loss="softmax")
    training = shapes.ended(training_id)
    assert (training["status"], training["published"]) == ("succeeded", False), training
    assert training["reason"].startswith("not published, as requested; mAP@R")
    assert shapes.encoder() == serving != training["encoder"]
    assert "EncodeAll" not in shapes.history(training_id)
    assert "InputDataConfig" not in shapes.services.requests[f"lookalike-dev-{training_id}-0"]


def test_a_zip_file_that_cannot_be_learnt_from_fails_with_a_sentence(shapes):
    one = {name: data for name, data in PICTURES.items() if name.startswith("disc/")}
    training_id = shapes.ask(zipped(one))
    training = shapes.ended(training_id)
    assert training["status"] == "failed"
    assert training["reason"] == (
        "there is only one class, so there is nothing to distinguish; got disc with 6 images; expected two "
        "classes or more, each with two images or more. Add a folder for each further class, such as "
        "photos/shoes and photos/hats."
    )
    assert shapes.execution(training_id) == "SUCCEEDED"  # nobody has to look after the system
    assert shapes.zips() == []


def test_a_training_is_cancelled(shapes):
    training_id = shapes.ask(views=60)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while shapes.training(training_id)["status"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    shapes.client.json("DELETE", f"{HERE}/trainings/{training_id}", {}, 202)
    training = shapes.training(training_id)
    assert (training["status"], training["reason"]) == ("cancelled", "cancelled by the user")
    assert shapes.execution(training_id) == "ABORTED"
    job = f"lookalike-dev-{training_id}-0"
    while shapes.services.jobs[job]["TrainingJobStatus"] == "InProgress":  # it reads the record
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "cancelled" in shapes.services.jobs[job]["FailureReason"]


def test_a_broken_last_step_is_seen_as_a_failed_execution(shapes):
    shapes.services.broken = {"conclude"}
    one = {name: data for name, data in PICTURES.items() if name.startswith("disc/")}
    training_id = shapes.ask(zipped(one))
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while shapes.status(training_id) != "FAILED":
            assert time.monotonic() < deadline
            time.sleep(1)
    finally:
        shapes.services.broken = set()
    assert shapes.training(training_id)["status"] == "running"  # nobody could write it down
