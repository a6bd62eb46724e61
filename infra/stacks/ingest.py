"""From uploads to snapshots: the functions that read the two queues."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import Config
from infra.constructs.function import ImageFunction
from infra.stacks.base import LookalikeStack

BUILDS_AT_ONCE = 5
"""Builds of different collections; those of one collection follow each other by their message group."""


class IngestStack(LookalikeStack):
    """The ingest and the builder function, each behind its queue."""

    def __init__(self, scope: Construct, config: Config) -> None:
        super().__init__(scope, "ingest", config, "lookalike: from uploads to snapshots")
        self.ingest = ImageFunction(self, "ingest", config, self.names)
        self.builder = ImageFunction(self, "builder", config, self.names)
        lambda_.EventSourceMapping(
            self,
            "UploadsMapping",
            target=self.ingest.function,
            event_source_arn=self.names.arn("sqs", self.names.uploads),
            batch_size=config.ingest.batch_size,
            max_batching_window=Duration.seconds(config.ingest.window_seconds),
            max_concurrency=config.ingest.concurrency,
            report_batch_item_failures=True,
        )
        lambda_.EventSourceMapping(
            self,
            "BuildsMapping",
            target=self.builder.function,
            event_source_arn=self.names.arn("sqs", self.names.builds),
            batch_size=1,
            max_concurrency=BUILDS_AT_ONCE,
            report_batch_item_failures=True,
        )
        self.output("IngestFunction", self.ingest.function.function_name, "Takes uploads in")
        self.output("BuilderFunction", self.builder.function.function_name, "Builds snapshots")
