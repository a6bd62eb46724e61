"""Health check."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from lookalike import __version__
from lookalike.api.http.models import ResponseBody, example
from lookalike.api.http.openapi import PUBLIC, problems

router = APIRouter(tags=["health"])


class HealthResponse(ResponseBody):
    """The server is running."""

    model_config = example({"status": "ok", "version": "0.1.0"})

    status: Literal["ok"] = "ok"
    version: str


@router.get("/health", responses=problems(), openapi_extra=PUBLIC, summary="Check that the server is running")
async def health() -> HealthResponse:
    """Needs no API key and does not access the store."""
    return HealthResponse(version=__version__)
