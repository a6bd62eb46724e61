"""The functions: what they run, what they are told, and what wakes them."""

from __future__ import annotations

from typing import Any

import pytest

from infra.config import FUNCTIONS
from infra.constructs.function import HANDLERS
from lookalike.aws.settings import AwsSettings
from lookalike.settings import Settings
from tests.aws_emulator.templates import EVERYTHING, PRODUCTION, Templates, of_type, templates, text

ACCOUNT_REGION = "123456789012-us-east-1"


@pytest.fixture(scope="module")
def plain() -> Templates:
    return templates()


@pytest.fixture(scope="module")
def chosen() -> Templates:
    return templates(*EVERYTHING)


def functions(of: Templates) -> dict[str, dict[str, Any]]:
    """Properties of each function by its short name."""
    return {
        each["Properties"]["FunctionName"].rpartition("-")[2]: each["Properties"]
        for template in of.values()
        for each in of_type(template, "AWS::Lambda::Function").values()
    }


def environment(of: Templates, name: str) -> dict[str, str]:
    variables = functions(of)[name]["Environment"]["Variables"]
    return {key: text(value) for key, value in variables.items()}


def test_there_are_seven(plain: Templates) -> None:
    assert set(functions(plain)) == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_library_understands_what_it_is_told(plain: Templates, name: str) -> None:
    told = environment(plain, name)
    settings = Settings.from_env(told)
    assert settings.images_url == f"s3://lookalike-dev-images-{ACCOUNT_REGION}"
    assert settings.artifacts_url == f"s3://lookalike-dev-artifacts-{ACCOUNT_REGION}"
    assert settings.s3_region == "us-east-1"
    assert settings.refresh_seconds == 2
    aws = AwsSettings.from_env(told)
    assert str(aws.cache) == "/tmp/lookalike"
    known = set(Settings().to_env()) | {"LOOKALIKE_IMAGES", "LOOKALIKE_ARTIFACTS"}
    known |= {
        f"LOOKALIKE_{option}"
        for option in ("AUTH", "BUILD_QUEUE_URL", "TRAINING_MACHINE_ARN", "CACHE_FOLDER")
    }
    assert {key for key in told if key.startswith("LOOKALIKE_")} <= known
    assert told["POWERTOOLS_SERVICE_NAME"] == name
    assert told["POWERTOOLS_METRICS_NAMESPACE"] == "Lookalike"


def test_who_is_told_of_queue_and_machine(plain: Templates) -> None:
    for name in FUNCTIONS:
        aws = AwsSettings.from_env(environment(plain, name))
        if name in {"query", "ingest"}:
            url = "https://sqs.us-east-1.amazonaws.com/123456789012/lookalike-dev-builds.fifo"
            assert aws.build_queue_url == url
            machine = "arn:aws:states:us-east-1:123456789012:stateMachine:lookalike-dev-training"
            assert aws.training_machine_arn == machine
        else:
            assert (aws.build_queue_url, aws.training_machine_arn) == ("", "")


@pytest.mark.parametrize(("options", "mode"), [((), "keys"), (EVERYTHING, "iam"), (PRODUCTION, "jwt")])
def test_who_checks_callers(options: tuple[str, ...], mode: str) -> None:
    assert AwsSettings.from_env(environment(templates(*options), "query")).auth == mode


def test_each_runs_its_handler(plain: Templates) -> None:
    found = functions(plain)
    assert {name: found[name]["ImageConfig"]["Command"] for name in FUNCTIONS} == {
        name: [handler] for name, handler in HANDLERS.items()
    }


def test_two_images_make_seven_functions(plain: Templates) -> None:
    images = {name: text(each["Code"]["ImageUri"]) for name, each in functions(plain).items()}
    assert len(set(images.values())) == 2
    assert [name for name in images if images[name] == images["query"]] == ["query"]


def test_sizes_are_those_of_the_configuration(plain: Templates, chosen: Templates) -> None:
    query = functions(plain)["query"]
    assert (query["MemorySize"], query["Timeout"], query["EphemeralStorage"]) == (1769, 29, {"Size": 4096})
    assert "ReservedConcurrentExecutions" not in query
    larger = functions(chosen)["query"]
    assert (larger["MemorySize"], larger["ReservedConcurrentExecutions"]) == (3008, 20)


def test_the_architecture_is_said_of_functions_and_images(plain: Templates, chosen: Templates) -> None:
    assert {tuple(each["Architectures"]) for each in functions(plain).values()} == {("x86_64",)}
    assert {tuple(each["Architectures"]) for each in functions(chosen).values()} == {("arm64",)}


def test_each_is_traced_and_logs_where_old_lines_go(plain: Templates, chosen: Templates) -> None:
    for of, days in ((plain, 30), (chosen, 90)):
        for template in of.values():
            groups = of_type(template, "AWS::Logs::LogGroup")
            for group in groups.values():
                assert group["Properties"]["RetentionInDays"] == days
            for each in of_type(template, "AWS::Lambda::Function").values():
                properties = each["Properties"]
                assert properties["TracingConfig"] == {"Mode": "Active"}
                name = text(properties["LoggingConfig"]["LogGroup"]).strip("<>")
                expected = f"/aws/lambda/{properties['FunctionName']}"
                assert groups[name]["Properties"]["LogGroupName"] == expected


def mapping(of: Templates, queue: str) -> dict[str, Any]:
    (found,) = [
        each["Properties"]
        for each in of_type(of["ingest"], "AWS::Lambda::EventSourceMapping").values()
        if text(each["Properties"]["EventSourceArn"]).endswith(f":lookalike-dev-{queue}")
    ]
    return found


def test_uploads_wake_ingest(plain: Templates) -> None:
    uploads = mapping(plain, "uploads")
    assert text(uploads["FunctionName"]).startswith("<IngestFunction")
    assert uploads["BatchSize"] == 50
    assert uploads["MaximumBatchingWindowInSeconds"] == 1
    assert uploads["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert uploads["ScalingConfig"] == {"MaximumConcurrency": 10}


def test_builds_wake_the_builder(plain: Templates) -> None:
    builds = mapping(plain, "builds.fifo")
    assert text(builds["FunctionName"]).startswith("<BuilderFunction")
    assert builds["BatchSize"] == 1
    assert "MaximumBatchingWindowInSeconds" not in builds  # FIFO queues have none
    assert builds["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_tags_can_be_seen(plain: Templates, chosen: Templates) -> None:
    for of, expected in (
        (plain, {"lookalike:stage": "dev", "application": "lookalike"}),
        (chosen, {"lookalike:stage": "dev", "cost-center": "42"}),
    ):
        for each in functions(of).values():
            tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
            assert expected.items() <= tags.items()


def test_outputs_say_what_a_user_needs(plain: Templates) -> None:
    outputs = {name for template in plain.values() for name in template["Outputs"]}
    assert {
        "ApiUrl",
        "ImagesBucket",
        "ArtifactsBucket",
        "UploadsQueueUrl",
        "UploadsDeadQueueUrl",
        "BuildsQueueUrl",
        "BuildsDeadQueueUrl",
        "TrainingMachine",
        "DashboardName",
    } <= outputs
