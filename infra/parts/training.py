"""Training: a SageMaker job, and the state machine that publishes its encoder."""

from __future__ import annotations

from aws_cdk import Aws, Stack
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.config import Config
from infra.constructs.acknowledge import acknowledge
from infra.constructs.function import ImageFunction
from infra.constructs.image import ROOT, asset_options
from infra.constructs.log_group import log_group
from infra.constructs.output import output
from infra.constructs.role import role_for
from infra.environment import job_environment
from infra.names import Names
from infra.training_permissions import STEPS, job_grants, machine_grants
from infra.training_state_machine import Pipeline, definition

HOUR = 3_600
WAIT_FACTOR = 2
"""A spot job may wait for a machine as long as it may run."""


class Training(Construct):
    """The state machine, its four functions, and the container that SageMaker runs."""

    def __init__(self, scope: Construct, config: Config, names: Names) -> None:
        super().__init__(scope, "Training")
        self.config = config
        self.names = names
        self.steps = {step: ImageFunction(self, step, config, self.names) for step in STEPS}
        # Training machines are x86-64, even if the functions run on arm64.
        self.image = ecr_assets.DockerImageAsset(
            self, "TrainingImage", directory=str(ROOT), **asset_options("training", "x86_64")
        )
        self.job_role = role_for(
            self,
            "JobRole",
            service="sagemaker.amazonaws.com",
            grants=job_grants(self.names, self.image.repository.repository_arn),
            description=f"The training container ({self.names.prefix})",
        )
        self.machine = self._machine()
        output(self, "TrainingMachine", self.machine.ref, "Trains and publishes; one execution a training")

    def _machine(self) -> sfn.CfnStateMachine:
        role = role_for(
            self,
            "MachineRole",
            service="states.amazonaws.com",
            grants=machine_grants(self.names, self.job_role.role_arn, tracing=self.config.tracing),
            description=f"The state machine of trainings ({self.names.machine})",
        )
        logs = log_group(self, "MachineLogs", f"/aws/vendedlogs/states/{self.names.machine}", self.config)
        machine = sfn.CfnStateMachine(
            self,
            "Machine",
            state_machine_name=self.names.machine,
            state_machine_type="STANDARD",
            role_arn=role.role_arn,
            definition_string=Stack.of(self).to_json_string(definition(self._pipeline())),
            tracing_configuration=sfn.CfnStateMachine.TracingConfigurationProperty(
                enabled=self.config.tracing
            ),
            logging_configuration=sfn.CfnStateMachine.LoggingConfigurationProperty(
                level="ALL",
                # Inputs have only names of collections and keys; without them a failure is hard to diagnose.
                include_execution_data=True,
                destinations=[
                    sfn.CfnStateMachine.LogDestinationProperty(
                        cloud_watch_logs_log_group=sfn.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                            log_group_arn=logs.log_group_arn
                        )
                    )
                ],
            ),
        )
        if not self.config.tracing:
            acknowledge(machine, "SF2", "Traces cost money for each request; `tracing` switches them on.")
        return machine

    def _pipeline(self) -> Pipeline:
        training = self.config.training
        return Pipeline(
            name=self.names.prefix,
            image_uri=self.image.image_uri,
            role_arn=self.job_role.role_arn,
            images_bucket=self.names.images,
            artifacts_bucket=self.names.artifacts,
            functions={step: self.steps[step].function.function_arn for step in STEPS},
            environment=job_environment(self.config, self.names),
            instance_type=training.instance_type,
            volume_gb=training.volume_gb,
            max_run_seconds=training.max_hours * HOUR,
            max_wait_seconds=training.max_hours * HOUR * (WAIT_FACTOR if training.spot else 1),
            spot=training.spot,
            partition=Aws.PARTITION,
        )
