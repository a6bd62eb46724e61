"""The functions: what they run, what they are told, and what wakes them."""

from __future__ import annotations

from typing import Any

import pytest

from infra.config import FUNCTIONS
from infra.constructs.function import HANDLERS
from lookalike.aws.settings import AwsSettings
from lookalike.settings import Settings
from tests.aws_emulator.templates import EVERYTHING, PRODUCTION, Template, of_type, template, text, texts

ACCOUNT_REGION = "123456789012-us-east-1"


@pytest.fixture(scope="module")
def plain() -> Template:
    return template()


@pytest.fixture(scope="module")
def chosen() -> Template:
    return template(*EVERYTHING)


def functions(of: Template) -> dict[str, dict[str, Any]]:
    """Properties of each function by its short name."""
    return {
        each["Properties"]["FunctionName"].rpartition("-")[2]: each["Properties"]
        for each in of_type(of, "AWS::Lambda::Function").values()
    }


def environment(of: Template, name: str) -> dict[str, str]:
    variables = functions(of)[name]["Environment"]["Variables"]
    return {key: text(value) for key, value in variables.items()}


def test_there_are_eight(plain: Template) -> None:
    assert set(functions(plain)) == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_library_understands_what_it_is_told(plain: Template, name: str) -> None:
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


def test_who_is_told_of_queue_and_machine(plain: Template) -> None:
    for name in FUNCTIONS:
        aws = AwsSettings.from_env(environment(plain, name))
        url = "https://sqs.us-east-1.amazonaws.com/123456789012/lookalike-dev-builds.fifo"
        assert aws.build_queue_url == (url if name in {"query", "ingest", "reconcile"} else "")
        machine = "arn:aws:states:us-east-1:123456789012:stateMachine:lookalike-dev-training"
        assert aws.training_machine_arn == (machine if name in {"query", "ingest"} else "")


@pytest.mark.parametrize(("options", "mode"), [((), "keys"), (EVERYTHING, "iam"), (PRODUCTION, "jwt")])
def test_who_checks_callers(options: tuple[str, ...], mode: str) -> None:
    assert AwsSettings.from_env(environment(template(*options), "query")).auth == mode


def test_each_runs_its_handler(plain: Template) -> None:
    found = functions(plain)
    assert {name: found[name]["ImageConfig"]["Command"] for name in FUNCTIONS} == {
        name: [handler] for name, handler in HANDLERS.items()
    }


def test_two_images_make_all_functions(plain: Template) -> None:
    images = {name: text(each["Code"]["ImageUri"]) for name, each in functions(plain).items()}
    assert len(set(images.values())) == 2
    assert [name for name in images if images[name] == images["query"]] == ["query"]


def test_sizes_are_those_of_the_configuration(plain: Template, chosen: Template) -> None:
    query = functions(plain)["query"]
    assert (query["MemorySize"], query["Timeout"], query["EphemeralStorage"]) == (1769, 29, {"Size": 4096})
    assert "ReservedConcurrentExecutions" not in query
    larger = functions(chosen)["query"]
    assert (larger["MemorySize"], larger["ReservedConcurrentExecutions"]) == (3008, 20)


def test_the_architecture_is_said_of_functions_and_images(plain: Template, chosen: Template) -> None:
    assert {tuple(each["Architectures"]) for each in functions(plain).values()} == {("x86_64",)}
    assert {tuple(each["Architectures"]) for each in functions(chosen).values()} == {("arm64",)}


def test_each_logs_where_old_lines_go(plain: Template, chosen: Template) -> None:
    for of, days in ((plain, 30), (chosen, 90)):
        groups = of_type(of, "AWS::Logs::LogGroup")
        for group in groups.values():
            assert group["Properties"]["RetentionInDays"] == days
        for each in of_type(of, "AWS::Lambda::Function").values():
            properties = each["Properties"]
            name = text(properties["LoggingConfig"]["LogGroup"]).strip("<>")
            expected = f"/aws/lambda/{properties['FunctionName']}"
            assert groups[name]["Properties"]["LogGroupName"] == expected


def test_traces_are_written_if_they_were_chosen(plain: Template, chosen: Template) -> None:
    """X-Ray would be a fifth of the price of a search."""
    for of, mode in ((plain, None), (chosen, {"Mode": "Active"})):
        for name, each in functions(of).items():
            assert each.get("TracingConfig") == mode
            assert environment(of, name)["POWERTOOLS_TRACE_DISABLED"] == ("false" if mode else "true")
        actions = {
            action
            for role in of_type(of, "AWS::IAM::Role").values()
            for policy in role["Properties"]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
            for action in texts(statement["Action"])
        }
        assert bool(mode) == any(action.startswith("xray:") for action in actions)


def name_of(of: Template, queue: Any) -> str:
    """The name of the queue that `Fn::GetAtt` refers to."""
    return str(of["Resources"][queue["Fn::GetAtt"][0]]["Properties"]["QueueName"])


def mapping(of: Template, queue: str) -> dict[str, Any]:
    (found,) = [
        each["Properties"]
        for each in of_type(of, "AWS::Lambda::EventSourceMapping").values()
        if name_of(of, each["Properties"]["EventSourceArn"]) == f"lookalike-dev-{queue}"
    ]
    return found


def test_uploads_wake_ingest(plain: Template) -> None:
    uploads = mapping(plain, "uploads")
    assert text(uploads["FunctionName"]).startswith("<IngestFunction")
    assert uploads["BatchSize"] == 50
    assert uploads["MaximumBatchingWindowInSeconds"] == 1
    assert uploads["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert uploads["ScalingConfig"] == {"MaximumConcurrency": 3}


def test_ingest_and_builds_leave_half_of_a_new_account_to_queries(plain: Template) -> None:
    """A new account runs ten functions at once."""
    queues = ("uploads", "builds.fifo")
    together = sum(mapping(plain, queue)["ScalingConfig"]["MaximumConcurrency"] for queue in queues)
    assert together <= 5


def test_builds_wake_the_builder(plain: Template) -> None:
    builds = mapping(plain, "builds.fifo")
    assert text(builds["FunctionName"]).startswith("<IngestBuilderFunction")
    assert builds["BatchSize"] == 1
    assert "MaximumBatchingWindowInSeconds" not in builds  # FIFO queues have none
    assert builds["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_daily_repair_is_scheduled(plain: Template) -> None:
    (schedule,) = of_type(plain, "AWS::Scheduler::Schedule").values()
    properties = schedule["Properties"]
    assert properties["ScheduleExpression"] == "rate(1 day)"
    called = properties["Target"]["Arn"]["Fn::GetAtt"][0]
    assert plain["Resources"][called]["Properties"]["FunctionName"] == "lookalike-dev-reconcile"
    role = plain["Resources"][properties["Target"]["RoleArn"]["Fn::GetAtt"][0]]["Properties"]
    (statement,) = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "lambda:InvokeFunction"
    assert text(statement["Resource"]).endswith(":function:lookalike-dev-reconcile")


def test_tags_can_be_seen(plain: Template, chosen: Template) -> None:
    for of, expected in (
        (plain, {"lookalike:stage": "dev", "application": "lookalike"}),
        (chosen, {"lookalike:stage": "dev", "cost-center": "42"}),
    ):
        for each in functions(of).values():
            tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
            assert expected.items() <= tags.items()


def test_outputs_say_what_a_user_needs(plain: Template) -> None:
    outputs = set(plain["Outputs"])
    assert {
        "ApiUrl",
        "ImagesBucket",
        "ArtifactsBucket",
        "UploadsQueueUrl",
        "UploadsDeadQueueUrl",
        "BuildsQueueUrl",
        "BuildsDeadQueueUrl",
        "TrainingMachine",
    } <= outputs
