"""Settings for functions on AWS only, read from the environment in addition to
`lookalike.settings.Settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lookalike.errors import SettingsError

Auth = Literal["keys", "jwt", "iam"]
AUTHS: tuple[Auth, ...] = get_args(Auth)
DEFAULT_CACHE = "/tmp/lookalike"  # noqa: S108  # a function has this folder to itself


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """Options of a function.

    Attributes:
        build_queue_url: `LOOKALIKE_BUILD_QUEUE_URL`, the FIFO queue that the builder reads; "": builds are
            not requested.
        training_machine_arn: `LOOKALIKE_TRAINING_MACHINE_ARN`, the state machine that runs trainings; "":
            none run.
        auth: `LOOKALIKE_AUTH`, who authenticates callers: the app by its API keys, or API Gateway by JWT or
            by IAM.
        cache: `LOOKALIKE_CACHE_FOLDER`, the folder for files of the store while they are in use.
    """

    build_queue_url: str = ""
    training_machine_arn: str = ""
    auth: Auth = "keys"
    cache: Path = Path(DEFAULT_CACHE)

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> AwsSettings:
        """Read the variables. Raises SettingsError."""
        given = environment.get("LOOKALIKE_AUTH") or "keys"
        auth = next((known for known in AUTHS if known == given), None)
        if auth is None:
            raise SettingsError("LOOKALIKE_AUTH cannot be used", got=repr(given), expected=" | ".join(AUTHS))
        return cls(
            build_queue_url=environment.get("LOOKALIKE_BUILD_QUEUE_URL", ""),
            training_machine_arn=environment.get("LOOKALIKE_TRAINING_MACHINE_ARN", ""),
            auth=auth,
            cache=Path(environment.get("LOOKALIKE_CACHE_FOLDER") or DEFAULT_CACHE),
        )
