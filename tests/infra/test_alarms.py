"""Alarms: what they look at, whom they tell, and that the runbook knows each of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.names import NAMESPACE, SNAPSHOT_AGE
from lookalike.aws.telemetry import Telemetry
from tests.aws_emulator.templates import EVERYTHING, Templates, of_type, only, templates, text

ALARM = "AWS::CloudWatch::Alarm"
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
Template = dict[str, Any]


@pytest.fixture(scope="module")
def plain() -> Templates:
    return templates()


def alarms(of: Templates) -> dict[str, Template]:
    found = of_type(of["observability"], ALARM).values()
    return {
        str(each["Properties"]["AlarmName"]).removeprefix("lookalike-dev-"): each["Properties"]
        for each in found
    }


def readings(alarm: Template) -> set[tuple[str, str, str]]:
    """Metric, its one dimension, and the statistic."""
    if "MetricName" in alarm:
        (dimension,) = alarm["Dimensions"]
        how = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        return {(alarm["MetricName"], text(dimension["Value"]), how)}
    stats = [each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each]
    return {
        (stat["Metric"]["MetricName"], text(stat["Metric"]["Dimensions"][0]["Value"]), stat["Stat"])
        for stat in stats
    }


def test_all_are_there(plain: Templates) -> None:
    assert set(alarms(plain)) == {
        "uploads-dead",
        "builds-dead",
        "uploads-age",
        "builds-age",
        "query-errors",
        "ingest-errors",
        "builder-errors",
        "pipeline-errors",
        "throttles",
        "api-5xx",
        "api-latency",
        "training-failures",
        "snapshot-age-demo",
    }


def test_each_has_its_section_in_the_runbook_and_each_section_its_alarm(plain: Templates) -> None:
    sections = set(re.findall(r"^## (\S+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE))
    named = {
        re.search(r"docs/runbook\.md#(\S+)$", each["AlarmDescription"])[1]  # type: ignore[index]
        for each in alarms(plain).values()
    }
    assert named == sections


def test_each_section_says_what_it_is_where_to_look_and_what_to_do() -> None:
    parts = re.split(r"^## \S+$", RUNBOOK.read_text("utf-8"), flags=re.MULTILINE)[1:]
    for part in parts:
        assert part.index("**What it says.**") < part.index("**Look.**") < part.index("**Do.**")


def test_dead_letters_are_noticed_at_once(plain: Templates) -> None:
    for name, queue in (("uploads-dead", "uploads-dead"), ("builds-dead", "builds-dead.fifo")):
        alarm = alarms(plain)[name]
        assert readings(alarm) == {
            ("ApproximateNumberOfMessagesVisible", f"lookalike-dev-{queue}", "Maximum")
        }
        assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (1, 1)


def test_functions_and_queues_that_are_watched_exist(plain: Templates) -> None:
    names = {
        each["Properties"][option]
        for template in plain.values()
        for kind, option in (("AWS::Lambda::Function", "FunctionName"), ("AWS::SQS::Queue", "QueueName"))
        for each in of_type(template, kind).values()
    }
    watched = {
        of
        for alarm in alarms(plain).values()
        for _, of, _ in readings(alarm)
        if of.startswith("lookalike-dev")
    }
    assert watched == names


def test_latency_is_the_95th_percentile_of_this_api(plain: Templates) -> None:
    ((metric, api, statistic),) = readings(alarms(plain)["api-latency"])
    assert (metric, statistic) == ("Latency", "p95")
    assert api.startswith("<import lookalike-dev-query:ExportsOutputRefApiHttp")
    assert alarms(plain)["api-latency"]["Threshold"] == 2_000
    assert alarms(templates(*EVERYTHING))["api-latency"]["Threshold"] == 1_500


def test_each_collection_has_its_snapshot_watched() -> None:
    chosen = alarms(templates(*EVERYTHING))
    ages = {name: each for name, each in chosen.items() if name.startswith("snapshot-age-")}
    assert {of for each in ages.values() for _, of, _ in readings(each)} == {"shoes", "hats"}
    for each in ages.values():
        assert (each["Namespace"], each["MetricName"]) == ("Lookalike", "SnapshotAgeSeconds")
        assert each["Dimensions"][0]["Name"] == "collection"


def test_nothing_measured_is_nothing_wrong(plain: Templates) -> None:
    assert {each["TreatMissingData"] for each in alarms(plain).values()} == {"notBreaching"}


def test_somebody_is_told_if_somebody_is_named(plain: Templates) -> None:
    assert of_type(plain["observability"], "AWS::SNS::Topic") == {}
    assert all("AlarmActions" not in each for each in alarms(plain).values())
    chosen = templates(*EVERYTHING)["observability"]
    (topic,) = of_type(chosen, "AWS::SNS::Topic")
    for each in of_type(chosen, ALARM).values():
        assert [text(action) for action in each["Properties"]["AlarmActions"]] == [f"<{topic}>"]
    subscription = only(chosen, "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@shop.test")


def test_the_topic_is_encrypted_and_cloudwatch_may_use_its_key() -> None:
    chosen = templates(*EVERYTHING)["observability"]
    (key,) = of_type(chosen, "AWS::KMS::Key")
    assert text(only(chosen, "AWS::SNS::Topic")["KmsMasterKeyId"]).startswith(f"<{key}")
    properties = only(chosen, "AWS::KMS::Key")
    assert properties["EnableKeyRotation"] is True
    services = [
        each["Principal"]["Service"]
        for each in properties["KeyPolicy"]["Statement"]
        if "Service" in each["Principal"]
    ]
    assert "cloudwatch.amazonaws.com" in services
    denied = [
        each
        for each in only(chosen, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
        if each["Effect"] == "Deny"
    ]
    assert denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_dashboard_shows_all_alarms(plain: Templates) -> None:
    body = text(only(plain["observability"], "AWS::CloudWatch::Dashboard")["DashboardBody"])
    for name in of_type(plain["observability"], ALARM):
        assert f"<{name}.Arn>" in body


def test_functions_tell_what_the_alarms_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    Telemetry().count({SNAPSHOT_AGE: 5.0}, collection="shoes")
    told = json.loads(capsys.readouterr().out)
    (about,) = told["_aws"]["CloudWatchMetrics"]
    assert (about["Namespace"], about["Dimensions"]) == (NAMESPACE, [["collection"]])
    assert [each["Name"] for each in about["Metrics"]] == [SNAPSHOT_AGE]
    assert told["collection"] == "shoes"
    for handler in ("handler", "builder"):
        source = (RUNBOOK.parents[1] / "lambdas" / "ingest" / f"{handler}.py").read_text("utf-8")
        assert f'"{SNAPSHOT_AGE}"' in source
