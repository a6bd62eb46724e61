"""Alarms: what they look at, whom they tell, and that the runbook knows each of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infra.names import NAMESPACE, SNAPSHOT_AGE
from lookalike.aws.telemetry import Telemetry
from tests.aws_emulator.templates import EVERYTHING, MORE, Template, of_type, only, template, text

ALARM = "AWS::CloudWatch::Alarm"
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


@pytest.fixture(scope="module")
def plain() -> Template:
    return template()


@pytest.fixture(scope="module")
def more() -> Template:
    return template(*MORE)


def alarms(of: Template) -> dict[str, Template]:
    found = of_type(of, ALARM).values()
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


def test_two_say_that_something_is_lost_and_no_metric_is_written_that_nobody_reads(plain: Template) -> None:
    assert set(alarms(plain)) == {"uploads-dead", "api-5xx"}
    assert of_type(plain, "AWS::CloudWatch::Dashboard") == {}
    for made, disabled in ((plain, "true"), (template(*MORE), "false")):
        for each in of_type(made, "AWS::Lambda::Function").values():
            variables = each["Properties"]["Environment"]["Variables"]
            assert variables["POWERTOOLS_METRICS_DISABLED"] == disabled


def test_a_budget_is_watched_if_a_sum_is_named(plain: Template) -> None:
    assert of_type(plain, "AWS::Budgets::Budget") == {}
    made = only(template(*EVERYTHING), "AWS::Budgets::Budget")
    assert made["Budget"]["BudgetLimit"] == {"Amount": 20, "Unit": "USD"}
    assert made["Budget"]["CostFilters"] == {"TagKeyValue": ["user:lookalike:stage$dev"]}
    kinds = {each["Notification"]["NotificationType"] for each in made["NotificationsWithSubscribers"]}
    assert kinds == {"ACTUAL", "FORECASTED"}


def test_all_are_there(more: Template) -> None:
    assert set(alarms(more)) == {
        "uploads-dead",
        "builds-dead",
        "uploads-age",
        "builds-age",
        "query-errors",
        "ingest-errors",
        "builder-errors",
        "reconcile-errors",
        "pipeline-errors",
        "throttles",
        "api-5xx",
        "api-latency",
        "training-failures",
        "snapshot-age-demo",
    }


def test_each_has_its_section_in_the_runbook_and_each_section_its_alarm(more: Template) -> None:
    sections = set(re.findall(r"^## (\S+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE))
    named = {
        re.search(r"docs/runbook\.md#(\S+)$", each["AlarmDescription"])[1]  # type: ignore[index]
        for each in alarms(more).values()
    }
    assert named == sections


def test_each_section_says_what_it_is_where_to_look_and_what_to_do() -> None:
    parts = re.split(r"^## \S+$", RUNBOOK.read_text("utf-8"), flags=re.MULTILINE)[1:]
    for part in parts:
        assert part.index("**What it says.**") < part.index("**Look.**") < part.index("**Do.**")


def test_dead_letters_are_noticed_at_once(more: Template) -> None:
    for name, queue in (("uploads-dead", "uploads-dead"), ("builds-dead", "builds-dead.fifo")):
        alarm = alarms(more)[name]
        assert readings(alarm) == {
            ("ApproximateNumberOfMessagesVisible", f"lookalike-dev-{queue}", "Maximum")
        }
        assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (1, 1)


def test_functions_and_queues_that_are_watched_exist(more: Template) -> None:
    names = {
        each["Properties"][option]
        for kind, option in (("AWS::Lambda::Function", "FunctionName"), ("AWS::SQS::Queue", "QueueName"))
        for each in of_type(more, kind).values()
    }
    watched = {
        of
        for alarm in alarms(more).values()
        for _, of, _ in readings(alarm)
        if of.startswith("lookalike-dev")
    }
    assert watched == names


def test_latency_is_the_95th_percentile_of_this_api(more: Template) -> None:
    ((metric, api, statistic),) = readings(alarms(more)["api-latency"])
    assert (metric, statistic) == ("Latency", "p95")
    assert api == f"<{next(iter(of_type(more, 'AWS::ApiGatewayV2::Api')))}>"
    assert alarms(more)["api-latency"]["Threshold"] == 2_000
    # A lone cold start is no percentile.
    assert alarms(more)["api-latency"]["EvaluateLowSampleCountPercentile"] == "ignore"
    assert alarms(template(*EVERYTHING))["api-latency"]["Threshold"] == 1_500


def test_each_collection_has_its_snapshot_watched() -> None:
    chosen = alarms(template(*EVERYTHING))
    ages = {name: each for name, each in chosen.items() if name.startswith("snapshot-age-")}
    assert {of for each in ages.values() for _, of, _ in readings(each)} == {"shoes", "hats"}
    for each in ages.values():
        assert (each["Namespace"], each["MetricName"]) == ("Lookalike", "SnapshotAgeSeconds")
        assert each["Dimensions"][0]["Name"] == "collection"


def test_nothing_measured_is_nothing_wrong(more: Template) -> None:
    assert {each["TreatMissingData"] for each in alarms(more).values()} == {"notBreaching"}


def test_somebody_is_told_if_somebody_is_named(plain: Template) -> None:
    assert of_type(plain, "AWS::SNS::Topic") == {}
    assert all("AlarmActions" not in each for each in alarms(plain).values())
    chosen = template(*EVERYTHING)
    (topic,) = of_type(chosen, "AWS::SNS::Topic")
    for each in of_type(chosen, ALARM).values():
        assert [text(action) for action in each["Properties"]["AlarmActions"]] == [f"<{topic}>"]
    subscription = only(chosen, "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@shop.test")


def test_the_topic_is_encrypted_and_cloudwatch_may_use_its_key() -> None:
    chosen = template(*EVERYTHING)
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


def test_the_dashboard_shows_all_alarms(more: Template) -> None:
    body = text(only(more, "AWS::CloudWatch::Dashboard")["DashboardBody"])
    for name in of_type(more, ALARM):
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
