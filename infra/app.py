"""The whole deployment: `python -m infra.app` writes its templates to `cdk.out`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aws_cdk import App, Tags, cx_api

from infra.config import Config
from infra.context import read_context
from infra.stacks.data import DataStack
from infra.stacks.ingest import IngestStack
from infra.stacks.observability import ObservabilityStack
from infra.stacks.query import QueryStack
from infra.stacks.training import TrainingStack
from lookalike.errors import LookalikeError

FLAGS = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/aws-lambda:recognizeLayerVersion": True,
    "@aws-cdk/core:checkSecretUsage": True,
    "aws:cdk:enable-path-metadata": False,
}
"""Set here and not in `cdk.json`, so that a template does not depend on how it is made."""


def make_app(config: Config, outdir: Path) -> App:
    """Create every stack of a deployment, without writing it."""
    app = App(outdir=str(outdir), context=FLAGS, analytics_reporting=False, tree_metadata=False)
    data = DataStack(app, config)
    query = QueryStack(app, config)
    for stack in (IngestStack(app, config), query, TrainingStack(app, config)):
        stack.add_stack_dependency(data, "Its functions work with these buckets and queues.")
    ObservabilityStack(app, config, api_id=query.api.api.api_id)
    Tags.of(app).add("lookalike:stage", config.stage)
    for key, value in config.tags.items():
        Tags.of(app).add(key, value)
    return app


def build(config: Config, outdir: Path) -> cx_api.CloudAssembly:
    """Write the templates and assets of a deployment to `outdir`."""
    return make_app(config, outdir).synth()


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
    assembly = build(config, given.output)
    for stack in assembly.stacks:
        sys.stdout.write(f"{assembly.directory}/{stack.template_file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
