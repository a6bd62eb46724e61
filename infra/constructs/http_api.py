"""The HTTP API in front of the query function: who may call, how often, from where, and what is logged."""

from __future__ import annotations

import json

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as api
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.config import Auth, Config
from infra.constructs.acknowledge import acknowledge

METHODS = ("GET", "PUT", "POST", "DELETE")
ACCESS_LOG = {
    "requestId": "$context.requestId",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "responseBytes": "$context.responseLength",
    "latencyMs": "$context.responseLatency",
    "integrationError": "$context.integrationErrorMessage",
    "authorizerError": "$context.authorizer.error",
    "userAgent": "$context.identity.userAgent",
}


class QueryApi(Construct):
    """`api` and its one `stage`."""

    def __init__(
        self, scope: Construct, config: Config, *, name: str, function: lambda_.IFunction, log: logs.LogGroup
    ) -> None:
        super().__init__(scope, "Api")
        self.api = api.HttpApi(
            self,
            "Http",
            api_name=name,
            description="Find similar images",
            create_default_stage=False,
            cors_preflight=_cors(config),
        )
        self.stage = api.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            stage_name="$default",
            auto_deploy=True,
            throttle=api.ThrottleSettings(
                rate_limit=config.throttling.rate, burst_limit=config.throttling.burst
            ),
        )
        _log_as_json(self.stage, log)
        self._routes(config, function)

    def _routes(self, config: Config, function: lambda_.IFunction) -> None:
        integration = integrations.HttpLambdaIntegration("Query", function)
        authorizer = _authorizer(config.auth)
        open_ = api.HttpNoneAuthorizer()
        for route in self.api.add_routes(
            path="/health", methods=[api.HttpMethod.GET], integration=integration, authorizer=open_
        ):
            acknowledge(
                route, "APIG4", "Load balancers and monitors call /health; it reveals nothing about the data."
            )
        default = api.HttpRoute(
            self,
            "Default",
            http_api=self.api,
            route_key=api.HttpRouteKey.DEFAULT,
            integration=integration,
            authorizer=authorizer or open_,
        )
        if authorizer is None:
            why = "The application itself requires an API key with the right scope"
            acknowledge(default, "APIG4", f"{why}; only /health and /openapi.json are open.")
        if authorizer and config.origins:
            self._preflight(integration)

    def _preflight(self, integration: integrations.HttpLambdaIntegration) -> None:
        """Browsers send preflight requests without credentials; the default route would answer them with
        401."""
        for route in self.api.add_routes(
            path="/{proxy+}",
            methods=[api.HttpMethod.OPTIONS],
            integration=integration,
            authorizer=api.HttpNoneAuthorizer(),
        ):
            acknowledge(route, "APIG4", "A preflight carries no credentials; API Gateway itself answers it.")


def _authorizer(auth: Auth) -> api.IHttpRouteAuthorizer | None:
    """The authorizer of API Gateway; None: open, because the application checks API keys."""
    if auth.mode == "jwt":
        assert auth.issuer
        return authorizers.HttpJwtAuthorizer("Jwt", auth.issuer, jwt_audience=list(auth.audience))
    return authorizers.HttpIamAuthorizer() if auth.mode == "iam" else None


def _cors(config: Config) -> api.CorsPreflightOptions | None:
    if not config.origins:
        return None
    return api.CorsPreflightOptions(
        allow_origins=list(config.origins),
        allow_methods=[api.CorsHttpMethod[method] for method in METHODS],
        allow_headers=["authorization", "content-type"],
        expose_headers=["location", "retry-after", "x-request-id"],
        max_age=Duration.hours(1),
    )


def _log_as_json(stage: api.HttpStage, log: logs.LogGroup) -> None:
    resource = stage.node.default_child
    assert isinstance(resource, api.CfnStage)
    resource.access_log_settings = api.CfnStage.AccessLogSettingsProperty(
        destination_arn=log.log_group_arn, format=json.dumps(ACCESS_LOG)
    )
