"""boto3 clients: their time limits, retries and connections, the same for all."""

from __future__ import annotations

from typing import Any

SECONDS_TO_ANSWER = 5
ATTEMPTS = 3


def boto_client(service: str, **options: Any) -> Any:
    """A client of an AWS service; `options` are those of `boto3.client`.

    Lambda freezes a process between two events, and the other end may close its connections meanwhile.
    botocore drops a connection that it finds closed, and repeats a call whose connection broke. Keep-alive
    detects a connection that was lost without notice.
    """
    import boto3  # the import takes a third of a second; searches do not need it
    from botocore.config import Config

    config = Config(
        connect_timeout=SECONDS_TO_ANSWER,
        read_timeout=SECONDS_TO_ANSWER,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        tcp_keepalive=True,
    )
    return boto3.client(service, config=config, **options)
