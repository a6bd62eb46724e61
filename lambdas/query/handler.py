"""The query function: the library's app behind API Gateway. `handler` is what Lambda calls with a request."""

from __future__ import annotations

import os
import time
from typing import Any

from lookalike.api.access import Access, GatewayAccess, KeyAccess
from lookalike.api.app import create_app
from lookalike.api.keys import Keys
from lookalike.api.service import Service
from lookalike.aws.gateway import MAX_PICTURE_BYTES, Gateway, request_id
from lookalike.aws.settings import AwsSettings
from lookalike.aws.telemetry import Telemetry
from lookalike.encoders import Encoders
from lookalike.settings import Settings
from lookalike.storage import Store

SETTLE_SECONDS = 2.0

telemetry = Telemetry()


def _service(settings: Settings, aws: AwsSettings) -> Service:
    artifacts = Store.artifacts(settings)
    follower, trainer = None, None
    if aws.build_queue_url:
        from lookalike.aws.follower import BuildFollower

        follower = BuildFollower(aws.build_queue_url, artifacts)
    if aws.training_machine_arn:
        from lookalike.aws.training.state_machine import StateMachineTrainer

        trainer = StateMachineTrainer(aws.training_machine_arn, Store.images(settings), artifacts)
    encoders = Encoders(artifacts, aws.cache)
    return Service(settings, encoders, aws.cache, follower=follower, trainer=trainer)


def _access(service: Service, aws: AwsSettings) -> Access:
    return KeyAccess(Keys(service.artifacts)) if aws.auth == "keys" else GatewayAccess(aws.auth)


def _made() -> tuple[Service, Gateway]:
    aws = AwsSettings.from_env(os.environ)
    service = _service(Settings.from_env(os.environ), aws)
    app = create_app(service, access=_access(service, aws), max_query_bytes=MAX_PICTURE_BYTES)
    return service, Gateway(app)


service, gateway = _made()


@telemetry.instrumented
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request."""
    began = time.perf_counter()
    telemetry.log.append_keys(request_id=request_id(event))
    answer = gateway.answer(event, context)
    # Between two invocations the process stands still: nothing may be under way then.
    service.settle(SETTLE_SECONDS)
    telemetry.log.info(
        "answered",
        extra={
            "method": event["requestContext"]["http"]["method"],
            "path": event["rawPath"],
            "status": answer["statusCode"],
            "milliseconds": round((time.perf_counter() - began) * 1_000, 1),
        },
    )
    return answer
