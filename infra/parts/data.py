"""Storage: two buckets, their access logs, and the queues of changes."""

from __future__ import annotations

from aws_cdk import CfnResource, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.config import Config
from infra.constructs.bucket import private_bucket
from infra.constructs.output import output
from infra.constructs.queue import QueueWithDeadLetters
from infra.names import Names
from infra.training_state_machine import JOBS_FOLDER
from lookalike.layout import TRASH_DAYS, TRASH_FOLDER

JOB_DAYS = 30
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")


class Data(Construct):
    """The buckets `images`, `artifacts` and `access_logs`, and the queues `uploads` and `builds`."""

    def __init__(self, scope: Construct, config: Config, names: Names) -> None:
        super().__init__(scope, "Data")
        self.config = config
        self.names = names
        self.access_logs = self._access_logs()
        self.artifacts = self._artifacts()
        self.uploads = QueueWithDeadLetters(
            self,
            "Uploads",
            name=names.uploads,
            dead_name=names.uploads_dead,
            function_seconds=config.functions["ingest"].timeout_seconds,
            window_seconds=config.ingest.window_seconds,
            max_receives=config.ingest.max_receives,
        )
        self.builds = QueueWithDeadLetters(
            self,
            "Builds",
            name=names.builds,
            dead_name=names.builds_dead,
            function_seconds=config.functions["builder"].timeout_seconds,
            max_receives=config.ingest.max_receives,
        )
        self.images = self._images()
        self._notify()
        self._outputs()

    @property
    def _removal(self) -> RemovalPolicy:
        """What happens to the buckets when the stack is deleted.

        A first deployment that fails deletes its empty buckets in both cases, so that the next one can create
        them again; a kept bucket can be imported (`cdk deploy --import-existing-resources`).
        """
        keep = self.config.removal == "retain"
        return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if keep else RemovalPolicy.DESTROY

    def _access_logs(self) -> s3.Bucket:
        return private_bucket(
            self,
            "AccessLogs",
            name=self.names.access_logs,
            removal=self._removal,
            lifecycle=[s3.LifecycleRule(id="old-logs", expiration=Duration.days(self.config.retention_days))],
        )

    def _artifacts(self) -> s3.Bucket:
        # Not versioned: tables and snapshots are immutable files under new names, and delete markers would
        # slow the listings by which Lance finds a table's latest version.
        return private_bucket(
            self,
            "Artifacts",
            name=self.names.artifacts,
            removal=self._removal,
            access_logs=self.access_logs,
            lifecycle=[
                s3.LifecycleRule(
                    id="training-jobs", prefix=f"{JOBS_FOLDER}/", expiration=Duration.days(JOB_DAYS)
                ),
                s3.LifecycleRule(id="trash", prefix=f"{TRASH_FOLDER}/", expiration=Duration.days(TRASH_DAYS)),
            ],
        )

    def _images(self) -> s3.Bucket:
        replaced = s3.LifecycleRule(
            id="replaced-images",
            noncurrent_version_expiration=Duration.days(self.config.noncurrent_days),
            expired_object_delete_marker=True,
        )
        # No image is so large: these are the zip files of trainings. A rule cannot name their folders,
        # because the name of a collection comes first.
        zips = s3.LifecycleRule(
            id="deleted-zips",
            object_size_greater_than=self.config.limits.max_image_bytes,
            noncurrent_version_expiration=Duration.days(1),
        )
        bucket = private_bucket(
            self,
            "Images",
            name=self.names.images,
            removal=self._removal,
            access_logs=self.access_logs,
            versioned=True,
            lifecycle=[replaced, zips],
            cors=[self._browsers()],
        )
        # CloudFormation's schema requires a string here; the CDK writes a number.
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        size = "LifecycleConfiguration.Rules.2.ObjectSizeGreaterThan"
        resource.add_property_override(size, str(self.config.limits.max_image_bytes))
        return bucket

    def _browsers(self) -> s3.CorsRule:
        """Pages that may use signed URLs: the API's own, and those of `origins`.

        The API's address is not known before it exists, so its place in the pattern is a `*`. A page needs a
        signed URL in any case.
        """
        own = f"https://*.execute-api.{self.names.region}.{self.names.dns_suffix}"
        return s3.CorsRule(
            allowed_origins=[own, *self.config.origins],
            allowed_methods=[s3.HttpMethods.GET, s3.HttpMethods.HEAD, s3.HttpMethods.PUT],
            allowed_headers=["content-type"],
            exposed_headers=["etag"],
            max_age=3_600,
        )

    def _notify(self) -> None:
        """The bucket's own property: the CDK's `add_event_notification` would add a function that sets it."""
        self.uploads.queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OnlyTheImagesBucketSends",
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.uploads.queue.queue_arn],
                conditions={
                    # By name, not by reference: bucket → policy → queue must not refer back to the bucket.
                    "ArnEquals": {"aws:SourceArn": self.names.bucket_arn(self.names.images)},
                    "StringEquals": {"aws:SourceAccount": self.names.account},
                },
            )
        )
        bucket = self.images.node.default_child
        policy = self.uploads.queue.node.find_child("Policy").node.default_child
        assert isinstance(bucket, s3.CfnBucket)
        assert isinstance(policy, CfnResource)
        queue = self.uploads.queue.queue_arn
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(event=event, queue=queue) for event in EVENTS
            ]
        )
        # S3 sends a test message when the notification is configured, so the permission must exist first.
        bucket.add_resource_dependency(policy)

    def _outputs(self) -> None:
        for name, value, description in (
            ("ImagesBucket", self.images.bucket_name, "Upload to <collection>/images/ in this bucket"),
            ("ArtifactsBucket", self.artifacts.bucket_name, "Encoders, catalogues, snapshots"),
            ("UploadsQueueUrl", self.uploads.queue.queue_url, "Changes in the images bucket"),
            ("UploadsDeadQueueUrl", self.uploads.dead.queue_url, "Changes that could not be ingested"),
            ("BuildsQueueUrl", self.builds.queue.queue_url, "Collections that need a snapshot"),
            ("BuildsDeadQueueUrl", self.builds.dead.queue_url, "Builds that failed repeatedly"),
        ):
            output(self, name, value, description)
