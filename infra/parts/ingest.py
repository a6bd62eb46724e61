"""From uploads to snapshots: the functions that read the two queues, and the daily repair."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import Config
from infra.constructs.function import ImageFunction
from infra.constructs.output import output
from infra.constructs.schedule import daily
from infra.names import Names

BUILDS_AT_ONCE = 2
"""Builds of different collections; those of one collection follow each other by their message group. Two is
the least that Lambda takes: a new account runs ten functions at once, and queries need most of them."""


class Ingest(Construct):
    """The ingest and the builder function, each behind its queue, and the function that reconciles."""

    def __init__(
        self, scope: Construct, config: Config, names: Names, *, uploads: sqs.IQueue, builds: sqs.IQueue
    ) -> None:
        super().__init__(scope, "Ingest")
        self.ingest = ImageFunction(self, "ingest", config, names)
        self.builder = ImageFunction(self, "builder", config, names)
        lambda_.EventSourceMapping(
            self,
            "UploadsMapping",
            target=self.ingest.function,
            event_source_arn=uploads.queue_arn,
            batch_size=config.ingest.batch_size,
            max_batching_window=Duration.seconds(config.ingest.window_seconds),
            max_concurrency=config.ingest.concurrency,
            report_batch_item_failures=True,
        )
        lambda_.EventSourceMapping(
            self,
            "BuildsMapping",
            target=self.builder.function,
            event_source_arn=builds.queue_arn,
            batch_size=1,
            max_concurrency=BUILDS_AT_ONCE,
            report_batch_item_failures=True,
        )
        self.reconcile = ImageFunction(self, "reconcile", config, names)
        daily(
            self,
            "Daily",
            name=f"{names.prefix}-reconcile",
            function=self.reconcile.function,
            function_arn=names.function_arn("reconcile"),
        )
        output(self, "IngestFunction", self.ingest.function.function_name, "Ingests uploads")
        output(self, "BuilderFunction", self.builder.function.function_name, "Builds snapshots")
