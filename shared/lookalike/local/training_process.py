"""Process that runs one training: `python -m lookalike.local.training_process COLLECTION ID CACHE`.

The server starts it, so that neither TensorFlow nor the encoding of a whole collection slows down searches.
It ends with the server, which closes its standard input.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from lookalike.errors import InvalidInput, LookalikeError, ObjectNotFound, StoreUnavailable, TrainingCancelled
from lookalike.layout import zip_key
from lookalike.library import Library
from lookalike.publishing import EncodingCancelled
from lookalike.training.options import TrainingOptions
from lookalike.training_jobs.folders import TrainingFolders
from lookalike.training_jobs.progress_sinks import RecordSink
from lookalike.training_jobs.records import Training, Trainings
from lookalike.training_jobs.workflow import TrainingRequest, Workflow

NICENESS = 10
LOCK_SECONDS = 30.0
FEATURES_FOLDER = "training/features"
"""Below the cache; `lookalike train` keeps them there too."""


def carry_out(library: Library, collection: str, training_id: str) -> None:
    """Run a training, and record how it ended.

    Raises:
        StoreUnavailable: a retry may succeed; the record says that it has not ended.
        LookalikeError, Exception: the training process died, or the error is unexpected; likewise.
    """
    trainings = Trainings(library.artifacts, collection)
    with library.artifacts.lock(f"collections/{collection}/train.lock", seconds=LOCK_SECONDS):
        if not trainings.get(training_id).is_active:
            return
        work = trainings.work_folder(training_id, library.cache)
        try:
            _run(library, trainings, training_id, work)
        except (TrainingCancelled, EncodingCancelled):
            trainings.finish(training_id, "cancelled", reason="cancelled by the user")
        except LookalikeError as error:
            # The plain class: a process died. A retry may succeed in both cases.
            if isinstance(error, StoreUnavailable) or type(error) is LookalikeError:
                raise
            trainings.log_line(training_id, f"failed: {error}")
            trainings.finish(training_id, "failed", reason=str(error))
        shutil.rmtree(work, ignore_errors=True)
        library.images.delete(zip_key(collection, training_id))


def _run(library: Library, trainings: Trainings, training_id: str, work: Path) -> None:
    sink = RecordSink(trainings, training_id)
    training = sink.begin()
    work.mkdir(parents=True, exist_ok=True)
    page = work / "report.html"
    folders = TrainingFolders(
        source=work / "source",
        features=library.cache / FEATURES_FOLDER,
        run=lambda _: work / "run",
        dataset=work / "dataset.jsonl",
        page=page,
    )
    outcome = Workflow(library, _request(library, training, work), sink).run(folders)
    if outcome.report_problem is None:
        trainings.put_report(training_id, page.read_bytes())
    trainings.finish(
        training_id,
        "succeeded",
        encoder_id=outcome.trained.manifest.id,
        published=outcome.publication is not None and outcome.publication.published,
        reason=outcome.reason,
        has_report=outcome.report_problem is None,
    )
    sink.log(f"ended: {outcome.reason}")


def _request(library: Library, training: Training, work: Path) -> TrainingRequest:
    is_zip = training.source == "zip"
    return TrainingRequest(
        TrainingOptions.from_json(training.options),
        files=(lambda: _zip_file(library, training, work)) if is_zip else None,
        items_of=None if is_zip else training.collection,
        label=training.label,
        target=training.collection,
        publish=training.publish,
        training_id=training.id,
    )


def _zip_file(library: Library, training: Training, work: Path) -> Path:
    """The uploaded zip file, on this machine. Raises InvalidInput: it was deleted."""
    key = zip_key(training.collection, training.id)
    file = library.images.local_path(key) or work / "source.zip"
    if not file.is_file():
        try:
            library.images.download(key, file)
        except (ObjectNotFound, FileNotFoundError) as error:
            raise InvalidInput("the uploaded zip file was deleted", got=key) from error
    return file


def _end_with_parent() -> None:
    """Standard input ends when the server does; then this process and its children end too."""
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
