"""The whole deployment: `python -m infra.app` writes its templates to `cdk.out`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import Annotations, App, Tags

from infra.account import Finding, findings
from infra.config import Config
from infra.constructs.budget import STAGE_TAG
from infra.context import read_context
from infra.stack import LookalikeStack
from lookalike.errors import LookalikeError

FLAGS = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/aws-lambda:recognizeLayerVersion": True,
    "@aws-cdk/core:checkSecretUsage": True,
    "aws:cdk:enable-path-metadata": False,
}
"""Set here and not in `cdk.json`, so that a template does not depend on how it is made."""


BY_THE_COMMAND = "CDK_CLI_VERSION"
"""Set if the CDK's command runs this program, not a person."""


def make_app(config: Config, outdir: Path) -> App:
    """Create the stack of a deployment, without writing it."""
    app = App(outdir=str(outdir), context=FLAGS, analytics_reporting=False, tree_metadata=False)
    LookalikeStack(app, config)
    Tags.of(app).add(STAGE_TAG, config.stage)
    for key, value in config.tags.items():
        Tags.of(app).add(key, value)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesise; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.app", description=__doc__)
    parser.add_argument("-c", "--context", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-o", "--output", type=Path, default=Path(os.environ.get("CDK_OUTDIR", "cdk.out")))
    given = parser.parse_args(arguments)
    try:
        config = Config.from_context(read_context(os.environ, given.context))
    except LookalikeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    app = make_app(config, given.output)
    if BY_THE_COMMAND in os.environ:
        _report(app, [*_missing_docker(os.environ), *_account(config, os.environ)])
        app.synth()
        return 0
    assembly = app.synth()
    for stack in assembly.stacks:
        sys.stdout.write(f"{assembly.directory}/{stack.template_file}\n")
    return 0


def _missing_docker(environment: Mapping[str, str]) -> list[Finding]:
    """The CDK's command builds the images with the program that CDK_DOCKER names."""
    program = environment.get("CDK_DOCKER") or "docker"
    if shutil.which(program):
        return []
    text = (
        f"Deploying builds three container images, and `{program}` is not installed. Install Docker, or set "
        "CDK_DOCKER to podman or finch."
    )
    return [Finding("docker", text)]


def _account(config: Config, environment: Mapping[str, str]) -> list[Finding]:
    """Checks of the account, if the CDK's command found credentials for one."""
    if not environment.get("CDK_DEFAULT_ACCOUNT"):
        return []
    return findings(config)


def _report(app: App, found: Sequence[Finding]) -> None:
    """The CDK's command prints these, and stops at a fatal one."""
    for stack in app.node.children:
        notes = Annotations.of(stack)
        for each in found:
            if each.fatal:
                notes.add_error(each.text)
            else:
                notes.add_warning_v2(f"lookalike:{each.id}", each.text)


if __name__ == "__main__":
    sys.exit(main())
