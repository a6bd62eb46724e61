"""The state machine as it stands in the template."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.aws_emulator.templates import EVERYTHING, of_type, only, template, text

MACHINE = "AWS::StepFunctions::StateMachine"


def machine(*options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text(only(template(*options), MACHINE)["DefinitionString"]))
    return found


@pytest.fixture(scope="module")
def training() -> dict[str, Any]:
    return template()


def test_it_logs(training: dict[str, Any]) -> None:
    properties = only(training, MACHINE)
    assert properties["TracingConfiguration"] == {"Enabled": False}
    assert only(template(*EVERYTHING), MACHINE)["TracingConfiguration"] == {"Enabled": True}
    assert properties["LoggingConfiguration"]["Level"] == "ALL"
    (destination,) = properties["LoggingConfiguration"]["Destinations"]
    group = text(destination["CloudWatchLogsLogGroup"]["LogGroupArn"]).strip("<>").partition(".")[0]
    assert training["Resources"][group]["Properties"]["RetentionInDays"] == 30


def test_it_calls_the_functions_of_this_stack(training: dict[str, Any]) -> None:
    functions = {
        f"<{name}.Arn>": each["Properties"]["FunctionName"]
        for name, each in of_type(training, "AWS::Lambda::Function").items()
    }
    called = {
        functions[state["Parameters"]["FunctionName"]]
        for state in _states(machine())
        if "FunctionName" in state.get("Parameters", {})
    }
    assert called == {f"lookalike-dev-{name}" for name in ("register", "encode", "publish", "conclude")}


def test_its_role_may_call_what_it_calls(training: dict[str, Any]) -> None:
    (role,) = [
        each["Properties"]
        for name, each in of_type(training, "AWS::IAM::Role").items()
        if name.startswith("TrainingMachineRole")
    ]
    allowed = {
        text(resource)
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]
        if statement["Action"] == "lambda:InvokeFunction"
        for resource in statement["Resource"]
    }
    names = ("register", "encode", "publish", "conclude")
    assert allowed == {
        f"arn:aws:lambda:us-east-1:123456789012:function:lookalike-dev-{name}" for name in names
    }


def test_a_job_is_as_configured() -> None:
    for options, kind, spot, hours in (
        ((), "ml.c5.2xlarge", True, 6),
        (EVERYTHING, "ml.g5.xlarge", False, 3),
    ):
        jobs = [
            each["Parameters"] for each in _states(machine(*options)) if "createTrainingJob" in _asks(each)
        ]
        assert jobs
        for job in jobs:
            assert job["ResourceConfig"]["InstanceType"] == kind
            assert job["EnableManagedSpotTraining"] is spot
            assert job["StoppingCondition"]["MaxRuntimeInSeconds"] == hours * 3_600
            assert job["Environment"]["LOOKALIKE_IMAGES"].startswith("s3://lookalike-dev-images-")
            assert job["OutputDataConfig"]["S3OutputPath"].startswith("s3://lookalike-dev-artifacts-")
            assert job["TrainingJobName.$"].startswith("States.Format('lookalike-dev-{}")


def test_its_name_is_the_one_that_others_were_told(training: dict[str, Any]) -> None:
    assert only(training, MACHINE)["StateMachineName"] == "lookalike-dev-training"


def _asks(state: dict[str, Any]) -> str:
    return str(state.get("Resource", ""))


def _states(of: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for state in of["States"].values():
        found.append(state)
        if "ItemProcessor" in state:
            found += _states(state["ItemProcessor"])
    return found
