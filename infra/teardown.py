"""Before `cdk destroy`: `python -m infra.teardown` lists what will be lost, asks for confirmation, stops the
access logs, and empties the buckets.

CloudFormation deletes only empty buckets. With `removal` set to `retain` it deletes no bucket at all, and
this command empties none.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import boto3

from infra.config import Config
from infra.context import read_context
from infra.deployed import Deployed
from infra.names import Names
from lookalike.errors import InvalidInput, LookalikeError, NotFound

FAILED = "DELETE_FAILED"
"""Status of a stack whose deletion met a bucket that was not empty."""


def buckets(config: Config, deployed: Deployed) -> list[str]:
    """The buckets of a deployment, the one that keeps access logs last: emptying the others fills it."""
    account = deployed.images.removesuffix(f"-{deployed.region}").rpartition("-")[2]
    logs = Names(config.stage, account, deployed.region, "aws").access_logs
    return [deployed.images, deployed.artifacts, logs]


def empty(s3: Any, bucket: str) -> int:
    """Delete every version of every object in `bucket`; returns how many there were."""
    count = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        doomed = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        if doomed:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": doomed, "Quiet": True})
        count += len(doomed)
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare a deployment for `cdk destroy`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.teardown", description=__doc__)
    parser.add_argument("-c", "--context", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--yes", metavar="STAGE", help="the stage's name, to skip the confirmation")
    parser.add_argument(
        "--again", action="store_true", help="after a `cdk destroy` that failed: empty without confirmation"
    )
    given = parser.parse_args(arguments)
    try:
        config = Config.from_context(read_context(os.environ, given.context))
        _teardown(config, confirmed=given.yes, again=given.again)
    except LookalikeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _teardown(config: Config, *, confirmed: str | None, again: bool) -> None:
    try:
        deployed = Deployed.find(config)
    except NotFound as error:
        _say(f"{error.problem}: there is nothing to empty.")
        return
    doomed = buckets(config, deployed)
    if config.removal == "retain":
        _say(f"removal is `retain`: {', '.join(doomed)} stay, and a later `make deploy` takes them over.")
        return
    if again and deployed.status != FAILED:
        raise InvalidInput("--again is for a deletion that failed", got=deployed.status, expected=FAILED)
    if not again:
        _confirm(config.stage, doomed, confirmed)
    s3 = boto3.client("s3", region_name=deployed.region)
    for bucket in doomed[:-1]:
        # S3 delivers a log up to hours after its request, and the stack can only delete an empty bucket.
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    for bucket in doomed:
        _say(f"{bucket}: {empty(s3, bucket)} deleted")


def _confirm(stage: str, doomed: Sequence[str], confirmed: str | None) -> None:
    """Ask for the name of the stage. Raises InvalidInput if the answer differs."""
    _say(f"This permanently deletes all images, encoders and catalogues: {', '.join(doomed)}.")
    if confirmed is None:
        _say(f"Type the stage ({stage}) to confirm:")
        confirmed = sys.stdin.readline().strip()
    if confirmed != stage:
        raise InvalidInput("nothing was deleted", got=repr(confirmed), expected=stage)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
