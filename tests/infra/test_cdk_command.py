"""The CDK's own command, as a user types it: it stops only for want of credentials."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.aws_emulator.templates import ACCOUNT, REGION, REPOSITORY

pytestmark = pytest.mark.slow

LONG_AGO = 1e9  # seconds of Unix time: 2001
TRACKED = "git ls-files --cached --others --exclude-standard"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files with this environment's packages, so that nothing is written into the repository."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(TRACKED.split(), cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).exists() and not name.startswith(("tests/", "docs/", "bench/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
            # Older than the environment: else `make` would install this copy into it after a change.
            os.utime(folder / name, (LONG_AGO, LONG_AGO))
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    (folder / "cdk.context.json").write_text('{"cli-telemetry": false, "acknowledged-issue-numbers": [1]}')
    return folder


def cdk(checkout: Path, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the CDK's command of the Makefile, with no credentials."""
    version = re.search(r"^CDK_VERSION := (\S+)$", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert version
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("CDK_", "AWS_", "JSII_"))
    }
    environment = {
        **kept,
        "PATH": f"{REPOSITORY / '.venv' / 'bin'}:{os.environ['PATH']}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "NO_COLOR": "1",
        **changes,
    }
    return subprocess.run(
        ["npx", "--yes", f"aws-cdk@{version[1]}", *words],
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,  # no terminal: an unattended deployment
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_deploy_needs_credentials_and_nothing_else(checkout: Path) -> None:
    ran = cdk(checkout, "deploy")
    said = ran.stdout + ran.stderr
    assert ran.returncode == 1
    assert "Synthesis time" in said
    assert said.strip().splitlines()[-1].startswith("Unable to resolve AWS account to use."), said
    manifest = json.loads((checkout / "cdk.out" / "manifest.json").read_text("utf-8"))["artifacts"]
    assert [name for name, each in manifest.items() if each["type"] == "aws:cloudformation:stack"] == [
        "lookalike-dev"
    ]


def test_deploy_without_a_terminal_plans_its_assets(checkout: Path) -> None:
    """And asks for Docker in one sentence."""
    where = ("-c", f"account={ACCOUNT}", "-c", f"region={REGION}")
    unattended = ("--require-approval", "never", "--import-existing-resources")
    ran = cdk(checkout, "deploy", *where, *unattended, CDK_DOCKER="no-such-program")
    said = ran.stdout + ran.stderr
    assert ran.returncode == 1
    assert "`no-such-program` is not installed. Install Docker, or set CDK_DOCKER to podman or finch." in said
    assert f"Need to perform AWS calls for account {ACCOUNT}, but no credentials" in said, said


def test_a_misspelt_option_still_ends_it(checkout: Path) -> None:
    ran = cdk(checkout, "synth", "-c", "stge=prod")
    assert ran.returncode == 1
    assert "stge is not an option; did you mean stage" in ran.stdout + ran.stderr
