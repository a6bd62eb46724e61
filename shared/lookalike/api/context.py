"""`Context`: what all requests of one app share. And the URLs of the app, as its callers see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import Request

from lookalike.api.caches import ReportCache, ThumbnailCache
from lookalike.api.change_listeners import ChangeListener, NoListener
from lookalike.api.http.request_limiter import RequestLimiter
from lookalike.api.upload_urls import UploadTokens
from lookalike.training_jobs.runner import NoTrainingRunner, TrainingRunner

if TYPE_CHECKING:
    from lookalike.library import Library

MAX_WAITING_REPORTS = 4
MAX_WAITING_THUMBNAILS = 1_000


@dataclass(frozen=True, slots=True)
class Limiters:
    """Limits on concurrent requests, by the cost of the operation."""

    searches: RequestLimiter
    overviews: RequestLimiter
    reports: RequestLimiter
    thumbnails: RequestLimiter

    @classmethod
    def create(cls, threads: int, max_waiting: int) -> Limiters:
        """The limiters of one app."""
        return cls(
            searches=RequestLimiter(threads, max_waiting, inline=threads == 1),
            overviews=RequestLimiter(1, max_waiting),
            # A report reads a whole collection. One at a time leaves the processor to searches.
            reports=RequestLimiter(1, MAX_WAITING_REPORTS),
            thumbnails=RequestLimiter(threads, MAX_WAITING_THUMBNAILS),
        )


@dataclass(frozen=True, slots=True)
class Context:
    """The library behind an app, and the app's limits and caches.

    Attributes:
        library: the store that the API serves.
        limiters: see `Limiters`.
        max_query_bytes: size limit of an image in a search.
        listener: receives changes that this process makes.
        trainer: runs trainings.
        reports: latest results of reports.
        thumbnails: recently used thumbnails.
        upload_tokens: signs upload URLs of this server.
    """

    library: Library
    limiters: Limiters
    max_query_bytes: int
    listener: ChangeListener = field(default_factory=NoListener)
    trainer: TrainingRunner = field(default_factory=NoTrainingRunner)
    reports: ReportCache = field(default_factory=ReportCache)
    thumbnails: ThumbnailCache = field(default_factory=ThumbnailCache)
    upload_tokens: UploadTokens = field(default_factory=UploadTokens)

    @classmethod
    def create(
        cls,
        library: Library,
        *,
        listener: ChangeListener | None = None,
        trainer: TrainingRunner | None = None,
        max_query_bytes: int | None = None,
    ) -> Context:
        """The context of a new app.

        Args:
            library: the store to serve.
            listener: receives changes that this process makes; None: the store sends its own events.
            trainer: runs trainings; None: trainings are rejected.
            max_query_bytes: size limit of an image in a search, if lower than that of an item.
        """
        settings = library.settings
        return cls(
            library,
            Limiters.create(settings.threads, settings.max_waiting),
            min(settings.max_image_bytes, max_query_bytes or settings.max_image_bytes),
            listener=listener or NoListener(),
            trainer=trainer or NoTrainingRunner(),
        )


def context_of(request: Request) -> Context:
    """The context of the app that handles `request`."""
    context: Context = request.app.state.context
    return context


def base_url(request: Request) -> str:
    """The URL under which the caller reaches this API, without a slash at its end."""
    return str(request.base_url).rstrip("/")


def image_url(base: str, collection: str, item_id: str) -> str:
    """The URL of an item's image; `base` is the URL of this API."""
    return f"{base}/collections/{collection}/images/{quote(item_id)}"
