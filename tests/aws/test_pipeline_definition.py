"""The state machine as a document: valid by cfn-lint's schema of the language, and no state leads nowhere."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.training_state_machine import Pipeline, definition
from lookalike.aws.training.quota import QUOTA_ERROR, WAITS
from tests.aws_emulator.step_functions import executable
from tests.aws_emulator.templates import template

ROLE = "arn:aws:iam::123456789012:role/x"
FUNCTIONS = {
    name: f"arn:aws:lambda:us-east-1:123456789012:function:lookalike-dev-{name}"
    for name in ("register", "encode", "publish", "conclude")
}
LAST = "Conclude"


@pytest.fixture
def machine() -> dict[str, Any]:
    return definition(Pipeline("lookalike-dev", "image", ROLE, "images", "artifacts", FUNCTIONS, {"A": "b"}))


def problems(document: dict[str, Any]) -> list[str]:
    from cfnlint.api import lint
    from cfnlint.config import ManualArgs

    properties = {"RoleArn": ROLE, "DefinitionString": json.dumps(document)}
    resources = {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}
    found = lint(json.dumps({"Resources": resources}), config=ManualArgs(regions=["us-east-1"]))
    return [str(match.message) for match in found]


def test_it_is_valid(machine):
    assert problems(machine) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda states: states["EncodeAll"].update(MaxConcurrency="many"),
        lambda states: states["Publish"].pop("Next"),
        lambda states: states["Register"].update(Retry=[{"MaxAttempts": 3}]),
        lambda states: states["EncodeAll"]["ItemProcessor"].pop("StartAt"),
    ],
)
def test_a_spoilt_one_is_not(machine, spoil):
    spoil(machine["States"])
    assert problems(machine)


def test_the_interpreter_reads_it_in_its_own_words(machine):
    before = copy.deepcopy(machine)
    # Here, because this import takes 5 s, and every worker imports every file of tests.
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

    AmazonStateLanguageParser.parse(json.dumps(executable(machine)))
    assert machine == before
    kept = {"ItemReader", "ItemSelector", "MaxConcurrency", "ItemProcessor", "Catch"}
    assert kept <= set(executable(machine)["States"]["EncodeAll"])


def following(state: dict[str, Any]) -> Iterator[str]:
    yield from (state[key] for key in ("Next", "Default") if key in state)
    for branch in [*state.get("Choices", []), *state.get("Catch", [])]:
        yield branch["Next"]


def test_every_state_is_reached_and_leads_on(machine):
    states, reached, waiting = machine["States"], set(), [machine["StartAt"]]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += following(states[name])
    assert reached == set(states)
    assert {name for name, state in states.items() if not list(following(state))} == {"Ended", "Broken"}


def test_whatever_fails_is_concluded_and_a_failure_of_that_is_not_hidden(machine):
    for name, state in machine["States"].items():
        if state["Type"] in {"Task", "Map"} and name != LAST:
            *others, last = state["Catch"]
            assert (last["ErrorEquals"], last["Next"]) == (["States.ALL"], LAST)
            assert last["ResultPath"].startswith("$.failed.")
            assert [catch["Next"] for catch in others] == ["NoteQuota"] * name.startswith("TrainOn")
    assert "Catch" not in machine["States"][LAST]


def test_every_task_has_a_time_limit_and_tries_again_with_growing_pauses(machine):
    states = machine["States"]
    tasks = [state for state in states.values() if state["Type"] == "Task"]
    tasks += states["EncodeAll"]["ItemProcessor"]["States"].values()
    assert len(tasks) == 7
    for task in tasks:
        assert task["TimeoutSeconds"] > 0
        for retry in task["Retry"]:
            assert retry["MaxAttempts"] * retry["IntervalSeconds"] > 0
            assert retry["BackoffRate"] >= 1
    batch = states["EncodeAll"]["ItemProcessor"]["States"]["Encode"]
    assert batch["TimeoutSeconds"] < 300  # an express execution lives five minutes


def test_a_quota_is_awaited_for_fifteen_minutes(machine):
    assert WAITS * machine["States"]["WaitForQuota"]["Seconds"] == 15 * 60
    for name in ("TrainOnZip", "TrainOnCollection"):
        retried = [error for retry in machine["States"][name]["Retry"] for error in retry["ErrorEquals"]]
        assert QUOTA_ERROR not in retried


def test_only_a_zip_has_a_channel_and_a_second_try_another_name(machine):
    on_zip, on_collection = (
        machine["States"][name]["Parameters"] for name in ("TrainOnZip", "TrainOnCollection")
    )
    assert {**on_collection, "InputDataConfig": on_zip["InputDataConfig"]} == on_zip
    assert "$$.State.RetryCount" in on_zip["TrainingJobName.$"]
    assert "RetryCount" not in json.dumps(on_zip["CheckpointConfig"])


def test_without_spot_there_is_no_waiting_time():
    made = definition(Pipeline("x", "image", ROLE, "images", "artifacts", FUNCTIONS, spot=False))
    job = made["States"]["TrainOnZip"]["Parameters"]
    assert job["EnableManagedSpotTraining"] is False
    assert "MaxWaitTimeInSeconds" not in job["StoppingCondition"]


def test_the_deployed_one_is_this_one(machine):
    (resource,) = [
        each["Properties"]
        for each in template()["Resources"].values()
        if each["Type"] == "AWS::StepFunctions::StateMachine"
    ]
    deployed = json.dumps(resource["DefinitionString"])
    for name in machine["States"]:
        assert name in deployed


def test_the_page_names_what_is_not_executed():
    page = (Path(__file__).parents[2] / "docs" / "cloud-training.md").read_text("utf-8")
    for word in ("createTrainingJob.sync", "ItemBatcher", "EXPRESS"):
        assert f"`{word}`" in page
