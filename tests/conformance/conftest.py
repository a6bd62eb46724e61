"""Stores of both kinds: in a folder, and in a bucket of an S3 server (moto) on this machine."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from lookalike.storage import Store


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
