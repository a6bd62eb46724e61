"""Synthesis: with nothing but Python, without surprises, and apart from other deployments."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from infra.constructs.image import CONTEXTS, ROOT, ImageName
from infra.image_table import IMAGES
from tests.aws_emulator.templates import (
    EVERYTHING,
    MORE,
    PRODUCTION,
    STACK,
    Template,
    cloud_assembly,
    of_type,
    template,
    text,
)

NAMES = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::SNS::Topic": "TopicName",
}


def test_one_stack_is_made_with_no_docker_account_or_node() -> None:
    # `cloud_assembly` runs the module `infra.app` with an empty PATH and no AWS variable.
    manifest = json.loads((cloud_assembly() / "manifest.json").read_text("utf-8"))["artifacts"]
    kinds = [name for name, each in manifest.items() if each["type"] == "aws:cloudformation:stack"]
    assert kinds == [STACK]


def problems(made: Template) -> list[Any]:
    """What cfn-lint finds in a template."""
    from cfnlint import api, config  # here, because every worker imports this file and one runs it

    return list(api.lint(json.dumps(made), config=config.ManualArgs(regions=["us-east-1"])))


@pytest.mark.parametrize("options", [(), EVERYTHING, PRODUCTION], ids=["plain", "everything", "production"])
def test_cfn_lint_finds_no_error(options: tuple[str, ...]) -> None:
    # W3005: the CDK says twice that a function waits for its role.
    assert [str(match) for match in problems(template(*options)) if match.rule.id != "W3005"] == []


def test_cfn_lint_would_find_an_error() -> None:
    broken = json.loads(json.dumps(template()))
    queue = next(iter(of_type(broken, "AWS::SQS::Queue").values()))
    queue["Properties"]["VisibilityTimeout"] = 50_000
    assert "43200" in str(problems(broken))


def test_two_stages_have_no_name_in_common() -> None:
    plain, production = _names(template(*MORE)), _names(template(*PRODUCTION))
    assert len(plain) >= 30
    assert plain & production == set()
    assert {name.replace("lookalike-prod", "lookalike-dev") for name in production} == plain


def _names(of: Template) -> set[str]:
    return {
        text(each["Properties"][option])
        for kind, option in NAMES.items()
        for each in of_type(of, kind).values()
    }


def test_names_fit() -> None:
    """The longest stage in a region with a long name."""
    longest = "lookalike-" + 12 * "x" + "-access-logs-123456789012-ap-southeast-2"
    assert len(longest) <= 63
    for name in _names(template(*PRODUCTION)):
        assert len(name) + len("abcdefghijkl") - len("prod") <= 63 or not name.startswith("lookalike-")


def assets(folder: Path) -> dict[ImageName, dict[str, Any]]:
    """How each image is built."""
    sources = [
        image["source"] | {"folder": folder / image["source"]["directory"]}
        for file in folder.glob("*.assets.json")
        for image in json.loads(file.read_text("utf-8"))["dockerImages"].values()
    ]
    return {
        name: source
        for name in CONTEXTS
        for source in sources
        if source["dockerFile"] == IMAGES[name].dockerfile
        and source.get("dockerBuildArgs", {}) == IMAGES[name].arguments
    }


@pytest.mark.parametrize(("options", "platform"), [((), "linux/amd64"), (EVERYTHING, "linux/arm64")])
def test_images_are_built_for_the_architecture(options: tuple[str, ...], platform: str) -> None:
    built = assets(cloud_assembly(*options))
    assert set(built) == set(CONTEXTS)
    assert built["query"]["platform"] == platform
    assert built["ingest"]["platform"] == platform
    assert built["training"]["platform"] == "linux/amd64"


def test_a_build_sees_what_it_needs_and_no_more() -> None:
    built = assets(cloud_assembly())
    for image, source in built.items():
        folder: Path = source["folder"]
        dockerfile = IMAGES[image].dockerfile
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert dockerfile in files
        for wanted in CONTEXTS[image]:
            assert any(file == wanted or file.startswith(f"{wanted}/") for file in files), (image, wanted)
        # The CDK sends every file at the root that is called like the image's own Dockerfile.
        allowed = (*CONTEXTS[image], ".dockerignore", "Dockerfile")
        strangers = [file for file in files if not file.startswith(allowed)]
        assert strangers == []
        assert not [file for file in files if "__pycache__" in file or file.endswith(".pyc")]
        assert sum((folder / file).stat().st_size for file in files) < 5_000_000
        for written in _copied(ROOT / dockerfile):
            copied = written.replace("${FUNCTIONS}", image).rstrip("/")
            assert list(folder.glob(copied)), f"{dockerfile} copies {copied}, which is left out"


def _copied(dockerfile: Path) -> list[str]:
    """What a Dockerfile copies from its context."""
    lines = dockerfile.read_text("utf-8").replace("\\\n", " ").splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    return [source for copy in copies for source in copy if not source.startswith("--")]


def test_cdk_deploy_needs_only_what_it_installs() -> None:
    """`cdk deploy` in a fresh clone installs the group `infra`, without the library's own requirements."""
    code = "import sys, infra.app, infra.teardown, infra.cost; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in ran.stdout.split()}
    lock = (ROOT / "requirements" / "infra.lock").read_text("utf-8")
    locked = {line.split("==")[0] for line in lock.splitlines() if "==" in line}
    known = {*(name.replace("-", "_") for name in locked), "lookalike", "setuptools"}
    homes = packages_distributions()
    foreign = {
        name: homes[name]
        for name in imported & set(homes)
        if not {each.lower().replace("-", "_") for each in homes[name]} & known
    }
    # Other packages import these two only where they are installed.
    assert set(foreign) <= {"certifi", "backports"}


def test_the_cdk_is_spoken_of_in_infra_only() -> None:
    for folder in ("lambdas", "shared", "sagemaker"):
        for file in (ROOT / folder).rglob("*.py"):
            imported = {
                name.name if isinstance(node, ast.Import) else str(node.module)
                for node in ast.walk(ast.parse(file.read_text("utf-8")))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in node.names
            }
            assert not [name for name in imported if name.startswith(("aws_cdk", "infra"))], file
