"""What can be known about an account before a deployment: its limits, and a deployment by an older version.

Read with boto3's credentials, if there are any. What cannot be read is not reported: a deployment must not
need these rights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from infra.config import Config
from infra.names import PREFIX
from infra.parts.ingest import BUILDS_AT_ONCE

QUICK = ClientConfig(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
QUERIES_AT_ONCE = 10
"""Fewer executions than this, left for queries while images are ingested, deserve a warning."""
LAMBDA_QUOTA = "https://console.aws.amazon.com/servicequotas/home/services/lambda/quotas/L-B99A9384"
SAGEMAKER_QUOTAS = "https://console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas"


@dataclass(frozen=True)
class Finding:
    """A finding before a deployment; `fatal`: the deployment must not continue. `id` names the kind."""

    id: str
    text: str
    fatal: bool = False


def findings(config: Config) -> list[Finding]:
    """Check the account of boto3's credentials. Takes seconds, and never raises for what cannot be read."""
    found = []
    for check in (_former_stacks, _executions, _training_machines):
        try:
            found.append(check(config, lambda service: boto3.client(service, config.region, config=QUICK)))
        except (BotoCoreError, ClientError):
            continue
    return [each for each in found if each]


Client = Callable[[str], Any]


def _former_stacks(config: Config, client: Client) -> Finding | None:
    """Versions before this one made five stacks, whose resources have the names of this one's."""
    former = f"{PREFIX}-{config.stage}-data"
    try:
        client("cloudformation").describe_stacks(StackName=former)
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    text = (
        f"The stack {former} was deployed by an older version, in five stacks. This version makes one, and "
        "cannot take them over. Run `make destroy` with the older version (its buckets stay), then "
        "`make deploy` with this one, which takes over the buckets."
    )
    return Finding("former-stacks", text, fatal=True)


def _executions(config: Config, client: Client) -> Finding | None:
    limit = client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    ingesting = config.ingest.concurrency + BUILDS_AT_ONCE
    if limit - ingesting >= QUERIES_AT_ONCE:
        return None
    text = (
        f"This account runs {limit} functions at once; ingest and builds take up to {ingesting} of them, and "
        f"leave {max(0, limit - ingesting)} for queries. Request a higher limit: {LAMBDA_QUOTA}"
    )
    return Finding("executions", text)


def _training_machines(config: Config, client: Client) -> Finding | None:
    kind = config.training.instance_type
    wanted = f"{kind} for {'spot training' if config.training.spot else 'training'} job usage"
    pages = client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    values = [quota["Value"] for page in pages for quota in page["Quotas"] if quota["QuotaName"] == wanted]
    if not values or values[0] >= 1:
        return None
    text = f'Training will fail: the quota "{wanted}" of this account is 0. Request 1: {SAGEMAKER_QUOTAS}'
    return Finding("training-machines", text)
