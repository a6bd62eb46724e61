"""A function made of a container image, with its own role, log group and environment."""

from __future__ import annotations

from aws_cdk import Duration, Size
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import Config, FunctionName
from infra.constructs.image import ROOT, ImageName, asset_options
from infra.constructs.log_group import log_group
from infra.constructs.role import role_for
from infra.environment import environment
from infra.names import Names
from infra.permissions import function_grants

HANDLERS: dict[FunctionName, str] = {
    "query": "lambdas.query.handler.handler",
    "ingest": "lambdas.ingest.handler.handler",
    "builder": "lambdas.ingest.builder.handler",
    "reconcile": "lambdas.ingest.reconcile.handler",
    "register": "lambdas.ingest.training_steps.register",
    "encode": "lambdas.ingest.training_steps.encode",
    "publish": "lambdas.ingest.training_steps.publish",
    "conclude": "lambdas.ingest.training_steps.conclude",
}
PURPOSES: dict[FunctionName, str] = {
    "query": "Answers the HTTP API",
    "ingest": "Applies changes of the images bucket to the catalogue",
    "builder": "Builds and publishes snapshots",
    "reconcile": "Repairs what events missed, once a day",
    "register": "Registers a trained encoder, and decides whether to publish it",
    "encode": "Encodes a batch of images with a new encoder",
    "publish": "Encodes new items, builds a snapshot of the new encoder, and publishes it",
    "conclude": "Records how a training ended",
}


class ImageFunction(Construct):
    """One function: `function`, its `role` and its `logs`."""

    def __init__(self, scope: Construct, name: FunctionName, config: Config, names: Names) -> None:
        super().__init__(scope, name.capitalize())
        size = config.functions[name]
        self.logs = log_group(self, "Logs", names.log_group(name), config)
        self.role = role_for(
            self,
            "Role",
            service="lambda.amazonaws.com",
            grants=function_grants(names, name, tracing=config.tracing),
            description=f"{PURPOSES[name]} ({names.function(name)})",
            only_own_account=False,
        )
        self.function = lambda_.DockerImageFunction(
            self,
            "Function",
            function_name=names.function(name),
            description=PURPOSES[name],
            code=image_code(name, config),
            architecture=_architecture(config),
            memory_size=size.memory_mb,
            timeout=Duration.seconds(size.timeout_seconds),
            ephemeral_storage_size=Size.mebibytes(size.storage_mb),
            reserved_concurrent_executions=size.concurrency,
            environment=environment(config, names, name),
            # The CDK would add its own statements; only the table of permissions applies.
            role=self.role.without_policy_updates(),
            log_group=self.logs,
            logging_format=lambda_.LoggingFormat.JSON,
            system_log_level_v2=_system_log_level(name, config),
            tracing=lambda_.Tracing.ACTIVE if config.tracing else lambda_.Tracing.DISABLED,
        )


def _system_log_level(name: FunctionName, config: Config) -> lambda_.SystemLogLevel:
    """How much Lambda itself logs. Its three lines for each request would cost half as much as reading from
    S3, and the API logs each request anyway."""
    quiet = name == "query" and not config.needs_metrics
    return lambda_.SystemLogLevel.WARN if quiet else lambda_.SystemLogLevel.INFO


def image_code(name: FunctionName, config: Config) -> lambda_.DockerImageCode:
    """The image of a function: query has its own, all others share one and differ in their command."""
    image: ImageName = "query" if name == "query" else "ingest"
    return lambda_.DockerImageCode.from_image_asset(
        str(ROOT), cmd=[HANDLERS[name]], **asset_options(image, config.architecture)
    )


def _architecture(config: Config) -> lambda_.Architecture:
    arm = config.architecture == "arm64"
    return lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64
