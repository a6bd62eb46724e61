"""Run cdk-nag's AwsSolutions over a deployment: findings without a recorded reason."""

from __future__ import annotations

import json
from pathlib import Path

from aws_cdk import Validations
from cdk_nag import AwsSolutionsChecks

from infra.app import make_app
from infra.config import Config

REPORT = "validation-report.json"


def findings(config: Config, outdir: Path) -> list[str]:
    """Rule and resource of each finding; this also writes the templates to `outdir`."""
    app = make_app(config, outdir)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        app.synth()
    except RuntimeError:  # of jsii: "Validation failed"; the report says of what
        if not (outdir / REPORT).exists():
            raise
    report = json.loads((outdir / REPORT).read_text("utf-8"))
    return [
        f"{violation['ruleName']} {construct['constructPath']}"
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    ]
