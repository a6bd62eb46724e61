"""Each documented configuration, deployed to the emulator: seeded, filled, searched, and taken down."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lookalike.collection_config import Collections
from lookalike.encoders import Encoders
from lookalike.storage import Store
from tests.aws_emulator import api_gateway
from tests.aws_emulator.cloud_collection import picture
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.event_source_mapping import batch_of
from tests.aws_emulator.templates import EVERYTHING, PRODUCTION_SHOP, REPOSITORY

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Configuration:
    """Options of a deployment, and what they must lead to.

    Attributes:
        options: of the CDK's context.
        stage: that they name.
        collections: name and metric of those that seeding makes.
        architecture: of all functions.
        caller: what the gateway's authorizer says of a caller that may read.
        emptied: whether taking it down deletes the data.
    """

    options: Sequence[str]
    stage: str
    collections: Mapping[str, str]
    architecture: str
    caller: Mapping[str, Any]
    emptied: bool


CONFIGURATIONS = {
    "arm64, iam, destroy, e-mail, two collections": Configuration(
        EVERYTHING,
        stage="dev",
        collections={"shoes": "cosine", "hats": "l2"},
        architecture="arm64",
        caller={"iam": {"userArn": "arn:aws:iam::123456789012:user/ann"}},
        emptied=True,
    ),
    "jwt, stage prod": Configuration(
        PRODUCTION_SHOP,
        stage="prod",
        collections={"shop": "cosine"},
        architecture="x86_64",
        caller={"jwt": {"claims": {"iss": "https://login.test", "scope": "read"}, "scopes": None}},
        emptied=False,
    ),
}


def command(made: Cloud, module: str, options: Sequence[str], typed: str = "") -> None:
    """Run a command of `infra` on a deployment, as `make` does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOOKALIKE_"))}
    words = [word for option in options for word in ("-c", option)]
    ran = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=REPOSITORY,
        env={**kept, **made.access},
        input=typed,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def versions(made: Cloud, bucket: str) -> int:
    found = made.s3.list_object_versions(Bucket=bucket)
    return len(found.get("Versions", [])) + len(found.get("DeleteMarkers", []))


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_configuration_is_deployed_used_and_taken_down(
    configuration: Configuration, default_encoder_folder: Path
) -> None:
    with cloud(*configuration.options, refresh_seconds=0.1, stage=configuration.stage) as made:
        # moto does not keep the architecture.
        wanted = made.resources("AWS::Lambda::Function")
        assert [each["Architectures"] for each in wanted] == [[configuration.architecture]] * len(wanted)
        deployed = made.client("lambda").list_functions()["Functions"]
        assert {each["FunctionName"] for each in deployed} == {each["FunctionName"] for each in wanted}

        artifacts = Store.artifacts(made.settings())
        Encoders(artifacts).add(default_encoder_folder)
        command(made, "infra.seed", configuration.options)
        collections = Collections(artifacts)
        assert {name: collections.get(name).metric for name in collections.names()} == (
            configuration.collections
        )

        for collection in configuration.collections:
            for number in range(3):
                made.put(f"{collection}/images/{number}.jpg", picture(number))
        with made.process("ingest") as ingest, made.process("query") as query:
            assert ingest.invoke(batch_of(made.bodies("uploads"))) == {"batchItemFailures": []}
            for collection in configuration.collections:
                path, content = f"/collections/{collection}/search", {"id": "0.jpg"}
                stranger = query.invoke(api_gateway.json_request("POST", path, content))
                assert stranger["statusCode"] == 401
                event = api_gateway.json_request("POST", path, content, authorizer=configuration.caller)
                found = api_gateway.json_of(query.invoke(event))
                assert sorted(match["id"] for match in found["results"]) == ["1.jpg", "2.jpg"]

        command(made, "infra.teardown", configuration.options, f"{configuration.stage}\n")
        left = [versions(made, bucket) for bucket in (made.images, made.artifacts)]
        assert (left == [0, 0]) is configuration.emptied
