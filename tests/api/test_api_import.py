"""What a query process imports: cold start is a feature."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("tensorflow", "lance", "pyarrow", "PIL", "ai_edge_litert", "annoy", "faiss", "uvicorn", "watchfiles")
CONSOLE = ("rich", "typer", "boto3", "httpx")


def test_importing_the_app_imports_nothing_that_the_first_request_does_not_need():
    code = (
        "import sys, lookalike.api.http.app; "
        f"print([name for name in {HEAVY + CONSOLE} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
