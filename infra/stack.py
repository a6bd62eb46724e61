"""The stack of a deployment: one, so that `cdk deploy` needs no choice of stacks."""

from __future__ import annotations

from aws_cdk import DefaultStackSynthesizer, Environment, Stack
from constructs import Construct

from infra.config import Config
from infra.names import Names
from infra.parts.data import Data
from infra.parts.ingest import Ingest
from infra.parts.observability import Observability
from infra.parts.query import Query
from infra.parts.training import Training


class LookalikeStack(Stack):
    """All resources of one stage, as one construct for each part."""

    def __init__(self, scope: Construct, config: Config) -> None:
        names = Names.of(config)
        super().__init__(
            scope,
            names.stack,
            stack_name=names.stack,
            description="lookalike: find similar images",
            env=Environment(account=config.account, region=config.region),
            # The CDK's command checks the bootstrap stack itself; without the rule there is no parameter.
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )
        data = Data(self, config, names)
        Ingest(self, config, names, uploads=data.uploads.queue, builds=data.builds.queue)
        query = Query(self, config, names)
        Training(self, config, names)
        Observability(self, config, names, api_id=query.api.api.api_id)
