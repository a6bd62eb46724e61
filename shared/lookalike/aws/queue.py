"""Messages of a queue as a function gets them, and which of them it gives back.

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
    """One message of a queue. `receives`: how often it was given out, this time included."""

    id: str
    body: str
    receives: int = 1


def messages_of(event: Mapping[str, Any]) -> list[Message]:
    """The messages in what a function was called with."""
    return [
        Message(
            record["messageId"],
            record["body"],
            int(record.get("attributes", {}).get("ApproximateReceiveCount", 1)),
        )
        for record in event["Records"]
    ]


class Failures:
    """Messages that are to come again, in the order in which they failed."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def add(self, message: Message, reason: object) -> None:
        """Give `message` back. The queue parks it as a dead letter when that happens too often."""
        if message.id not in self._reasons:
            self._reasons[message.id] = str(reason)
            logger.warning("message %s goes back to the queue: %s", message.id, reason)

    def add_all(self, messages: Iterable[Message], reason: object) -> None:
        """Give all of these back."""
        for message in messages:
            self.add(message, reason)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why, by id of the message."""
        return self._reasons

    def answer(self) -> dict[str, list[dict[str, str]]]:
        """What the function returns: all other messages are done."""
        return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in self._reasons]}
