"""A process that carries out one training: `python -m lookalike.local.training_process COLLECTION ID CACHE`.

The server starts it, so that neither TensorFlow nor the encoding of a whole collection takes anything from
its searches but spare time of the processor. It lives no longer than the server: its standard input ends with
that.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from lookalike.errors import LookalikeError, StoreUnavailable, TrainingCancelled
from lookalike.library import Library
from lookalike.publishing import EncodingCancelled
from lookalike.training_jobs.job import Job
from lookalike.training_jobs.records import Trainings

NICENESS = 10
LOCK_SECONDS = 30.0


def carry_out(library: Library, collection: str, training_id: str) -> None:
    """Do the training, and write down how it ended.

    Raises:
        StoreUnavailable: it may succeed when it is begun again; it stands as not ended.
        LookalikeError, Exception: the process that trains died, or nobody foresaw it; likewise.
    """
    book = Trainings(library.artifacts, collection)
    with library.artifacts.lock(f"collections/{collection}/train.lock", seconds=LOCK_SECONDS):
        if not book.get(training_id).is_active:
            return
        job = Job(library, collection, training_id)
        try:
            job.run()
        except (TrainingCancelled, EncodingCancelled):
            book.finish(training_id, "cancelled", reason="cancelled, as asked")
        except LookalikeError as error:
            # The plain class: a process died. Both may go better when it is begun again.
            if isinstance(error, StoreUnavailable) or type(error) is LookalikeError:
                raise
            book.say(training_id, f"failed: {error}")
            book.finish(training_id, "failed", reason=str(error))
        else:
            return
        job.clear()


def _end_with_parent() -> None:
    """Standard input ends when the server does, however it does; then this process and its children do."""
    while sys.stdin.buffer.read(1):
        pass
    os.killpg(os.getpgid(0), signal.SIGKILL)


def main(collection: str, training_id: str, cache: str) -> None:
    """The process."""
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    carry_out(Library.open(cache=Path(cache)), collection, training_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
