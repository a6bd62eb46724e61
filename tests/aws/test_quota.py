"""A training without quota for its machine: the record says what it waits for, and fails with the way out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.server import eventually

from lookalike.aws.training.quota import QUOTAS_URL, WAITS
from tests.aws_emulator.cloud_collection import CloudClient, CloudCollection
from tests.aws_emulator.deployment import Cloud
from tests.aws_emulator.step_functions import Services, executing_cloud

QUOTA = "ml.m5.2xlarge for spot training job usage"
MESSAGE = (
    f"The account-level service limit '{QUOTA}' is 0 Instances, with current utilization of 0 Instances "
    "and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase for this quota."
)
HERE = "/collections/shapes/trainings"
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def place(tiny_encoder_folder: Path) -> Iterator[tuple[Cloud, Services, CloudClient]]:
    with executing_cloud() as (made, services):
        shop = CloudCollection(made, "shapes", tiny_encoder_folder)
        yield made, services, shop.client(made.process("query"))


def test_a_quota_of_zero(place: tuple[Cloud, Services, CloudClient]) -> None:
    made, services, client = place
    services.refused = [MESSAGE] * 100
    asked = client.json("POST", HERE, {"source": "collection"}, 202)
    here = f"{HERE}/{asked['training']['id']}"

    def phase() -> str:
        return str(client.json("GET", here)["phase"])

    waiting = f"waiting: no ml.m5.2xlarge is available: the account's quota '{QUOTA}' is 0"
    eventually(lambda: phase() == waiting, seconds=PATIENCE_SECONDS)
    ended = eventually(lambda: _ended(client, here), seconds=PATIENCE_SECONDS)
    assert ended["status"] == "failed"
    assert ended["reason"].startswith(f"No ml.m5.2xlarge is available: the account's quota '{QUOTA}' is 0. ")
    assert QUOTAS_URL in ended["reason"]
    assert 100 - len(services.refused) == 1 + WAITS
    machine = made.environment("query")["LOOKALIKE_TRAINING_MACHINE_ARN"]
    execution = f"{machine.replace(':stateMachine:', ':execution:')}:{asked['training']['id']}"
    steps = made.client("stepfunctions")
    status = eventually(
        lambda: (found := steps.describe_execution(executionArn=execution)["status"]) != "RUNNING" and found
    )
    assert status == "FAILED", "nobody would be told"


def test_a_machine_that_becomes_free(place: tuple[Cloud, Services, CloudClient]) -> None:
    _, services, client = place
    services.refused = [MESSAGE] * 2
    asked = client.json("POST", HERE, {"source": "collection"}, 202)
    here = f"{HERE}/{asked['training']['id']}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not services.requests and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(services.requests) == 1, "the job was not created once there was a machine"
    assert services.refused == []
    client.request("DELETE", here)


def _ended(client: CloudClient, here: str) -> dict[str, Any] | None:
    found: dict[str, Any] = client.json("GET", here)
    return found if found["finished_at"] else None
