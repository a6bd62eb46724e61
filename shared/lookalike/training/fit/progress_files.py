"""`state.json` and `log.jsonl` of a run folder: progress of a training, and the metrics of each epoch."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class ProgressFiles:
    """Writes each report into the run folder and passes it on.

    Args:
        run: the folder.
        progress: called with the fields of `TrainingProgress`.
    """

    def __init__(self, run: Path, progress: Callable[[dict[str, Any]], None]) -> None:
        self._run = run
        self._progress = progress

    def __call__(self, fields: Mapping[str, Any]) -> None:
        """Write fields of `TrainingProgress`."""
        record = {"time": round(time.time(), 3), **fields}
        staged = self._run / "state.part"
        staged.write_text(json.dumps(record), encoding="utf-8")
        staged.replace(self._run / "state.json")
        if fields.get("metrics") or "done" not in fields:
            with (self._run / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
        self._progress(dict(fields))
