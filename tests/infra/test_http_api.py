"""The HTTP API: who gets through, how often, from which pages, and what is written down of it."""

from __future__ import annotations

import json

import pytest

from tests.aws_emulator.templates import EVERYTHING, PRODUCTION, Template, of_type, only, template, text

ROUTE = "AWS::ApiGatewayV2::Route"


def routes(query: Template) -> dict[str, Template]:
    return {each["Properties"]["RouteKey"]: each["Properties"] for each in of_type(query, ROUTE).values()}


@pytest.fixture(scope="module")
def plain() -> Template:
    return template()


def test_api_keys_are_the_application_s_affair(plain: Template) -> None:
    assert {key: each["AuthorizationType"] for key, each in routes(plain).items()} == {
        "GET /health": "NONE",
        "$default": "NONE",
    }
    assert of_type(plain, "AWS::ApiGatewayV2::Authorizer") == {}


def test_iam() -> None:
    query = template(*EVERYTHING)
    assert {key: each["AuthorizationType"] for key, each in routes(query).items()} == {
        "GET /health": "NONE",
        "$default": "AWS_IAM",
        # A browser asks beforehand whether it may, and shows no credentials then.
        "OPTIONS /{proxy+}": "NONE",
    }


def test_jwt() -> None:
    query = template(*PRODUCTION)
    found = routes(query)
    assert {key: each["AuthorizationType"] for key, each in found.items()} == {
        "GET /health": "NONE",
        "$default": "JWT",
    }
    (authorizer,) = of_type(query, "AWS::ApiGatewayV2::Authorizer")
    assert text(found["$default"]["AuthorizerId"]) == f"<{authorizer}>"
    properties = only(query, "AWS::ApiGatewayV2::Authorizer")
    assert properties["JwtConfiguration"] == {"Audience": ["shop"], "Issuer": "https://login.test"}
    assert properties["IdentitySource"] == ["$request.header.Authorization"]


def test_the_stage_throttles_and_logs(plain: Template) -> None:
    stage = only(plain, "AWS::ApiGatewayV2::Stage")
    assert stage["StageName"] == "$default"
    assert stage["DefaultRouteSettings"] == {
        "ThrottlingBurstLimit": 100,
        "ThrottlingRateLimit": 50,
    }  # and no detailed metrics: each costs $0.30 a month
    said = json.loads(stage["AccessLogSettings"]["Format"])
    assert said["requestId"] == "$context.requestId"
    assert "status" in said
    assert not [each for each in said.values() if "authorization" in each.lower()]
    group = text(stage["AccessLogSettings"]["DestinationArn"]).strip("<>").partition(".")[0]
    assert plain["Resources"][group]["Properties"]["RetentionInDays"] == 30


def test_browsers_may_ask_from_the_chosen_pages_only(plain: Template) -> None:
    assert "CorsConfiguration" not in only(plain, "AWS::ApiGatewayV2::Api")
    cors = only(template(*EVERYTHING), "AWS::ApiGatewayV2::Api")["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["https://shop.test"]
    assert set(cors["AllowMethods"]) == {"GET", "PUT", "POST", "DELETE"}
    assert set(cors["AllowHeaders"]) == {"authorization", "content-type"}


def test_api_gateway_may_call_the_query_function_and_nobody_else(plain: Template) -> None:
    for permission in of_type(plain, "AWS::Lambda::Permission").values():
        properties = permission["Properties"]
        assert properties["Principal"] == "apigateway.amazonaws.com"
        assert text(properties["FunctionName"]).startswith("<EndpointQueryFunction")
        source = text(properties["SourceArn"])
        assert source.startswith("arn:aws:execute-api:us-east-1:123456789012:<EndpointApiHttp")


def test_requests_come_in_the_newer_format(plain: Template) -> None:
    integration = only(plain, "AWS::ApiGatewayV2::Integration")
    assert integration["PayloadFormatVersion"] == "2.0"
    assert integration["IntegrationType"] == "AWS_PROXY"
