"""cdk-nag's AwsSolutions finds nothing without a reason, and each reason is about something that it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

import infra.constructs.acknowledge as acknowledging
from infra.config import Config
from infra.context import read_context
from infra.nag import findings
from tests.aws_emulator.templates import ACCOUNT, EVERYTHING, PRODUCTION, REGION


def config(*options: str) -> Config:
    return Config.from_context(read_context({}, [f"account={ACCOUNT}", f"region={REGION}", *options]))


@pytest.mark.parametrize("options", [(), EVERYTHING, PRODUCTION], ids=["plain", "everything", "production"])
def test_nothing_is_found(options: tuple[str, ...], tmp_path: Path) -> None:
    assert findings(config(*options), tmp_path) == []


def test_each_reason_is_about_something_that_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, str, str]] = []

    class Ledger:
        """Notes acknowledgments instead of making them."""

        @classmethod
        def of(cls, construct: object) -> Ledger:
            made = cls()
            made.path = str(construct.node.path)  # type: ignore[attr-defined]
            return made

        def acknowledge(self, *rules: object) -> None:
            given.extend((rule.id, self.path, rule.reason) for rule in rules)  # type: ignore[attr-defined]

    monkeypatch.setattr(acknowledging, "Validations", Ledger)
    found = findings(config(*EVERYTHING), tmp_path)
    assert len(found) >= 30
    for rule, path, reason in given:
        assert any(each.startswith(f"{rule} {path}/") for each in found), f"{rule} is no finding on {path}"
        assert len(reason) >= 30, reason
        assert reason.endswith("."), reason
    assert len(given) == len(found)
