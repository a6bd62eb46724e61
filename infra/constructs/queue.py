"""A queue together with its dead-letter queue."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_sqs as sqs
from constructs import Construct

RETRY_FACTOR = 6
"""AWS advises a visibility time-out of six times the function's: Lambda retries while it is throttled."""
DEAD_LETTER_DAYS = 14
QUEUE_DAYS = 4


class QueueWithDeadLetters(Construct):
    """`queue`, and its dead-letter queue `dead`; both are encrypted and accept TLS only."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        dead_name: str,
        function_seconds: int,
        max_receives: int,
        window_seconds: int = 0,
    ) -> None:
        """`function_seconds`: time-out of the function that reads it; a name that ends in `.fifo` makes a
        FIFO queue."""
        super().__init__(scope, id_)
        self.dead = _queue(self, "Dead", dead_name, retention=Duration.days(DEAD_LETTER_DAYS))
        self.queue = _queue(
            self,
            "Queue",
            name,
            retention=Duration.days(QUEUE_DAYS),
            visibility=Duration.seconds(RETRY_FACTOR * function_seconds + window_seconds),
            dead=sqs.DeadLetterQueue(max_receive_count=max_receives, queue=self.dead),
        )


def _queue(
    scope: Construct,
    id_: str,
    name: str,
    *,
    retention: Duration,
    visibility: Duration | None = None,
    dead: sqs.DeadLetterQueue | None = None,
) -> sqs.Queue:
    return sqs.Queue(
        scope,
        id_,
        queue_name=name,
        fifo=True if name.endswith(".fifo") else None,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=retention,
        visibility_timeout=visibility,
        dead_letter_queue=dead,
        removal_policy=RemovalPolicy.DESTROY,
    )
