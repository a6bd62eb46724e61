"""What the pages about AWS say is checked against code, templates, the SDK's models and the command line."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from infra.config import Config
from infra.context import read_context
from infra.cost import report
from lookalike.api.http.access import GatewayAccess
from lookalike.api.http.app import create_app
from lookalike.library import Library
from lookalike.settings import Settings
from tests.aws_emulator.templates import REPOSITORY, of_type, template, text

PAGES = ("deploy", "runbook", "threat-model", "cost")
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
# Commands of the AWS CLI that are more than one call; their options are not in the SDK's models.
COMPOSED = {("s3", "cp"), ("logs", "tail"), ("configure", "export-credentials"), ("configure", "get")}


def page(name: str) -> str:
    return (REPOSITORY / "docs" / f"{name}.md").read_text("utf-8")


def said(name: str) -> list[str]:
    """Lines of the page's plain blocks, and what stands between backticks."""
    plain = [match["body"] for match in FENCE.finditer(page(name)) if not match["kind"].strip()]
    lines = [line for body in plain for line in body.splitlines()]
    return lines + [span.strip() for span in SPAN.findall(FENCE.sub("", page(name)))]


def commands(name: str, program: str) -> list[list[str]]:
    """Every call of `program` on a page, also inside another's `$(…)`, as words."""
    return [
        shlex.split(_until_its_end(match[1]), comments=True)
        for line in said(name)
        for match in re.finditer(rf"(?:^|\$\()({program} .*)", line)
    ]


def _until_its_end(call: str) -> str:
    """`call` up to the parenthesis that closes what it stands in."""
    depth = 0
    for number, character in enumerate(call):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return call[:number]
    return call


@pytest.mark.parametrize("name", PAGES)
def test_targets_of_make_exist(name: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for line in said(name):
        for target in re.findall(r"\bmake (?:--silent )?([a-z-]+)", line):
            assert target in targets, line


def test_options_of_the_examples_are_options() -> None:
    examples = []
    for line in said("deploy"):
        for words in re.findall(r'OPTIONS="([^"]+)"', line):
            examples += re.findall(r"-c (\S+)", words)
        if line.startswith("-c "):
            examples.append(shlex.split(line)[1])
    assert len(examples) >= 5
    for example in examples:
        Config.from_context(read_context({}, [example]))


def test_each_option_is_explained_and_each_explained_one_is_an_option() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", page("deploy"), re.MULTILINE)
    explained = {name.split(".")[0] for row in rows for name in SPAN.findall(row)} - set()
    known = set(Config.__dataclass_fields__)
    assert known <= explained
    stacks = {name for name in explained if name.startswith("lookalike-dev-")}
    assert explained - stacks <= known


@pytest.mark.parametrize("name", PAGES)
def test_dotted_options_exist(name: str) -> None:
    config: Any = Config.from_context({})
    for span in SPAN.findall(FENCE.sub("", page(name))):
        found = re.fullmatch(r"(alarms|ingest|limits|training|throttling|functions)\.([a-z_<>.]+)", span)
        if not found:
            continue
        part = getattr(config, found[1])
        for word in found[2].split("."):
            part = part["query" if word == "<name>" else word] if isinstance(part, dict) else part
            if not isinstance(getattr(config, found[1]), dict) or word in part.__dataclass_fields__:
                assert word in part.__dataclass_fields__, span


def test_commands_are_found_where_they_are() -> None:
    assert ["aws", "sqs", "receive-message", "--queue-url", "$DEAD"] in commands("runbook", "aws")
    assert len(commands("runbook", "aws")) >= 10
    assert ["lookalike", "keys", "create", "laptop"] in commands("deploy", "lookalike")


@pytest.mark.parametrize("name", PAGES)
def test_calls_of_aws_are_calls(name: str) -> None:
    session = botocore.session.get_session()
    for words in commands(name, "aws"):
        service, operation, options = (
            words[1],
            words[2],
            [word for word in words[3:] if word.startswith("--")],
        )
        if (service, operation) in COMPOSED:
            continue
        model = session.get_service_model(service)
        found = [each for each in model.operation_names if xform_name(each, "-") == operation]
        assert found, f"aws {service} {operation}"
        members = {xform_name(each, "-") for each in model.operation_model(found[0]).input_shape.members}
        assert {option[2:] for option in options} <= members | {"query", "output"}, words


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_lookalike_are_commands(name: str) -> None:
    for words in commands(name, "lookalike"):
        split = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
        path = [word for word in words[1:split] if word.islower() and word not in {"laptop", "shop"}]
        ran = subprocess.run(
            [sys.executable, "-m", "lookalike.cli", *path, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, words
        for option in words[split:]:
            if option.startswith("--"):
                assert option in ran.stdout, words


@pytest.mark.parametrize("name", PAGES)
def test_names_in_the_account_are_those_of_the_templates(name: str) -> None:
    made = template()
    names = {"lookalike-dev"}
    for each in made["Resources"].values():
        for option, value in each.get("Properties", {}).items():
            if option.endswith("Name") and isinstance(value, str | dict):
                names.add(text(value))
    for found in re.findall(r"(?:/aws/[a-z]+/)?lookalike-dev[a-z.…-]*", page(name)):
        pattern = found.rstrip(".").replace("…", "*")
        assert fnmatch.filter(names, pattern), found


def test_curl_asks_for_what_the_api_offers(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path))
    paths = create_app(Library(settings, tmp_path / "cache"), access=GatewayAccess("iam")).openapi()["paths"]
    asked = []
    for name in ("deploy", "runbook"):
        for line in said(name):
            asked += [(method or "GET", path) for method, path in _requests(line)]
    assert len(asked) >= 6
    for method, path in asked:
        matching = [each for each in paths if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", each), path)]
        assert matching, path
        assert any(method.lower() in paths[each] for each in matching), (method, path)


def _requests(line: str) -> list[tuple[str, str]]:
    found = re.findall(r"^(GET|PUT|POST|DELETE) (/\S+)$", line)
    if line.startswith("curl "):
        method = re.search(r"-X (\w+)", line)
        verb = method[1] if method else "POST" if " -F " in line else "GET"
        found += [(verb, path) for path in re.findall(r'"\$API(/[^"]+)"', line)]
    return found


def test_the_deployer_s_policy_reaches_what_is_deployed() -> None:
    (body,) = [
        match["body"] for match in FENCE.finditer(page("deploy")) if match["kind"].strip() == "json deployer"
    ]
    document = json.loads(body)
    resources = [each for entry in document["Statement"] for each in _list(entry["Resource"])]
    buckets = {
        text(each["Properties"]["BucketName"]) for each in of_type(template(), "AWS::S3::Bucket").values()
    }
    for role in ("images", "artifacts"):
        (bucket,) = [each for each in buckets if f"-{role}-" in each]
        assert fnmatch.filter([f"arn:aws:s3:::{bucket}"], f"arn:aws:s3:::lookalike-*-{role}-*")
        assert f"arn:aws:s3:::lookalike-*-{role}-*" in resources
    for entry in document["Statement"]:
        assert not [action for action in _list(entry["Action"]) if "*" in action]


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_costs_are_those_that_the_script_prints() -> None:
    assert report(Config.from_context(read_context({}))) in page("cost")


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_costs_are_their_quantity_times_their_price(architecture: str) -> None:
    printed = report(Config.from_context(read_context({}, [f"architecture={architecture}"])))
    for section in printed.split("### ")[1:]:
        total = float(re.search(r"\$([\d.]+)\n", section)[1])  # type: ignore[index]
        rows = re.findall(r"^\| [^|]+ \| ([\d,.]+) [^|]+ \| ([\d.]+) \| ([\d.]+) \|$", section, re.MULTILINE)
        assert rows
        for quantity, price, product in rows:
            expected = float(quantity.replace(",", "")) * float(price)
            assert float(product) == pytest.approx(expected, abs=6e-5)
        assert sum(float(product) for *_, product in rows) == pytest.approx(total, abs=0.006)


def test_what_stops_a_threat_is_there() -> None:
    rows = [line for line in page("threat-model").splitlines() if line.startswith("| ") and "---" not in line]
    threats = [row for row in rows if not row.startswith("| threat")]
    assert len(threats) >= 20
    for row in threats:
        shown = SPAN.findall(row.split(" | ")[-1])
        assert shown, row
        for reference in shown:
            file, _, test = reference.partition("::")
            found = [REPOSITORY / file, REPOSITORY / "shared" / file]
            existing = [each for each in found if each.exists()]
            assert existing, reference
            assert not test or f"def {test}(" in existing[0].read_text("utf-8"), reference
        for file in re.findall(r"`((?:lookalike|infra)/[a-z_/]+\.py)`", row):
            assert (REPOSITORY / file).exists() or (REPOSITORY / "shared" / file).exists(), file


def test_the_command_of_the_cdk_is_pinned() -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    assert re.search(r"^CDK_VERSION := \d+\.\d+\.\d+$", makefile, re.MULTILINE)
    assert "aws-cdk@$(CDK_VERSION)" in makefile
    lock = (REPOSITORY / "requirements.lock").read_text("utf-8").splitlines()
    assert [line for line in lock if line and "==" not in line] == []
