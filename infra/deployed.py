"""Names of an existing deployment, and access to its buckets from this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.config import Config
from infra.names import PREFIX
from lookalike.errors import NotFound, StoreUnavailable
from lookalike.settings import Settings


@dataclass(frozen=True)
class Deployed:
    """Outputs of the stack."""

    images: str
    artifacts: str
    region: str
    status: str

    @classmethod
    def find(cls, config: Config) -> Deployed:
        """Read the outputs from CloudFormation.

        Raises:
            NotFound: nothing of this stage is deployed in this account and region.
            StoreUnavailable: AWS could not be reached: no credentials, no region, no network.
        """
        stack = f"{PREFIX}-{config.stage}"
        try:
            client = boto3.client("cloudformation", region_name=config.region)
            described = client.describe_stacks(StackName=stack)["Stacks"][0]
            region = client.meta.region_name
        except ClientError as error:
            if "does not exist" in str(error):
                raise NotFound("this is not deployed", got=stack, fix="Run `make deploy` first.") from error
            raise _unavailable(error) from error
        except BotoCoreError as error:
            raise _unavailable(error) from error
        outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
        if missing := {"ImagesBucket", "ArtifactsBucket"} - set(outputs):
            raise NotFound(
                "the deployment is not complete",
                got=f"{stack} is {described['StackStatus']} and has no {' and no '.join(sorted(missing))}",
                fix="Run `make deploy` again.",
            )
        return cls(outputs["ImagesBucket"], outputs["ArtifactsBucket"], region, str(described["StackStatus"]))

    def settings(self) -> Settings:
        """Settings for the library to use these buckets."""
        return Settings.from_env(
            os.environ,
            images=f"s3://{self.images}",
            artifacts=f"s3://{self.artifacts}",
            s3_region=self.region,
        )

    def exports(self) -> str:
        """Lines for a shell, so that the `lookalike` command uses these buckets."""
        return (
            f"export LOOKALIKE_IMAGES=s3://{self.images}\n"
            f"export LOOKALIKE_ARTIFACTS=s3://{self.artifacts}\n"
            f"export LOOKALIKE_S3_REGION={self.region}\n"
        )


def hand_on_credentials(session: Any = None) -> None:
    """Put boto3's credentials (of a profile, of single sign-on) where the object store looks for them.

    Raises:
        StoreUnavailable: there are none.
    """
    found = (session or boto3.Session()).get_credentials()
    if found is None:
        raise StoreUnavailable("there are no AWS credentials", fix="Run `aws configure`, or set AWS_PROFILE.")
    frozen = found.get_frozen_credentials()
    os.environ["AWS_ACCESS_KEY_ID"] = frozen.access_key
    os.environ["AWS_SECRET_ACCESS_KEY"] = frozen.secret_key
    if frozen.token:
        os.environ["AWS_SESSION_TOKEN"] = frozen.token


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable("AWS could not be reached", got=str(error), fix="Check credentials and region.")
