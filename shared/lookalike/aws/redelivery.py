"""When a message of a queue is delivered again.

A message that a function does not finish is hidden until the queue's visibility time-out passes, which is
longer than the function may run. In a FIFO queue it blocks its group as long. So a function shortens the time
itself (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html).
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from lookalike.aws.deadline import Remaining, within
from lookalike.aws.queue import Failures, Message
from lookalike.boto import boto_client

logger = logging.getLogger(__name__)

RETRY_SECONDS = 30
"""After the first failure; each further failure adds as much."""
MAX_RETRY_SECONDS = 120
"""The longest time that a message waits after a failure, or after its process died."""
RENEWAL_SECONDS = 45.0
"""Two renewals can fail before a message in progress becomes visible."""
BATCH = 10
"""Messages that SQS takes in one call."""
RESERVE_SECONDS = 0.5
"""Left for the function's response."""


class Redelivery:
    """Changes the visibility of messages. Never raises: the queue's own time-out then applies.

    Args:
        client: of SQS; None: made when it is first needed.
    """

    def __init__(self, client: Any = None) -> None:
        self._given = client

    @cached_property
    def _client(self) -> Any:
        return boto_client("sqs") if self._given is None else self._given

    def hasten(self, failures: Failures, remaining: Remaining) -> Failures:
        """Deliver failed messages again after 30 to 120 seconds, and the ones not started at once.

        Args:
            failures: of one batch.
            remaining: seconds left.

        Returns:
            `failures`.
        """
        seconds = dict.fromkeys(failures.postponed, 0)
        seconds |= {
            message: min(MAX_RETRY_SECONDS, RETRY_SECONDS * max(1, message.receives))
            for message in failures.failed
        }
        if seconds:
            try:
                within(remaining() - RESERVE_SECONDS, lambda: self._hide(seconds))
            except Exception as error:  # the response must still be sent
                logger.warning("the visibility of messages could not be changed: %s", error)
        return failures

    @contextmanager
    def kept(self, messages: Sequence[Message]) -> Iterator[None]:
        """Until the end of the block, hide messages for two minutes at a time.

        If the process dies, or Lambda ends it, they are delivered again within two minutes.
        """
        ended = threading.Event()

        def renew() -> None:
            while not ended.is_set():
                try:
                    self._hide(dict.fromkeys(messages, MAX_RETRY_SECONDS))
                except Exception as error:  # the work must continue
                    logger.warning("the visibility of messages could not be changed: %s", error)
                ended.wait(RENEWAL_SECONDS)

        thread = threading.Thread(target=renew, name="keep messages", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()  # a late renewal must not undo what follows

    def _hide(self, seconds: Mapping[Message, int]) -> None:
        queues: dict[str, list[Message]] = defaultdict(list)
        for message in seconds:
            if message.receipt and message.queue_arn:
                queues[message.queue_arn].append(message)
        for queue_arn, messages in queues.items():
            for start in range(0, len(messages), BATCH):
                self._hide_batch(queue_arn, messages[start : start + BATCH], seconds)

    def _hide_batch(
        self, queue_arn: str, messages: Sequence[Message], seconds: Mapping[Message, int]
    ) -> None:
        account, name = queue_arn.split(":")[4:6]
        answer = self._client.change_message_visibility_batch(
            QueueUrl=f"{self._client.meta.endpoint_url}/{account}/{name}",
            Entries=[
                {
                    "Id": str(number),
                    "ReceiptHandle": message.receipt,
                    "VisibilityTimeout": seconds[message],
                }
                for number, message in enumerate(messages)
            ],
        )
        for failed in answer.get("Failed", []):
            logger.warning(
                "the visibility of message %s could not be changed: %s",
                messages[int(failed["Id"])].id,
                failed.get("Message") or failed.get("Code"),
            )
