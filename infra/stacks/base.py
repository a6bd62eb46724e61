"""What all stacks have in common."""

from __future__ import annotations

from aws_cdk import CfnOutput, DefaultStackSynthesizer, Environment, RemovalPolicy, Stack
from constructs import Construct

from infra.config import Config
from infra.names import Names


class LookalikeStack(Stack):
    """A stack of one deployment, under its name there."""

    def __init__(self, scope: Construct, short: str, config: Config, description: str) -> None:
        """`short` is one of `infra.names.STACKS`."""
        self.names = Names.of(config)
        self.config = config
        super().__init__(
            scope,
            self.names.stack(short),
            stack_name=self.names.stack(short),
            description=description,
            env=Environment(account=config.account, region=config.region),
            # The CDK's command checks the bootstrap stack itself; without the rule there is no parameter.
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )

    @property
    def removal(self) -> RemovalPolicy:
        """What happens to data when its stack is deleted."""
        return RemovalPolicy.RETAIN if self.config.removal == "retain" else RemovalPolicy.DESTROY

    def output(self, name: str, value: str, description: str) -> None:
        """An output that `make deploy` prints."""
        CfnOutput(self, name, value=value, description=description)
