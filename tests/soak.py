"""Repeats kills, fault injection and fuzzing: `python -m tests.soak --minutes 10 --seed 1`.

Each round runs the same tests as `make test` with a seed of its own, more kills and more examples (see
`fixtures/repetition.py`). It stops at the first failure and prints how to repeat that round.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

REPOSITORY = Path(__file__).parents[1]
# Tests that draw their moments, faults or inputs at random; every test of hypothesis is among them.
PATHS = (
    "tests/aws/test_cloud_kills.py",
    "tests/aws/test_cloud_faults.py",
    "tests/faults",
    "tests/conformance/test_catalogues.py",
    "tests/conformance/test_engines.py",
    "tests/conformance/test_swap.py",
    "tests/unit",
    "tests/api/test_api_schema.py",
)
NO_TESTS_RAN = 5


def run_round(number: int, seconds: float) -> tuple[int, int]:
    """Run one round; no test starts after `seconds`. Returns the exit code and how many tests ran."""
    environment = {
        **os.environ,
        "LOOKALIKE_SOAK_SEED": str(number),
        "LOOKALIKE_SOAK_DEADLINE": str(time.time() + seconds),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "--dist", "loadfile"]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command += ["-m", "soak", f"--hypothesis-seed={number}", f"--junit-xml={results}", *PATHS]
        code = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
        suites = ElementTree.parse(results).iter("testsuite") if results.is_file() else ()
        return code, sum(int(suite.get("tests", 0)) - int(suite.get("skipped", 0)) for suite in suites)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run rounds until the time is over; returns 1 if one failed, 2 if no test ran."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next one adds 1")
    given = parser.parse_args(arguments)
    started, number, tests = time.monotonic(), given.seed, 0
    while (left := 60 * given.minutes - (time.monotonic() - started)) > 0:
        print(f"round with seed {number}, {left / 60:.1f} minutes left", flush=True)
        code, ran = run_round(number, left)
        tests += ran
        if code not in {0, NO_TESTS_RAN}:
            print(f"failed with seed {number}; repeat: make soak SEED={number} MINUTES={given.minutes:g}")
            return 1
        number += 1
    print(f"no failure in {tests} tests of {number - given.seed} rounds")
    if not tests:
        print("no test ran: give it more minutes")
    return 0 if tests else 2


if __name__ == "__main__":
    sys.exit(main())
