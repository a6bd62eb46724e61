"""Private, encrypted buckets that are spoken to over TLS only."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

INCOMPLETE_UPLOAD_DAYS = 2


def private_bucket(
    scope: Construct,
    id_: str,
    *,
    name: str,
    removal: RemovalPolicy,
    lifecycle: Sequence[s3.LifecycleRule],
    access_logs: s3.IBucket | None = None,
    versioned: bool = False,
    cors: Sequence[s3.CorsRule] = (),
) -> s3.Bucket:
    """A bucket that nobody outside the account reaches without a signature.

    It is encrypted with S3's own keys and not with KMS: every object is encrypted either way, but a KMS key
    costs money while nothing happens, a call for every object, and a permission more for every role.

    Args:
        scope: where it belongs.
        id_: its name there.
        name: its name in the world.
        removal: what happens to it when its stack goes.
        lifecycle: besides the end of uploads that were not finished.
        access_logs: bucket that keeps who asked for what; None only for that bucket itself.
        versioned: keeps what was overwritten or deleted.
        cors: which web pages may speak to it.
    """
    unfinished = s3.LifecycleRule(
        id="unfinished-uploads",
        abort_incomplete_multipart_upload_after=Duration.days(INCOMPLETE_UPLOAD_DAYS),
    )
    return s3.Bucket(
        scope,
        id_,
        bucket_name=name,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        versioned=versioned,
        lifecycle_rules=[unfinished, *lifecycle],
        cors=list(cors),
        server_access_logs_bucket=access_logs,
        server_access_logs_prefix=f"{id_.lower()}/" if access_logs else None,
        removal_policy=removal,
    )
