"""Boots a function inside its image as Lambda does: its runtime client requests an event."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from contextlib import closing, suppress

from infra.container_builder import Builder, MissingTool
from infra.runtime_api import RuntimeApi

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.05
ARN = "arn:aws:lambda:us-east-1:123456789012:function:function"
ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "LOOKALIKE_IMAGES": "s3://images",
    "LOOKALIKE_ARTIFACTS": "s3://artifacts",
    "POWERTOOLS_SERVICE_NAME": "lookalike",
    "POWERTOOLS_METRICS_NAMESPACE": "Lookalike",
}
OF_THE_RUNTIME = ("AWS_LAMBDA_RUNTIME_API", "AWS_XRAY_DAEMON_ADDRESS", "AWS_ENDPOINT_URL", "_HANDLER")
"""Names of further variables that Lambda, or the AWS emulator, sets for a function."""


def boot(tool: Builder, image: str, handler: str) -> float:
    """Seconds from the start of the process to the request for its first event.

    Raises:
        MissingTool: the handler cannot be imported, or the process ended.
    """
    api = RuntimeApi(ARN)
    variables = {**ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": api.address, "_HANDLER": handler}
    command = [*tool.command(image, list(variables)), handler]
    environment = {"PATH": os.environ.get("PATH", ""), **variables}
    started = time.monotonic()
    with closing(api), tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while api.ready_at is None and api.init_error is None:
                if process.poll() is not None or time.monotonic() - started > PATIENCE_SECONDS:
                    log.seek(0)
                    output = log.read()[-4000:].decode("utf-8", "replace")
                    raise MissingTool(f"{handler} does not start in the image {image}:\n{output}")
                time.sleep(POLL_SECONDS)
            seconds = time.monotonic() - started
        finally:
            # The process may have ended by itself, and its group with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
    if api.init_error is not None:
        raise MissingTool(
            f"{handler} does not start in the image {image}: {json.dumps(api.init_error)[:2000]}"
        )
    return seconds
