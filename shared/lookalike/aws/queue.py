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
    """One message of a queue. `receives`: how often it was delivered, including this time."""

    id: str
    body: str
    receives: int = 1


def messages_of(event: Mapping[str, Any]) -> list[Message]:
    """The messages of a function's event."""
    return [
        Message(
            record["messageId"],
            record["body"],
            int(record.get("attributes", {}).get("ApproximateReceiveCount", 1)),
        )
        for record in event["Records"]
    ]


class Failures:
    """Messages to deliver again, in the order in which they failed."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def add(self, message: Message, reason: object) -> None:
        """Return `message` to the queue. After too many returns, the queue moves it to the dead letters."""
        if message.id not in self._reasons:
            self._reasons[message.id] = str(reason)
            logger.warning("message %s goes back to the queue: %s", message.id, reason)

    def add_all(self, messages: Iterable[Message], reason: object) -> None:
        """Return all of these to the queue."""
        for message in messages:
            self.add(message, reason)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Message id → reason."""
        return self._reasons

    def answer(self) -> dict[str, list[dict[str, str]]]:
        """The function's response: all other messages are done."""
        return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in self._reasons]}
