"""What may be chosen for a deployment, and what is said about a choice that cannot be."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from infra.app import main
from infra.config import FUNCTIONS, RETENTIONS, Config
from infra.context import CDK_JSON, read_context
from lookalike.errors import SettingsError

# What is wrong → words that the sentence about it must have.
BAD: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"stage": "Dev_1"}, ("stage", "'Dev_1'", "lower-case letters and digits")),
    ({"stage": "a-b"}, ("stage", "'a-b'")),
    ({"stage": "abcdefghijklm"}, ("stage", "1 to 12")),
    ({"stage": ""}, ("stage",)),
    ({"account": "12345"}, ("account", "twelve digits")),
    ({"region": "Frankfurt"}, ("region", "eu-west-1")),
    ({"architecture": "sparc"}, ("architecture", "'x86_64' or 'arm64'", "'sparc'")),
    ({"archtecture": "arm64"}, ("archtecture is not an option", "did you mean architecture")),
    ({"removal": "maybe"}, ("removal", "'retain' or 'destroy'")),
    ({"retention_days": 8}, ("retention_days", "7, 14", "8")),
    ({"noncurrent_days": 0}, ("noncurrent_days", "greater than or equal to 1")),
    ({"refresh_seconds": 0}, ("refresh_seconds", "greater than 0")),
    ({"functions": {"quary": {}}}, ("functions.quary is not an option", "did you mean query")),
    ({"functions": {"query": {"memory": 512}}}, ("functions.query.memory", "did you mean memory_mb")),
    ({"functions": {"query": {"memory_mb": 64}}}, ("functions.query.memory_mb", "256", "64")),
    ({"functions": {"query": {"timeout_seconds": 60}}}, ("functions.query.timeout_seconds", "60", "29")),
    ({"functions": {"builder": {"timeout_seconds": 901}}}, ("functions.builder.timeout_seconds", "900")),
    ({"functions": {"query": {"storage_mb": 20_000}}}, ("functions.query.storage_mb", "10240")),
    ({"functions": {"ingest": {"concurrency": 2}}}, ("functions.ingest.concurrency", "2", "3 at once")),
    ({"auth": "jwt"}, ("auth", "issuer and an audience")),
    ({"auth": {"mode": "jwt", "issuer": "https://x.test"}}, ("auth", "issuer and an audience")),
    ({"auth": {"mode": "jwt", "issuer": "http://x.test", "audience": ["a"]}}, ("https://",)),
    ({"auth": {"mode": "keys", "issuer": "https://x.test"}}, ("belong to auth jwt", "keys")),
    ({"auth": "everybody"}, ("auth.mode", "'keys', 'jwt' or 'iam'", "'everybody'")),
    ({"origins": "*"}, ("origins.0", "never *")),
    ({"origins": ["http://shop.example"]}, ("origins.0", "https://host")),
    ({"origins": ["https://shop.example/path"]}, ("origins.0", "https://host")),
    ({"collections": {"My Shop": {}}}, ("invalid collection name", "'My Shop'")),
    ({"collections": {"shop": {"metric": "dot"}}}, ("collections.shop.metric", "'cosine'", "'dot'")),
    ({"collections": {"shop": {"encoder": ""}}}, ("collections.shop.encoder",)),
    ({"collections": {"shop": {"enc": "x"}}}, ("collections.shop.enc is not an option", "encoder")),
    ({"ingest": {"window_seconds": 0}}, ("ingest", "more than 10 messages", "window_seconds")),
    ({"ingest": {"window_seconds": 301}}, ("ingest.window_seconds", "300")),
    ({"ingest": {"concurrency": 1}}, ("ingest.concurrency", "2")),
    ({"training": {"instance_type": "c5.large"}}, ("training.instance_type", "ml.c5.2xlarge")),
    ({"training": {"max_hours": 500}}, ("training.max_hours", "120")),
    ({"training": {"volume_gb": 1}}, ("training.volume_gb", "10")),
    ({"alarms": {"email": "nobody"}}, ("alarms.email", "an e-mail address")),
    ({"alarms": {"monthly_dollars": 5}}, ("alarms.monthly_dollars", "alarms.email")),
    ({"limits": {"url_seconds": 7_200}}, ("limits.url_seconds", "3600")),
    ({"throttling": {"rate": 0}}, ("throttling.rate", "1")),
    ({"limits": {"max_zip_bytes": 10**12}}, ("limits.max_zip_bytes",)),
    ({"tags": {"aws:mine": "x"}}, ("tags", "'aws:mine'")),
    ({"auth": "{mode"}, ("auth is not JSON", "{mode")),
]


@pytest.mark.parametrize(("context", "words"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_choice_is_a_sentence(context: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as raised:
        Config.from_context(context)
    for word in words:
        assert word in str(raised.value)


def test_two_bad_choices_are_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"stage.*removal"):
        Config.from_context({"stage": "X", "removal": "Y"})


def test_nothing_chosen_is_a_configuration() -> None:
    config = Config.from_context({})
    assert config.stage == "dev"
    assert config.auth.mode == "keys"
    assert config.removal == "retain"
    assert set(config.functions) == set(FUNCTIONS)
    assert config.functions["query"].timeout_seconds < 30


def test_what_is_checked_in_is_a_configuration() -> None:
    context = read_context({})
    assert context == json.loads(CDK_JSON.read_text("utf-8"))["context"]
    assert Config.from_context(context).collections["demo"].encoder == "default"


def test_nothing_of_it_can_be_changed() -> None:
    config = Config.from_context({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.stage = "prod"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.auth.mode = "iam"  # type: ignore[misc]


def test_one_number_leaves_the_others_as_they_are() -> None:
    changed = Config.from_context({"functions": {"query": {"memory_mb": 3_008}}}).functions["query"]
    default = Config.from_context({}).functions["query"]
    assert changed == dataclasses.replace(default, memory_mb=3_008)


def test_the_command_line_says_everything_as_text() -> None:
    options = {
        "stage": "prod",
        "auth": '{"mode": "jwt", "issuer": "https://login.test", "audience": ["shop"]}',
        "origins": "https://a.test, https://b.test:8443,http://localhost:5173",
        "retention_days": "90",
        "refresh_seconds": "0.5",
        "functions": '{"ingest": {"concurrency": "20"}}',
    }
    config = Config.from_context(options)
    assert config.auth.audience == ("shop",)
    assert config.origins == ("https://a.test", "https://b.test:8443", "http://localhost:5173")
    assert (config.retention_days, config.refresh_seconds) == (90, 0.5)
    assert config.functions["ingest"].concurrency == 20


def test_keys_of_the_cdk_are_passed_over() -> None:
    given = {"aws:cdk:bundling-stacks": ["**"], "@aws-cdk/core:newStyle": True, "stage": "prod"}
    assert Config.from_context(given).stage == "prod"


def test_what_is_nearer_wins(tmp_path: Path) -> None:
    file = tmp_path / "cdk.json"
    file.write_text('{"context": {"stage": "file", "removal": "destroy", "region": "eu-west-1"}}', "utf-8")
    environment = {
        "CDK_CONTEXT_JSON": '{"stage": "command"}',
        "CDK_DEFAULT_ACCOUNT": "123456789012",
        "CDK_DEFAULT_REGION": "us-west-2",
    }
    context = read_context(environment, ["stage=option"], file)
    assert context == {
        "stage": "option",
        "removal": "destroy",
        "region": "eu-west-1",
        "account": "123456789012",
    }
    assert read_context(environment, (), file)["stage"] == "command"
    with pytest.raises(SettingsError, match="name=value"):
        read_context({}, ["stage"], file)


def test_a_bad_choice_ends_synthesis_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", "stage=NO", "-o", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert told.startswith("stage: expected 1 to 12 lower-case letters and digits")
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()


def test_every_retention_is_one_of_cloudwatch() -> None:
    from aws_cdk import aws_logs

    assert len(RETENTIONS) == len(aws_logs.RetentionDays) - 1  # and one is "for ever"


def test_what_the_cdk_s_command_keeps_is_passed_over_and_a_typo_is_not(tmp_path: Path) -> None:
    kept = tmp_path / "cdk.context.json"
    kept.write_text(
        '{"cli-telemetry": false, "acknowledged-issue-numbers": [19836], "stage": "prod"}', "utf-8"
    )
    home = tmp_path / ".cdk.json"
    home.write_text('{"context": {"mine": 1}}', "utf-8")
    passed = {"cli-telemetry": False, "acknowledged-issue-numbers": [1], "stage": "prod", "mine": 1}
    context = read_context({"CDK_CONTEXT_JSON": json.dumps(passed)}, kept=(kept, home))
    assert Config.from_context(context).stage == "prod"
    typed = {"CDK_CONTEXT_JSON": json.dumps(passed | {"stge": "x"})}
    with pytest.raises(SettingsError, match="stge is not an option; did you mean stage"):
        Config.from_context(read_context(typed, kept=(kept, home)))
    with pytest.raises(SettingsError, match="cli-telemetry is not an option"):
        Config.from_context(read_context({"CDK_CONTEXT_JSON": json.dumps(passed)}, kept=()))
