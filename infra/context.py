"""The CDK's context: `cdk.json`, overridden by what the CDK's command passes, overridden by `-c
name=value`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lookalike.errors import SettingsError

CDK_JSON = Path(__file__).resolve().parents[1] / "cdk.json"


def read_context(
    environment: Mapping[str, str], options: Sequence[str] = (), file: Path = CDK_JSON
) -> dict[str, Any]:
    """The whole context.

    Args:
        environment: variables with the CDK command's context, and the profile's account and region.
        options: `name=value` each.
        file: the project's settings.

    Raises:
        SettingsError: an option has no `=`.
    """
    context: dict[str, Any] = json.loads(file.read_text("utf-8"))["context"]
    context |= json.loads(environment.get("CDK_CONTEXT_JSON") or "{}")
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise SettingsError("-c takes name=value", got=option)
        context[name] = value
    for name in ("account", "region"):
        if default := environment.get(f"CDK_DEFAULT_{name.upper()}"):
            context.setdefault(name, default)
    return context
