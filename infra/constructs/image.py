"""Container images, built from this repository when it is deployed; synthesis needs no Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from aws_cdk import IgnoreMode
from aws_cdk import aws_ecr_assets as ecr_assets

from infra.config import Architecture

ROOT = Path(__file__).resolve().parents[2]
ImageName = Literal["query", "ingest", "training"]
DOCKERFILES: dict[ImageName, str] = {
    "query": "lambdas/query/Dockerfile",
    "ingest": "lambdas/ingest/Dockerfile",
    "training": "sagemaker/Dockerfile",
}
_COMMON = ("pyproject.toml", "requirements.lock", "README.md", "LICENSE", "shared/lookalike")
CONTEXTS: dict[ImageName, tuple[str, ...]] = {
    "query": (*_COMMON, "lambdas"),
    "ingest": (*_COMMON, "lambdas"),
    "training": (*_COMMON, "sagemaker"),
}
"""The files of the repository that a build sees; their hash identifies a changed image."""


def excludes(image: ImageName) -> list[str]:
    """Everything but the context of `image`, in the form of `.dockerignore`."""
    return ["*", *(f"!{path}" for path in CONTEXTS[image]), "**/__pycache__", "**/*.pyc"]


def asset_options(image: ImageName, architecture: Architecture) -> dict[str, Any]:
    """How the CDK builds `image`, for each of the CDK's classes that build images."""
    return {
        "file": DOCKERFILES[image],
        "exclude": excludes(image),
        "ignore_mode": IgnoreMode.DOCKER,
        "platform": platform(architecture),
    }


def platform(architecture: Architecture) -> ecr_assets.Platform:
    """Passed to Docker, so that the platform does not depend on the machine that builds."""
    arm = architecture == "arm64"
    return ecr_assets.Platform.LINUX_ARM64 if arm else ecr_assets.Platform.LINUX_AMD64
