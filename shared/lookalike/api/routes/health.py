"""Whether the server answers."""

from __future__ import annotations

from fastapi import APIRouter

from lookalike import __version__
from lookalike.api.answers import HealthAnswer
from lookalike.api.openapi import PUBLIC, problems

router = APIRouter(tags=["health"])


@router.get("/health", responses=problems(), openapi_extra=PUBLIC, summary="Whether the server answers")
async def health() -> HealthAnswer:
    """Needs no key, and looks at nothing but itself."""
    return HealthAnswer(version=__version__)
