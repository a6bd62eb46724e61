"""Messages of a queue as a function receives them, and the ones it returns to the queue.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a queue.

    Attributes:
        id: of the message.
        body: its text.
        receives: how often it was delivered, including this time.
        receipt: the handle of this delivery; "": unknown.
        queue_arn: the queue it came from; "": unknown.
    """

    id: str
    body: str
    receives: int = 1
    receipt: str = ""
    queue_arn: str = ""


def messages_of(event: Mapping[str, Any]) -> list[Message]:
    """The messages of a function's event."""
    return [
        Message(
            record["messageId"],
            record["body"],
            int(record.get("attributes", {}).get("ApproximateReceiveCount", 1)),
            record.get("receiptHandle", ""),
            record.get("eventSourceARN", ""),
        )
        for record in event["Records"]
    ]


class Failures:
    """Messages to deliver again, in the order in which they failed."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self.failed: list[Message] = []
        self.postponed: list[Message] = []

    def add(self, message: Message, reason: object) -> None:
        """Return `message` to the queue. After too many returns, the queue moves it to the dead letters."""
        self._add(message, reason, self.failed)

    def add_all(self, messages: Iterable[Message], reason: object) -> None:
        """Return all of these to the queue."""
        for message in messages:
            self.add(message, reason)

    def postpone(self, messages: Iterable[Message]) -> None:
        """Return messages that were not started, because there was no time left for them."""
        for message in messages:
            self._add(message, "there was no time left for it", self.postponed)

    def _add(self, message: Message, reason: object, kind: list[Message]) -> None:
        if message.id not in self._reasons:
            self._reasons[message.id] = str(reason)
            kind.append(message)
            logger.warning("message %s goes back to the queue: %s", message.id, reason)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Message id → reason."""
        return self._reasons

    def answer(self) -> dict[str, list[dict[str, str]]]:
        """The function's response: all other messages are done."""
        return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in self._reasons]}
