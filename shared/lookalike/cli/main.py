"""`lookalike …`: parse, call one function, print.

Exit codes: 0 done; 1 an error that is explained in one line on standard error; 2 wrong usage; 130 stopped
with Ctrl-C. With `--json`, standard output holds exactly one JSON document: the result, or
`{"error": {"type", "message", "got", "expected", "fix"}}`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from lookalike.errors import LookalikeError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
STOPPED = "Stopped. Finished work is kept: run the same command again to resume."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `arguments` are those of the process unless given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given  # known before parsing, because parsing can fail too
    from typer.exceptions import TyperException

    from lookalike.cli.app import app

    _listen_to_ctrl_c()
    try:
        code = app(args=given, prog_name="lookalike", standalone_mode=False)
    except LookalikeError as error:
        return _fail(FAILED, as_json, type(error).__name__, str(error), _parts(error))
    except OSError as error:
        return _fail(FAILED, as_json, type(error).__name__, _os_message(error), {})
    except TyperException as error:
        message = error.format_message()
        if not message.startswith("Usage:"):  # without arguments, the message is the whole help
            message += " Try `lookalike --help`, or `--help` after the command."
        return _fail(error.exit_code, as_json, "UsageError", message, {})
    except KeyboardInterrupt:
        # If the interrupt passed through code evaluated from a string (dataclasses evaluate some when they
        # are imported), CPython would end the process by the signal, though it is caught here. Another
        # evaluation resets that (`run_eval_code_obj` in Python/pythonrun.c).
        eval("None")  # noqa: S307  # a constant
        code = INTERRUPTED
    if code == INTERRUPTED:
        return _fail(INTERRUPTED, as_json, "Interrupted", STOPPED, {})
    return code if isinstance(code, int) else OK


def _listen_to_ctrl_c() -> None:
    """Raise KeyboardInterrupt, and set a flag in case native code swallows it."""
    import signal
    import threading
    from types import FrameType

    from lookalike.cli.console import stop_requested

    def stop(number: int, frame: FrameType | None) -> None:
        stop_requested.set()
        signal.default_int_handler(number, frame)

    stop_requested.clear()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, stop)


def _fail(code: int, as_json: bool, kind: str, message: str, parts: dict[str, Any]) -> int:
    if as_json:
        sys.stdout.write(json.dumps({"error": {"type": kind, "message": message, **parts}}, indent=2) + "\n")
    plain = code == INTERRUPTED or message.startswith("Usage:")
    sys.stderr.write(f"{message}\n" if plain else f"Error: {message}\n")
    return code


def _parts(error: LookalikeError) -> dict[str, Any]:
    known = {"got": error.got, "expected": error.expected, "fix": error.fix}
    return {name: None if value is None else str(value) for name, value in known.items()}


def _os_message(error: OSError) -> str:
    if error.errno is None:
        return str(error)
    return f"{os.strerror(error.errno)}: {error.filename}" if error.filename else os.strerror(error.errno)
