"""Private, encrypted buckets that accept TLS only."""

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
    """A bucket that is private to the account, except through signed URLs.

    It is encrypted with S3's own keys and not with KMS: every object is encrypted either way, but a KMS key
    costs money even when idle, one call per object, and one more permission per role.

    Args:
        scope: where it belongs.
        id_: its name there.
        name: its globally unique name.
        removal: what happens to it when its stack is deleted.
        lifecycle: rules in addition to the one that aborts unfinished uploads.
        access_logs: bucket for its access logs; None only for that bucket itself.
        versioned: keep overwritten and deleted objects.
        cors: web pages that may access it.
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
