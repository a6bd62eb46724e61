"""Names of all resources, so that code and configuration can refer to them without looking them up.

A name includes the stage; a bucket's also includes account and region, because bucket names are global. Fixed
names also let `make deploy` reuse buckets that `make destroy` kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.config import Config, FunctionName

PREFIX = "lookalike"
NAMESPACE = "Lookalike"
"""Namespace of the metrics that the functions emit."""
SNAPSHOT_AGE = "SnapshotAgeSeconds"


@dataclass(frozen=True)
class Names:
    """Names and ARNs of one deployment. All but `stage` may be placeholders that CloudFormation fills in."""

    stage: str
    account: str
    region: str
    partition: str
    dns_suffix: str = "amazonaws.com"

    @classmethod
    def of(cls, config: Config) -> Names:
        """The names for `config`; CloudFormation fills in what it leaves open."""
        from aws_cdk import Aws

        account, region = config.account or Aws.ACCOUNT_ID, config.region or Aws.REGION
        return cls(config.stage, account, region, Aws.PARTITION, Aws.URL_SUFFIX)

    @property
    def prefix(self) -> str:
        """The prefix of every name."""
        return f"{PREFIX}-{self.stage}"

    @property
    def stack(self) -> str:
        """The stack."""
        return self.prefix

    # Buckets

    @property
    def images(self) -> str:
        """The bucket that users upload to."""
        return self._bucket("images")

    @property
    def artifacts(self) -> str:
        """The bucket that the system writes to."""
        return self._bucket("artifacts")

    @property
    def access_logs(self) -> str:
        """The bucket for the access logs of the other two."""
        return self._bucket("access-logs")

    def _bucket(self, role: str) -> str:
        return f"{self.prefix}-{role}-{self.account}-{self.region}"

    def bucket_arn(self, bucket: str, path: str = "") -> str:
        """A bucket, or the objects that `path` (with `*`) describes in it."""
        return f"arn:{self.partition}:s3:::{bucket}" + (f"/{path}" if path else "")

    # Queues

    @property
    def uploads(self) -> str:
        """The queue of changes in the images bucket."""
        return f"{self.prefix}-uploads"

    @property
    def uploads_dead(self) -> str:
        """The queue of changes that could not be ingested."""
        return f"{self.prefix}-uploads-dead"

    @property
    def builds(self) -> str:
        """The queue of collections that need a new snapshot; one message group each."""
        return f"{self.prefix}-builds.fifo"

    @property
    def builds_dead(self) -> str:
        """The queue of builds that failed repeatedly."""
        return f"{self.prefix}-builds-dead.fifo"

    def queue_url(self, queue: str) -> str:
        """The URL of a queue."""
        return f"https://sqs.{self.region}.{self.dns_suffix}/{self.account}/{queue}"

    # Functions, logs, the state machine

    def function(self, name: FunctionName) -> str:
        """One of the functions."""
        return f"{self.prefix}-{name}"

    def function_arn(self, name: FunctionName) -> str:
        """The ARN of a function."""
        return self.arn("lambda", f"function:{self.function(name)}")

    def log_group(self, name: FunctionName) -> str:
        """The log group of a function."""
        return f"/aws/lambda/{self.function(name)}"

    @property
    def machine(self) -> str:
        """The state machine of trainings."""
        return f"{self.prefix}-training"

    @property
    def machine_arn(self) -> str:
        """The ARN of the state machine."""
        return self.arn("states", f"stateMachine:{self.machine}")

    @property
    def training_jobs_arn(self) -> str:
        """The SageMaker jobs of this deployment."""
        return self.arn("sagemaker", f"training-job/{self.prefix}-*")

    def arn(self, service: str, resource: str) -> str:
        """Anything else of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"
