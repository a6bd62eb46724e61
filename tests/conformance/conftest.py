"""The two places that a store can be: a folder, and a bucket on a real S3 server (moto) of this machine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.s3_server import s3_server

from lookalike.storage import Store


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of an S3 server that lives as long as the tests."""
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield endpoint


@pytest.fixture
def s3_bucket(s3_endpoint: str) -> str:
    """Name of a new bucket."""
    import boto3

    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    return bucket


@pytest.fixture
def s3_store(s3_endpoint: str, s3_bucket: str) -> Store:
    """An empty store below a prefix of a new bucket."""
    return Store(f"s3://{s3_bucket}/some/prefix", s3_endpoint=s3_endpoint)


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store, once as a folder, once on S3."""
    if request.param == "folder":
        return Store(str(tmp_path / "store"))
    found = request.getfixturevalue("s3_store")
    assert isinstance(found, Store)
    return found
