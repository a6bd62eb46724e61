"""The parent's side of the child process that trains or builds an encoder; `child` describes the protocol."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Literal

from lookalike import errors
from lookalike.errors import LookalikeError, TrainingCancelled
from lookalike.integrity import load_json

Work = Literal["train", "build"]
TAIL_CHARACTERS = 2_000
POLL_SECONDS = 0.25


def tail(stderr: IO[str]) -> str:
    """The end of what a child wrote to standard error."""
    stderr.seek(0)
    return stderr.read()[-TAIL_CHARACTERS:].strip() or "no message"


@dataclass(slots=True)
class ChildProcess:
    """The parent's side of one child process.

    Attributes:
        work: what the child does.
        request: its request, plain values for JSON.
        environment: added to that of this process.
        stderr: gets its standard error.
        argument: only for the process list.
    """

    work: Work
    request: Mapping[str, Any]
    environment: Mapping[str, str]
    stderr: IO[str]
    argument: str = ""

    def result(
        self, progress: Callable[[Any], None], cancelled: Callable[[], bool] | None = None
    ) -> dict[str, Any] | None:
        """Run the child to its end; returns its result, or None if it died.

        Raises:
            TrainingCancelled: `cancelled` returned True.
            LookalikeError: the error that the child reported.
        """
        command = [sys.executable, "-m", "lookalike.training.child", self.work, self.argument]
        with subprocess.Popen(  # noqa: S603  # our own module, and nothing of the request is in the command
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
            env={**os.environ, **self.environment},
        ) as process:
            try:
                assert process.stdin
                with suppress(BrokenPipeError):  # it died early: its standard error has the reason
                    process.stdin.write(json.dumps(self.request) + "\n")
                    process.stdin.flush()
                for message in _messages(process, cancelled):
                    if "progress" in message:
                        progress(message["progress"])
                    elif "error" in message:
                        raise _to_error(message["error"])
                    else:
                        result: dict[str, Any] = message["result"]
                        return result
                process.wait()  # it closed its output: let it write the reason
            finally:
                process.kill()
        return None


def _messages(
    process: subprocess.Popen[str], cancelled: Callable[[], bool] | None
) -> Iterator[dict[str, Any]]:
    """The child's messages until its output ends. Raises TrainingCancelled."""
    lines: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        assert process.stdout
        with suppress(ValueError):  # closed by the parent after a cancel
            for line in process.stdout:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        if cancelled and cancelled():
            raise TrainingCancelled("the training was cancelled", fix="Run it again to resume.")
        with suppress(queue.Empty):
            line = lines.get(timeout=POLL_SECONDS)
            if line is None:
                return
            yield load_json(line)


def _to_error(document: dict[str, Any]) -> LookalikeError:
    kind: type[LookalikeError] = getattr(errors, document.pop("kind"), LookalikeError)
    return kind(**document)
