"""Storage: two buckets, their access logs, and the queues of changes."""

from __future__ import annotations

from aws_cdk import CfnResource, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.config import Config
from infra.constructs.bucket import private_bucket
from infra.constructs.queue import QueueWithDeadLetters
from infra.stacks.base import LookalikeStack
from infra.training_state_machine import JOBS_FOLDER

JOB_DAYS = 30
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")


class DataStack(LookalikeStack):
    """Buckets and queues are in one stack: each has to name the other."""

    def __init__(self, scope: Construct, config: Config) -> None:
        super().__init__(scope, "data", config, "lookalike: images, what is made of them, and queues")
        self.access_logs = self._access_logs()
        self.artifacts = self._artifacts()
        self.uploads = QueueWithDeadLetters(
            self,
            "Uploads",
            name=self.names.uploads,
            dead_name=self.names.uploads_dead,
            function_seconds=config.functions["ingest"].timeout_seconds,
            window_seconds=config.ingest.window_seconds,
            max_receives=config.ingest.max_receives,
        )
        self.builds = QueueWithDeadLetters(
            self,
            "Builds",
            name=self.names.builds,
            dead_name=self.names.builds_dead,
            function_seconds=config.functions["builder"].timeout_seconds,
        )
        self.images = self._images()
        self._notify()
        self._outputs()

    def _access_logs(self) -> s3.Bucket:
        return private_bucket(
            self,
            "AccessLogs",
            name=self.names.access_logs,
            removal=self.removal,
            lifecycle=[s3.LifecycleRule(id="old-logs", expiration=Duration.days(self.config.retention_days))],
        )

    def _artifacts(self) -> s3.Bucket:
        # Not versioned: tables and snapshots are immutable files under new names, and delete markers would
        # slow the listings by which Lance finds a table's latest version.
        return private_bucket(
            self,
            "Artifacts",
            name=self.names.artifacts,
            removal=self.removal,
            access_logs=self.access_logs,
            lifecycle=[
                s3.LifecycleRule(
                    id="training-jobs", prefix=f"{JOBS_FOLDER}/", expiration=Duration.days(JOB_DAYS)
                )
            ],
        )

    def _images(self) -> s3.Bucket:
        replaced = s3.LifecycleRule(
            id="replaced-pictures",
            noncurrent_version_expiration=Duration.days(self.config.noncurrent_days),
            expired_object_delete_marker=True,
        )
        browsers = s3.CorsRule(
            allowed_origins=list(self.config.origins),
            allowed_methods=[s3.HttpMethods.GET, s3.HttpMethods.HEAD, s3.HttpMethods.PUT],
            allowed_headers=["content-type"],
            exposed_headers=["etag"],
            max_age=3_600,
        )
        return private_bucket(
            self,
            "Images",
            name=self.names.images,
            removal=self.removal,
            access_logs=self.access_logs,
            versioned=True,
            lifecycle=[replaced],
            cors=[browsers] if self.config.origins else [],
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
                    "StringEquals": {"aws:SourceAccount": self.account},
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
        self.output("ImagesBucket", self.images.bucket_name, "Upload to <collection>/images/ in here")
        self.output("ArtifactsBucket", self.artifacts.bucket_name, "Encoders, catalogues, snapshots")
        self.output("UploadsQueueUrl", self.uploads.queue.queue_url, "What changed in the images bucket")
        self.output("UploadsDeadQueueUrl", self.uploads.dead.queue_url, "Changes that could not be taken in")
        self.output("BuildsQueueUrl", self.builds.queue.queue_url, "Collections that want a snapshot")
        self.output("BuildsDeadQueueUrl", self.builds.dead.queue_url, "Builds that failed again and again")
