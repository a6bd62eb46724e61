"""Exit codes of the training container, and one sentence for users about a failure."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from lookalike.aws.training.contract import Contract
from lookalike.aws.training.failures import BROKEN, REFUSED
from lookalike.errors import BackboneNotFound, Incompatible, InvalidInput, LookalikeError, TrainingCancelled

TERMINATED = 128 + 15
OF_THE_SOURCE = (InvalidInput, BackboneNotFound, Incompatible)


def exit_code_of(contract: Contract, run: Callable[[], None], stopped: Callable[[], bool]) -> int:
    """Call `run`; returns the exit code.

    Args:
        contract: where the failure is written.
        run: the work.
        stopped: whether the process got SIGTERM: then it did not fail.
    """
    try:
        run()
    except TrainingCancelled as error:
        if stopped():
            _print("stopped by SageMaker; computed results are in the checkpoints")
            return TERMINATED
        return _failed(contract, str(error), REFUSED)
    except OF_THE_SOURCE as error:
        return _failed(contract, str(error), REFUSED)
    except LookalikeError as error:
        return _failed(contract, str(error), BROKEN)
    except Exception as error:  # users see more than a number in SageMaker
        traceback.print_exc()
        return _failed(contract, f"the training failed unexpectedly: {type(error).__name__}: {error}", BROKEN)
    return 0


def _failed(contract: Contract, sentence: str, code: int) -> int:
    _print(sentence)
    contract.fail(sentence)
    return code


def _print(line: str) -> None:
    sys.stderr.write(f"{line}\n")
