"""The CDK's context: `cdk.json`, overridden by what the CDK's command passes, overridden by `-c
name=value`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from infra.config import Config
from lookalike.errors import SettingsError

ROOT = Path(__file__).resolve().parents[1]
CDK_JSON = ROOT / "cdk.json"
KEPT_BY_THE_COMMAND = (ROOT / "cdk.context.json", Path.home() / ".cdk.json")
"""Where the CDK's command keeps its own values: look-ups, `cli-telemetry`, `acknowledged-issue-numbers`."""


def read_context(
    environment: Mapping[str, str],
    options: Sequence[str] = (),
    file: Path = CDK_JSON,
    kept: Sequence[Path] = KEPT_BY_THE_COMMAND,
) -> dict[str, Any]:
    """The whole context.

    Args:
        environment: variables with the CDK command's context, and the profile's account and region.
        options: `name=value` each.
        file: the project's settings.
        kept: files in which the CDK's command keeps its own values. It passes them along with those of the
            project, so an unknown name is an error only if it is not in these files.

    Raises:
        SettingsError: an option has no `=`.
    """
    context: dict[str, Any] = json.loads(file.read_text("utf-8"))["context"]
    passed: dict[str, Any] = json.loads(environment.get("CDK_CONTEXT_JSON") or "{}")
    foreign = _names(kept) - {option.name for option in fields(Config)} - set(context)
    context |= {name: value for name, value in passed.items() if name not in foreign}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise SettingsError("-c takes name=value", got=option)
        context[name] = value
    for name in ("account", "region"):
        if default := environment.get(f"CDK_DEFAULT_{name.upper()}"):
            context.setdefault(name, default)
    return context


def _names(files: Iterable[Path]) -> set[str]:
    """Names in the context of these files. `cdk.context.json` is a context; `.cdk.json` contains one."""
    found: set[str] = set()
    for file in files:
        try:
            read = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):  # the CDK's command itself reports a damaged file
            continue
        context = read.get("context", {}) if file.name == ".cdk.json" else read
        found |= set(context)
    return found
