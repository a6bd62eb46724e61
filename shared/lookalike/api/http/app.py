"""The FastAPI app: the same for the local server and for the query Lambda.

```
app = create_app(Library(settings, cache), access=KeyAccess(Keys(artifacts)))
```
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lookalike import __version__
from lookalike.api import (
    collection_status,
    collections,
    duplicates,
    facets,
    health,
    images,
    item_map,
    items,
    page,
    quality,
    reports,
    search,
    search_models,
    thumbnails,
    trainings,
    trash,
    uploads,
)
from lookalike.api.change_listeners import ChangeListener
from lookalike.api.context import Context
from lookalike.api.http import openapi
from lookalike.api.http.access import Access
from lookalike.api.http.envelope import Envelope
from lookalike.api.http.problems import problem_response
from lookalike.api.training_models import TrainingRequest
from lookalike.errors import LookalikeError
from lookalike.training_jobs.runner import TrainingRunner

if TYPE_CHECKING:
    from lookalike.library import Library

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
FEATURES = (
    health,
    collections,
    search,
    items,
    trash,
    images,
    thumbnails,
    uploads,
    reports,
    duplicates,
    collection_status,
    facets,
    item_map,
    quality,
    trainings,
    page,
)
REQUEST_MODELS = (
    collections.CollectionRequest,
    search_models.SearchRequest,
    search_models.SearchForm,
    uploads.UploadRequest,
    trash.RestoreRequest,
    duplicates.DecisionRequest,
    TrainingRequest,
)


def create_app(
    library: Library,
    *,
    access: Access,
    listener: ChangeListener | None = None,
    trainer: TrainingRunner | None = None,
    lifespan: Lifespan | None = None,
    max_query_bytes: int | None = None,
) -> FastAPI:
    """The HTTP API over `library`.

    Args:
        library: the store to serve.
        access: decides who may call an operation.
        listener: receives changes that this process makes; None: the store sends its own events.
        trainer: runs trainings; None: trainings are rejected.
        lifespan: starts and stops background work with the app.
        max_query_bytes: size limit of an image in a search, if lower than that of an item.
    """
    app = FastAPI(
        title="lookalike",
        version=__version__,
        # FastAPI's documentation pages load scripts from other origins. /openapi.json stays.
        docs_url=None,
        redoc_url=None,
        # A redirect would be one more response to document, and some clients drop the body of a PUT.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        lifespan=lifespan,
    )
    app.state.access = access
    app.state.context = Context.create(
        library, listener=listener, trainer=trainer, max_query_bytes=max_query_bytes
    )
    for feature in FEATURES:
        app.include_router(feature.router)
    if not library.images.can_sign:
        app.include_router(uploads.receiver)
    for family in (LookalikeError, RequestValidationError, HTTPException):
        app.add_exception_handler(family, _on_error)
    app.add_middleware(Envelope, loopback_only=access.loopback_only)
    openapi.install(app, REQUEST_MODELS)
    return app


async def _on_error(request: Request, error: Exception) -> Response:
    response = problem_response(request, error)
    if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = openapi.allowed_methods(request.app, request.scope["path"])
        response.headers["Allow"] = ", ".join(methods) or response.headers["Allow"]
    return response
