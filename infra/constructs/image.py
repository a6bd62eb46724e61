"""Container images, built from this repository when it is deployed; synthesis needs no Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from aws_cdk import IgnoreMode
from aws_cdk import aws_ecr_assets as ecr_assets

from infra.config import Architecture
from infra.image_table import IMAGES

ROOT = Path(__file__).resolve().parents[2]
ImageName = Literal["query", "ingest", "training"]
_LIBRARY = ("pyproject.toml", "README.md", "LICENSE", "shared/lookalike")
_FUNCTIONS = (
    *_LIBRARY,
    "requirements/functions.lock",
    "requirements/trim.sh",
    "lambdas/Dockerfile",
    "lambdas/build.sh",
    "lambdas/__init__.py",
)
CONTEXTS: dict[ImageName, tuple[str, ...]] = {
    "query": (*_FUNCTIONS, "lambdas/query"),
    "ingest": (*_FUNCTIONS, "lambdas/ingest"),
    "training": (*_LIBRARY, "requirements.lock", "requirements/training.lock", "sagemaker"),
}
"""The files of the repository that a build sees; their hash identifies a changed image. A change of ingest
alone does not change the query function."""


def excludes(image: ImageName) -> list[str]:
    """Everything but the context of `image`, in the form of `.dockerignore`."""
    return ["*", *(f"!{path}" for path in CONTEXTS[image]), "**/__pycache__", "**/*.pyc"]


def asset_options(image: ImageName, architecture: Architecture) -> dict[str, Any]:
    """How the CDK builds `image`, for each of the CDK's classes that build images."""
    return {
        "file": IMAGES[image].dockerfile,
        "build_args": dict(IMAGES[image].arguments),
        "exclude": excludes(image),
        "ignore_mode": IgnoreMode.DOCKER,
        "platform": platform(architecture),
    }


def platform(architecture: Architecture) -> ecr_assets.Platform:
    """Passed to Docker, so that the platform does not depend on the machine that builds."""
    arm = architecture == "arm64"
    return ecr_assets.Platform.LINUX_ARM64 if arm else ecr_assets.Platform.LINUX_AMD64
