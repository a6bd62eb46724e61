"""The endpoint: an HTTP API in front of the query function."""

from __future__ import annotations

from constructs import Construct

from infra.config import Config
from infra.constructs.function import ImageFunction
from infra.constructs.http_api import QueryApi
from infra.constructs.log_group import log_group
from infra.constructs.output import output
from infra.names import Names


class Query(Construct):
    """The query function and its API."""

    def __init__(self, scope: Construct, config: Config, names: Names) -> None:
        super().__init__(scope, "Endpoint")
        self.query = ImageFunction(self, "query", config, names)
        self.api = QueryApi(
            self,
            config,
            name=names.prefix,
            function=self.query.function,
            log=log_group(self, "AccessLog", f"/aws/apigateway/{names.prefix}", config),
        )
        output(self, "ApiUrl", self.api.api.api_endpoint, "The HTTP API; /openapi.json describes it")
        output(self, "ApiId", self.api.api.api_id, "The HTTP API's id in its metrics")
        output(self, "QueryFunction", self.query.function.function_name, "Answers the HTTP API")
