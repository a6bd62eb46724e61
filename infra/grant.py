"""A grant to a role: one statement, with a reason for each wildcard in its resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Grant:
    """Actions on resources.

    Attributes:
        actions: none with a `*`.
        resources: ARNs.
        why: the reason for a `*` in a resource; it is written into the template, and tests require it.
        conditions: further conditions in IAM's form.

    Raises:
        ValueError: an action has a `*`, or a resource has one without a reason.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    why: str = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any("*" in action for action in self.actions):
            raise ValueError(f"actions are named one by one; got {', '.join(self.actions)}")
        if self.wildcards and not self.why:
            raise ValueError(f"a wildcard needs a reason; got {', '.join(self.wildcards)}")

    @property
    def wildcards(self) -> tuple[str, ...]:
        """Resources with a wildcard."""
        return tuple(resource for resource in self.resources if "*" in resource)

    def statement(self) -> dict[str, Any]:
        """The statement in IAM's form."""
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return statement | {"Condition": dict(self.conditions)} if self.conditions else statement
