"""Print every table that the documentation quotes: `python -m bench [name …]`."""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    "recall",
    "compact",
    "two_ways",
    "images",
    "encode",
    "query",
    "search",
    "coldstart",
    "indexing",
    "engines",
    "growth",
    "freshness",
    "page",
    "cloud",
    "requests",
    "duplicates",
    "confidence",
)


def main(names: list[str]) -> int:
    """Run each benchmark in a separate process, so that none pays for another's memory."""
    unknown = set(names) - set(NAMES)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; expected: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    failed = 0
    for name in names or NAMES:
        print(f"\n## {name}\n", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode
    return int(failed != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
