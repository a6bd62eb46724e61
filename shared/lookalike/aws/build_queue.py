"""Requests for builds: a FIFO queue whose message groups are the collections.

SQS delivers no message of a group while another message of that group is in flight, so builds of one
collection never overlap, and other collections do not wait.

SQS drops a message whose deduplication id it saw in the last five minutes. The id names the state that the
request is for: the catalogue's fingerprint and the snapshot in use. Two requests for one state make one
build. A later change is another state, whose message is kept. A dropped message requests a build of the same
rows as an earlier one, so the worker that handles the earlier one sees all of them. No request is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from lookalike.boto import boto_client
from lookalike.collection_config import CollectionConfig
from lookalike.errors import InvalidInput, StoreUnavailable
from lookalike.integrity import load_json
from lookalike.layout import check_collection_name
from lookalike.snapshots.staleness import Staleness


class BuildQueue:
    """The queue that the builder reads.

    Args:
        url: of the queue.
        client: of SQS; None: boto3 makes one when it is first needed.
    """

    def __init__(self, url: str, client: Any = None) -> None:
        self._url = url
        self._given = client

    @cached_property
    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        return boto_client("sqs")

    def request(self, state: Staleness) -> None:
        """Request a build of what a collection holds now.

        Raises:
            StoreUnavailable: the queue did not accept it; try again.
        """
        serving = state.serving.id if state.serving else ""
        self._send(state.config, state.fingerprint, serving)

    def request_check(self, config: CollectionConfig) -> None:
        """Request a check of a collection whose configuration changed. Raises StoreUnavailable."""
        self._send(config, json.dumps(config.to_json(), sort_keys=True))

    def _send(self, config: CollectionConfig, *state: str) -> None:
        state_key = [config.name, config.created_at, *state]
        _in_time(
            lambda: self._client.send_message(
                QueueUrl=self._url,
                MessageBody=json.dumps({"collection": config.name}),
                MessageGroupId=config.name,
                MessageDeduplicationId=hashlib.sha256(json.dumps(state_key).encode()).hexdigest(),
            )
        )


def collection_of(body: str) -> str:
    """The collection that a message is about. Raises InvalidInput."""
    try:
        name = load_json(body)["collection"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("this message requests no build", got=repr(body[:200])) from error
    check_collection_name(str(name))
    return str(name)


def _in_time(call: Callable[[], object]) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        call()
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailable(
            "the build queue did not accept a message", got=str(error), fix="Try again."
        ) from error
