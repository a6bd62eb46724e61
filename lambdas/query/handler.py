"""The query function: the API behind API Gateway. Lambda calls `handler` with each request."""

from __future__ import annotations

import os
import time
from typing import Any

from lookalike.api.change_listeners import ChangeListener
from lookalike.api.http.access import Access, GatewayAccess, KeyAccess
from lookalike.api.http.app import create_app
from lookalike.api.keys import Keys
from lookalike.aws.gateway import MAX_PICTURE_BYTES, Gateway, request_id
from lookalike.aws.settings import AwsSettings
from lookalike.aws.telemetry import Telemetry
from lookalike.library import Library
from lookalike.settings import Settings
from lookalike.training_jobs.runner import TrainingRunner

SETTLE_SECONDS = 2.0

telemetry = Telemetry()


def _listener(library: Library, aws: AwsSettings) -> ChangeListener | None:
    if not aws.build_queue_url:
        return None
    from lookalike.aws.change_listener import BuildRequester

    return BuildRequester(aws.build_queue_url, library.artifacts)


def _trainer(library: Library, aws: AwsSettings) -> TrainingRunner | None:
    if not aws.training_machine_arn:
        return None
    from lookalike.aws.training.state_machine import StateMachineTrainer

    return StateMachineTrainer(aws.training_machine_arn, library.images, library.artifacts)


def _access(library: Library, aws: AwsSettings) -> Access:
    if aws.auth != "keys":
        return GatewayAccess(aws.auth)
    return KeyAccess(Keys(library.artifacts, tokens=library.tokens))


def _created() -> tuple[Library, Gateway]:
    aws = AwsSettings.from_env(os.environ)
    library = Library(Settings.from_env(os.environ), aws.cache)
    access = _access(library, aws)
    app = create_app(
        library,
        access=access,
        listener=_listener(library, aws),
        trainer=_trainer(library, aws),
        max_query_bytes=MAX_PICTURE_BYTES,
    )
    return library, Gateway(app)


library, gateway = _created()


@telemetry.instrumented
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle one request."""
    started = time.perf_counter()
    telemetry.log.append_keys(request_id=request_id(event))
    response = gateway.answer(event, context)
    # Lambda freezes the process between two invocations, so background refreshes must be complete.
    library.settle(SETTLE_SECONDS)
    # The API logs each request; this adds the caller's own id of those that failed.
    log = telemetry.log.info if response["statusCode"] >= 400 else telemetry.log.debug
    log(
        "answered",
        extra={
            "method": event["requestContext"]["http"]["method"],
            "path": event["rawPath"],
            "status": response["statusCode"],
            "milliseconds": round((time.perf_counter() - started) * 1_000, 1),
        },
    )
    return response
