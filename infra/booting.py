"""Boots a function inside its image as Lambda does: the runtime client asks a Runtime API for an event."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from infra.container_builder import Builder, MissingTool

PATIENCE_SECONDS = 120.0
NEXT, INIT_ERROR = "/2018-06-01/runtime/invocation/next", "/2018-06-01/runtime/init/error"
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
"""Names of further variables that Lambda, or a stand-in for AWS, gives to a function."""


class _RuntimeApi(ThreadingHTTPServer):
    """Notes when the function is ready for its first event, and never gives it one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ready = threading.Event()
        self.failed: dict[str, Any] | None = None
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: _RuntimeApi

    def do_GET(self) -> None:
        if self.path == NEXT:
            self.server.ready.set()
            self.server.closing.wait()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == INIT_ERROR:
            self.server.failed = json.loads(body)
            self.server.ready.set()
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


def boot(tool: Builder, image: str, handler: str) -> float:
    """Seconds from the start of the process to the request for its first event.

    Raises:
        MissingTool: the handler cannot be imported, or the process ended.
    """
    api = _RuntimeApi()
    address = f"127.0.0.1:{api.server_address[1]}"
    variables = {**ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": address, "_HANDLER": handler}
    command = [*tool.command(image, list(variables)), handler]
    environment = {"PATH": os.environ.get("PATH", ""), **variables}
    started = time.monotonic()
    try:
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(  # noqa: S603
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                while not api.ready.wait(0.05):
                    if process.poll() is not None or time.monotonic() - started > PATIENCE_SECONDS:
                        log.seek(0)
                        said = log.read()[-4000:].decode("utf-8", "replace")
                        raise MissingTool(f"{handler} does not start in the image {image}:\n{said}")
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                api.closing.set()
                process.wait(30)
    finally:
        api.shutdown()
        api.server_close()
    if api.failed is not None:
        raise MissingTool(f"{handler} does not start in the image {image}: {json.dumps(api.failed)[:2000]}")
    return time.monotonic() - started
