"""A quota of SageMaker that is used up, or zero as in a new account: how long to wait, and what to report.

https://docs.aws.amazon.com/servicequotas/latest/userguide/request-quota-increase.html
"""

from __future__ import annotations

import re

QUOTA_ERROR = "SageMaker.ResourceLimitExceededException"
"""The name that Step Functions gives to the error."""
WAITS = 5
WAIT_SECONDS = 180
"""Five times: another training may end and free the machine."""
QUOTAS_URL = "https://console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas"
_LIMIT = re.compile(r"service limit '(?P<quota>(?P<instance>ml\.[\w.-]+) [^']+)' is (?P<limit>\d+)")


def missing_quota(cause: str) -> str:
    """Which quota is missing, from the error's message: a part of a sentence."""
    found = _LIMIT.search(cause)
    if found is None:
        return "SageMaker's quota for the training's machine is used up"
    limit = int(found["limit"])
    used = "0" if limit == 0 else f"{limit}, and used up"
    return f"no {found['instance']} is available: the account's quota '{found['quota']}' is {used}"


def waiting_for(cause: str) -> str:
    """What a training waits for, for its record."""
    return f"waiting: {missing_quota(cause)}"


def quota_failure(cause: str) -> str:
    """Why a training failed, and what to do."""
    problem = missing_quota(cause)
    return (
        f"{problem[0].upper()}{problem[1:]}. Request an increase at {QUOTAS_URL}, wait until it is granted, "
        "and train again"
    )
