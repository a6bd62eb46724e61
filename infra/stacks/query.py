"""The endpoint: an HTTP API in front of the query function."""

from __future__ import annotations

from constructs import Construct

from infra.config import Config
from infra.constructs.function import ImageFunction
from infra.constructs.http_api import QueryApi
from infra.constructs.log_group import log_group
from infra.stacks.base import LookalikeStack


class QueryStack(LookalikeStack):
    """The query function and its API."""

    def __init__(self, scope: Construct, config: Config) -> None:
        super().__init__(scope, "query", config, "lookalike: the HTTP API")
        self.query = ImageFunction(self, "query", config, self.names)
        self.api = QueryApi(
            self,
            config,
            name=self.names.prefix,
            function=self.query.function,
            log=log_group(self, "AccessLog", f"/aws/apigateway/{self.names.prefix}", config),
        )
        self.output("ApiUrl", self.api.api.api_endpoint, "The HTTP API; /openapi.json describes it")
        self.output("ApiId", self.api.api.api_id, "The HTTP API's id in its metrics")
        self.output("QueryFunction", self.query.function.function_name, "Answers the HTTP API")
