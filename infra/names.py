"""What everything is called, so that one stack can speak of what another holds with no export between them.

A name says the stage; a bucket's says account and region too, because its name is the world's. Names that are
known beforehand are also what lets `make deploy` take over buckets that `make destroy` left.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.config import Config, FunctionName

PREFIX = "lookalike"
STACKS = ("data", "ingest", "query", "training", "observability")
NAMESPACE = "Lookalike"
"""Of the metrics that the functions emit."""
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
        """The names that `config` leads to; what it leaves open CloudFormation fills in."""
        from aws_cdk import Aws

        account, region = config.account or Aws.ACCOUNT_ID, config.region or Aws.REGION
        return cls(config.stage, account, region, Aws.PARTITION, Aws.URL_SUFFIX)

    @property
    def prefix(self) -> str:
        """What every name starts with."""
        return f"{PREFIX}-{self.stage}"

    def stack(self, short: str) -> str:
        """A stack; `short` is one of `STACKS`."""
        return f"{self.prefix}-{short}"

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
        """The bucket that keeps who asked the other two for what."""
        return self._bucket("access-logs")

    def _bucket(self, role: str) -> str:
        return f"{self.prefix}-{role}-{self.account}-{self.region}"

    def bucket_arn(self, bucket: str, path: str = "") -> str:
        """A bucket, or the objects that `path` (with `*`) describes in it."""
        return f"arn:{self.partition}:s3:::{bucket}" + (f"/{path}" if path else "")

    # Queues

    @property
    def uploads(self) -> str:
        """What changed in the images bucket."""
        return f"{self.prefix}-uploads"

    @property
    def uploads_dead(self) -> str:
        """Changes that could not be taken in."""
        return f"{self.prefix}-uploads-dead"

    @property
    def builds(self) -> str:
        """Collections that want a new snapshot; one message group each."""
        return f"{self.prefix}-builds.fifo"

    @property
    def builds_dead(self) -> str:
        """Builds that failed again and again."""
        return f"{self.prefix}-builds-dead.fifo"

    def queue_url(self, queue: str) -> str:
        """Where to send messages to."""
        return f"https://sqs.{self.region}.{self.dns_suffix}/{self.account}/{queue}"

    # Functions, logs, the state machine

    def function(self, name: FunctionName) -> str:
        """One of the functions."""
        return f"{self.prefix}-{name}"

    def function_arn(self, name: FunctionName) -> str:
        """One of the functions, as others call it."""
        return self.arn("lambda", f"function:{self.function(name)}")

    def log_group(self, name: FunctionName) -> str:
        """Where a function logs."""
        return f"/aws/lambda/{self.function(name)}"

    @property
    def machine(self) -> str:
        """The state machine that trains."""
        return f"{self.prefix}-training"

    @property
    def machine_arn(self) -> str:
        """The state machine, as others start it."""
        return self.arn("states", f"stateMachine:{self.machine}")

    @property
    def training_jobs_arn(self) -> str:
        """The SageMaker jobs of this deployment."""
        return self.arn("sagemaker", f"training-job/{self.prefix}-*")

    def arn(self, service: str, resource: str) -> str:
        """Anything else of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"
