"""Convert the CDK's context to values, and pydantic's errors to sentences."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from lookalike.errors import SettingsError

SHORT_FORMS = {"auth": "mode"}
"""Options with one field that a plain text (no JSON) sets: `-c auth=iam`."""
LISTS = ("origins",)


def merged(defaults: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """`context` over `defaults`, without the CDK's own keys (flags and look-ups have `:` or `/` in them).

    Text comes from `-c name=value`: it is parsed as JSON if it is an object or a list, else used unchanged.
    """
    own = {key: _parsed(key, value) for key, value in context.items() if not set(key) & {":", "/"}}
    return _over(defaults, own)


def _parsed(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError as error:
            raise SettingsError(f"{key} is not JSON", got=value, expected=str(error)) from error
    if key in LISTS:
        return [part.strip() for part in value.split(",") if part.strip()]
    return {SHORT_FORMS[key]: value} if key in SHORT_FORMS else value


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        beneath = result.get(key)
        if isinstance(beneath, Mapping) and isinstance(value, Mapping):
            result[key] = _over(beneath, value)
        else:
            result[key] = value
    return result


def as_sentences(error: ValidationError, root: type) -> SettingsError:
    """One error that names each option, its value, and what is expected."""
    # An unknown option also lacks values; report it once.
    problems = list(dict.fromkeys(_sentence(detail, root) for detail in error.errors()))
    unknown = [problem.split(" ")[0] for problem in problems if " is not an option" in problem]
    problems = [
        text
        for text in problems
        if " is not an option" in text or not text.startswith(tuple(f"{name}." for name in unknown))
    ]
    fix = "Change it in the context of cdk.json, or pass -c name=value."
    return SettingsError(". ".join(problems), fix=fix)


def _sentence(detail: Mapping[str, Any], root: type) -> str:
    path = [str(part) for part in detail["loc"] if part != "[key]"]
    name = ".".join(path) or "the configuration"
    names = _known(root, path[:-1])
    if path and names and path[-1] not in names:
        near = difflib.get_close_matches(path[-1], names, n=1) or names
        return f"{name} is not an option; did you mean {' or '.join(near)}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not path:
        return message
    if detail["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}"
    return f"{name}: {message}; got {detail['input']!r}"


def _known(root: type, path: list[str]) -> list[str]:
    """Names of the options below `path`; empty if any name is allowed."""
    kind: Any = root
    for part in path:
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            kind = get_type_hints(kind).get(part) if dataclasses.is_dataclass(kind) else None
    if get_origin(kind) is dict:
        return list(get_args(get_args(kind)[0]))
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
