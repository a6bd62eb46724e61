"""The FastAPI app: the same for the local server and for the query Lambda.

```
app = create_app(Service(settings, encoders, cache), access=KeyAccess(Keys(artifacts)))
```
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lookalike import __version__
from lookalike.api import openapi
from lookalike.api.access import Access
from lookalike.api.envelope import Envelope
from lookalike.api.gate import Gate
from lookalike.api.overviews import Overviews
from lookalike.api.problems import problem_response
from lookalike.api.routes import (
    collections,
    health,
    images,
    items,
    overviews,
    page,
    reports,
    search,
    thumbnails,
    trainings,
    uploads,
)
from lookalike.api.schemas import CollectionBody, SearchForm, SearchRequest, TrainingBody, UploadBody
from lookalike.api.service import Service
from lookalike.api.thumbnails import Thumbnails
from lookalike.api.training_desk import TrainingDesk
from lookalike.api.uploads import UploadDesk
from lookalike.errors import LookalikeError

MAX_WAITING_REPORTS = 4
MAX_WAITING_THUMBNAILS = 1_000
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    service: Service,
    *,
    access: Access,
    lifespan: Lifespan | None = None,
    max_query_bytes: int | None = None,
) -> FastAPI:
    """The HTTP API over `service`.

    Args:
        service: what answers.
        access: who may call.
        lifespan: what runs beside it.
        max_query_bytes: how large a picture in a search may be, where that is less than an item's may be.
    """
    app = FastAPI(
        title="lookalike",
        version=__version__,
        # The pages that FastAPI offers load scripts from elsewhere. /openapi.json stays.
        docs_url=None,
        redoc_url=None,
        # A redirect would be one more answer to document, and loses the body of a PUT in some clients.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.access = access
    most = service.settings.max_image_bytes
    app.state.max_query_bytes = min(most, max_query_bytes or most)
    threads = service.settings.threads
    app.state.gate = Gate(threads, service.settings.max_waiting, inline=threads == 1)
    # Reports look at a whole collection: one at a time, so that searches keep the processor.
    app.state.report_gate = Gate(1, MAX_WAITING_REPORTS)
    app.state.overview_gate = Gate(1, service.settings.max_waiting)
    app.state.thumbnail_gate = Gate(threads, MAX_WAITING_THUMBNAILS)
    app.state.overviews = Overviews(service)
    app.state.thumbnails = Thumbnails(service)
    app.state.desk = UploadDesk(service)
    app.state.training_desk = TrainingDesk(service, app.state.desk)
    modules = (health, collections, search, items, images, thumbnails, uploads, reports, overviews, trainings)
    for module in (*modules, page):
        app.include_router(module.router)
    if not service.images.can_sign:
        app.include_router(uploads.receiver)
    for family in (LookalikeError, RequestValidationError, HTTPException):
        app.add_exception_handler(family, _on_error)
    app.add_middleware(Envelope, loopback_only=access.loopback_only)
    openapi.install(app, [CollectionBody, SearchRequest, SearchForm, UploadBody, TrainingBody])
    return app


async def _on_error(request: Request, error: Exception) -> Response:
    response = problem_response(request, error)
    if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = openapi.allowed_methods(request.app, request.scope["path"])
        response.headers["Allow"] = ", ".join(methods) or response.headers["Allow"]
    return response
