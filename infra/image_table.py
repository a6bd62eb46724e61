"""All container images: their Dockerfiles, the functions that use them, and their limits.

The CDK's app imports this, so it needs the standard library alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Image:
    """One image.

    Attributes:
        dockerfile: below the repository.
        arguments: of its build.
        handlers: the functions that use it.
        limit_megabytes: that it may add to its base; None: it is only printed.
    """

    dockerfile: str
    handlers: tuple[str, ...]
    limit_megabytes: int | None
    arguments: Mapping[str, str] = field(default_factory=dict)


FUNCTIONS_DOCKERFILE = "lambdas/Dockerfile"
PIPELINE = ("register", "encode", "publish", "conclude")
IMAGES: Mapping[str, Image] = {
    "query": Image(FUNCTIONS_DOCKERFILE, ("lambdas.query.handler.handler",), 480, {"FUNCTIONS": "query"}),
    "ingest": Image(
        FUNCTIONS_DOCKERFILE,
        (
            "lambdas.ingest.handler.handler",
            "lambdas.ingest.builder.handler",
            "lambdas.ingest.reconcile.handler",
            *(f"lambdas.ingest.training_steps.{step}" for step in PIPELINE),
        ),
        480,
        {"FUNCTIONS": "ingest"},
    ),
    "training": Image("sagemaker/Dockerfile", (), None),
    "server": Image("Dockerfile", (), 460),
}
