"""Seeding and taking down what stands, against a server that answers as AWS does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from fixtures.classes import draw_shape

from lookalike.collection_config import Collections
from lookalike.encoders import Encoders
from lookalike.storage import Store
from tests.aws_emulator.moto_server import moto_server
from tests.aws_emulator.templates import REGION, REPOSITORY, STACK, Template, template

pytestmark = pytest.mark.filterwarnings(
    "ignore:Tried to parse"
)  # moto knows no policies of buckets and queues

BUCKETS = [f"lookalike-dev-{role}-123456789012-us-east-1" for role in ("images", "artifacts", "access-logs")]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def cloud(server: str) -> str:
    """URL of a server on which the buckets and queues were deployed from the template."""
    httpx.post(f"{server}/moto-api/reset").raise_for_status()
    client("cloudformation", server).create_stack(
        StackName=STACK, TemplateBody=json.dumps(_buckets_and_queues())
    )
    return server


def _buckets_and_queues() -> Template:
    """What moto's CloudFormation knows of the template, and the outputs about it."""
    made = template()
    kinds = ("AWS::S3::Bucket", "AWS::SQS::Queue")
    resources = {name: each for name, each in made["Resources"].items() if each["Type"] in kinds}
    resources = {
        name: {key: value for key, value in each.items() if key != "DependsOn"}
        for name, each in resources.items()
    }
    outputs = {name: each for name, each in made["Outputs"].items() if each["Value"].get("Ref") in resources}
    return {"Resources": resources, "Outputs": outputs}


def client(service: str, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def run(
    module: str, url: str, *arguments: str, told: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOOKALIKE_"))}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        env={
            **kept,
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": url,
            "LOOKALIKE_S3_ENDPOINT": url,
            "AWS_EC2_METADATA_DISABLED": "true",
            **environment,
        },
        input=told,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def artifacts(url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return Store(f"s3://{BUCKETS[1]}", s3_endpoint=url, s3_region=REGION)


def test_seeding_twice_is_seeding_once(
    cloud: str, default_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = artifacts(cloud, monkeypatch)
    encoder = Encoders(store).add(default_encoder_folder)
    collections = '{"shop": {}, "food": {"encoder": "efficientnet-lite0", "metric": "l2"}}'
    for again in (False, True):
        ran = run("infra.seed", cloud, "-c", f"collections={collections}")
        assert ran.returncode == 0, ran.stderr
        assert ("exists already" in ran.stderr) is again
        assert ran.stdout.splitlines() == [
            f"export LOOKALIKE_IMAGES=s3://{BUCKETS[0]}",
            f"export LOOKALIKE_ARTIFACTS=s3://{BUCKETS[1]}",
            "export LOOKALIKE_S3_REGION=us-east-1",
        ]
        made = {name: Collections(store).get(name) for name in Collections(store).names()}
        assert {name: (each.encoder_id, each.metric) for name, each in made.items()} == {
            "shop": (encoder.id, "cosine"),
            "food": (encoder.id, "l2"),
        }


def test_the_lookalike_command_works_on_what_was_seeded(
    cloud: str, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of the deploy guide and of the runbook."""
    encoder = Encoders(artifacts(cloud, monkeypatch)).add(tiny_encoder_folder)
    seeded = run("infra.seed", cloud, "-c", 'collections={"shop": {}}')
    assert seeded.returncode == 0, seeded.stderr
    exported = dict(line.removeprefix("export ").split("=") for line in seeded.stdout.splitlines())
    for number in range(12):
        picture = draw_shape("disc", str(number))
        packed = io.BytesIO()
        picture.save(packed, "JPEG")
        client("s3", cloud).put_object(
            Bucket=BUCKETS[0], Key=f"shop/images/discs/{number}.jpg", Body=packed.getvalue()
        )

    def lookalike(*words: str) -> dict[str, Any]:
        ran = run("lookalike.cli", cloud, *words, "--json", **exported)
        assert ran.returncode == 0, ran.stderr
        answer: dict[str, Any] = json.loads(ran.stdout)
        return answer

    assert lookalike("keys", "create", "laptop")["scopes"] == ["read", "write"]
    assert [key["name"] for key in lookalike("keys", "list")["keys"]] == ["laptop"]
    lookalike("reconcile")
    built = lookalike("snapshot", "build", "--collection", "shop")
    assert encoder.id in json.dumps(built)
    found = lookalike("search", "--id", "discs/1.jpg", "--collection", "shop", "-k", "3")
    assert len(found["results"]) == 3


def test_an_encoder_that_is_not_there(
    cloud: str, default_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Encoders(artifacts(cloud, monkeypatch)).add(default_encoder_folder)
    ran = run("infra.seed", cloud, "-c", 'collections={"shop": {"encoder": "resnet"}}')
    assert ran.returncode == 1
    assert "no such encoder; got 'resnet'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_is_not_deployed_cannot_be_seeded(cloud: str) -> None:
    ran = run("infra.seed", cloud, "-c", "stage=prod")
    assert ran.returncode == 1
    assert ran.stderr == "this is not deployed; got lookalike-prod. Run `make deploy` first.\n"


def test_without_credentials_nothing_is_tried_for_long(cloud: str, tmp_path: Path) -> None:
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}
    ran = run("infra.seed", cloud, **nothing)
    assert ran.returncode == 1
    assert "AWS could not be reached" in ran.stderr
    assert "Traceback" not in ran.stderr


def fill(url: str) -> None:
    s3 = client("s3", url)
    s3.put_bucket_versioning(Bucket=BUCKETS[0], VersioningConfiguration={"Status": "Enabled"})
    for bucket in BUCKETS:
        for body in (b"one", b"two"):
            s3.put_object(Bucket=bucket, Key="shop/images/1.jpg", Body=body)
    s3.delete_object(Bucket=BUCKETS[0], Key="shop/images/1.jpg")


def deliver_logs(url: str) -> None:
    """Log every request to the first two buckets in the third, as the template says; moto does so at once."""
    s3 = client("s3", url)
    s3.put_bucket_acl(Bucket=BUCKETS[2], ACL="log-delivery-write")
    for bucket in BUCKETS[:2]:
        target = {"TargetBucket": BUCKETS[2], "TargetPrefix": f"{bucket}/"}
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": target})


def contents(url: str) -> list[int]:
    s3 = client("s3", url)
    found = [s3.list_object_versions(Bucket=bucket) for bucket in BUCKETS]
    return [len(each.get("Versions", [])) + len(each.get("DeleteMarkers", [])) for each in found]


def test_taking_down_leaves_data_alone(cloud: str) -> None:
    fill(cloud)
    ran = run("infra.teardown", cloud, told="dev\n")
    assert ran.returncode == 0, ran.stderr
    assert "stay, and a later `make deploy` takes them over" in ran.stderr
    assert contents(cloud) == [3, 1, 1]


def test_data_goes_only_if_somebody_chose_and_agrees(cloud: str) -> None:
    fill(cloud)
    refused = run("infra.teardown", cloud, "-c", "removal=destroy", told="yes\n")
    assert refused.returncode == 1
    assert "nothing was deleted; got 'yes'; expected dev" in refused.stderr
    assert contents(cloud) == [3, 1, 1]
    deliver_logs(cloud)
    agreed = run("infra.teardown", cloud, "-c", "removal=destroy", told="dev\n")
    assert agreed.returncode == 0, agreed.stderr
    for bucket in BUCKETS:
        assert bucket in agreed.stderr
    assert contents(cloud) == [0, 0, 0]
    # Logs of these very requests would have come into the bucket that is to be deleted.
    for bucket in BUCKETS[:2]:
        assert "LoggingEnabled" not in client("s3", cloud).get_bucket_logging(Bucket=bucket)


def test_emptying_again_is_for_a_deletion_that_failed(cloud: str) -> None:
    """`make destroy` does this without asking, because a log arrived after its bucket was emptied."""
    fill(cloud)
    refused = run("infra.teardown", cloud, "-c", "removal=destroy", "--again")
    assert refused.returncode == 1
    assert "got CREATE_COMPLETE; expected DELETE_FAILED" in refused.stderr
    assert contents(cloud) == [3, 1, 1]


def test_what_is_not_there_needs_no_emptying(cloud: str) -> None:
    ran = run("infra.teardown", cloud, "-c", "stage=prod", "-c", "removal=destroy")
    assert ran.returncode == 0
    assert "there is nothing to empty" in ran.stderr
