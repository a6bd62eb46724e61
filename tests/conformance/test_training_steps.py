"""The steps after a training job, over a folder and over S3: each may run twice, and says what it decided."""

from __future__ import annotations

import gzip
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.frames import COLOURS, NAME, Frames

from lookalike.aws.training.artefact import COMPARISON, NOTES, REPORT, RESULT, Artefact, unpack_artefact
from lookalike.aws.training.steps import Pipeline
from lookalike.errors import Incompatible, TrainingCancelled
from lookalike.evaluation import Interval
from lookalike.library import Library
from lookalike.publishing import Comparison, EncodingCancelled, Measured, publish_encoder
from lookalike.settings import Settings
from lookalike.snapshots import current
from lookalike.storage import Store
from lookalike.training_jobs import Training, Trainings, zip_key

EACH = 8
ALL = [f"{NAME}/images/{colour}/{seed}.jpg" for colour in COLOURS for seed in range(EACH)]
PASSED_OVER = [
    f"{NAME}/images/.hidden",
    f"{NAME}/images/nothing.jpg",
    f"{NAME}/metadata/a.csv",
    "other/images/a.jpg",
]


class Steps:
    """A collection that lives by a bad encoder, a training, and what its container left: a good one."""

    def __init__(self, library: Library, encoder: Path, scratch: Path) -> None:
        self.library = library
        self.frames = Frames.create(library, encoder, scratch, serving="bad", each=EACH)
        self.frames.build()
        self.book = Trainings(library.artifacts, NAME)
        self._encoder = encoder
        self._scratch = scratch

    def ask(self, **asked: object) -> Pipeline:
        """The pipeline of a new training."""
        self.id = self.book.create(replace(Training("", NAME, "zip"), **asked)).id  # type: ignore[arg-type]
        self.library.images.put(zip_key(NAME, self.id), b"zip")
        return Pipeline(self.library, NAME, self.id)

    @property
    def training(self) -> Training:
        return self.book.get(self.id)

    def artefact(self, comparison: Comparison | None = None) -> Artefact:
        """Packed and unpacked, as it comes."""
        folder = self._scratch / "model"
        folder.mkdir(exist_ok=True)
        made = Artefact(folder)
        made.put(RESULT, {"metrics": {"map_at_r": 0.75, "detail": float("nan")}})
        made.put(NOTES, ["2 other files left out"])
        if comparison:
            made.put(COMPARISON, comparison.to_json())
        (folder / REPORT).write_text("<html>report</html>")
        made.put_encoder(self._encoder)
        packed = self._scratch / "model.tar.gz"
        with tarfile.open(packed, "w:gz") as archive:
            for entry in folder.iterdir():
                archive.add(entry, entry.name)
        return unpack_artefact(packed, self._scratch / "unpacked")

    def compared(self, old: float, new: float, serving: str = "") -> Comparison:
        sides = [
            Measured(encoder, value, value, value, value)
            for encoder, value in ((serving or self.frames.bad, old), (self.frames.good, new))
        ]
        change = Interval(new - old, new - old - 0.05, new - old + 0.05)
        return Comparison(*sides, 10, 20, 4, change, "better" if new > old else "worse", "held out")

    @property
    def serving(self) -> str:
        found = current(self.library.artifacts, NAME)
        assert found is not None
        return found.encoder_id


@pytest.fixture
def steps(store: Store, tmp_path: Path, tiny_encoder_folder: Path, request: pytest.FixtureRequest) -> Steps:
    endpoint = request.getfixturevalue("s3_endpoint") if store.folder is None else ""
    library = Library(
        Settings(store=store.url, s3_endpoint=endpoint, refresh_seconds=0.02), tmp_path / "cache"
    )
    return Steps(library, tiny_encoder_folder, tmp_path)


def test_each_step_twice_ends_as_each_step_once(steps: Steps) -> None:
    pipeline, artefact = steps.ask(), steps.artefact(steps.compared(0.4, 0.6))
    first, again = pipeline.register(artefact), pipeline.register(artefact)
    assert first == again
    assert (first.encoder_id, first.publish, first.missing) == (steps.frames.good, True, len(ALL))
    assert steps.training.metrics == {"map_at_r": 0.75}
    assert steps.training.notes == ("2 other files left out",)
    assert steps.book.report(steps.id) == b"<html>report</html>"
    keys = [*ALL, *PASSED_OVER]
    batches = [keys[start : start + 5] for start in range(0, len(keys), 5)]
    assert sum(pipeline.encode(first.encoder_id, batch) for batch in batches) == len(ALL)
    assert sum(pipeline.encode(first.encoder_id, batch) for batch in batches) == 0
    steps.frames.upload(("red", 50))  # arrives while all else is encoded
    assert steps.serving == steps.frames.bad
    assert pipeline.publish(first.encoder_id).published
    assert pipeline.publish(first.encoder_id).published
    assert steps.serving == steps.frames.good
    found = current(steps.library.artifacts, NAME)
    assert found is not None
    assert found.count == len(ALL) + 1
    assert pipeline.conclude({}) == pipeline.conclude({})
    ended = steps.training
    assert (ended.status, ended.published) == ("succeeded", True)
    assert not steps.library.images.exists(zip_key(NAME, steps.id))
    lines = [line["message"] for line in steps.book.log(steps.id)]
    assert len([line for line in lines if line.startswith("ended")]) == 1


@pytest.mark.parametrize(
    ("publish", "new", "reason"),
    [
        ("if_better", 0.3, "mAP@R does not rise: 0.400 → 0.300"),
        ("never", 0.6, "not published, as requested; mAP@R rises: 0.400 → 0.600"),
    ],
)
def test_what_is_not_to_serve_is_not_encoded(steps: Steps, publish: str, new: float, reason: str) -> None:
    pipeline = steps.ask(publish=publish)
    done = pipeline.register(steps.artefact(steps.compared(0.4, new)))
    assert (done.publish, done.missing) == (False, 0)
    pipeline.conclude({})
    assert (steps.training.status, steps.training.published) == ("succeeded", False)
    assert (steps.training.reason or "").startswith(reason)
    assert steps.serving == steps.frames.bad


def test_it_may_be_forced(steps: Steps) -> None:
    pipeline = steps.ask(publish="always")
    # The training held out more images than this small collection has, so they decide.
    done = pipeline.register(steps.artefact(replace(steps.compared(0.4, 0.3), queries=1_000)))
    assert pipeline.publish(done.encoder_id).published
    assert (steps.training.reason or "").startswith("forced; mAP@R does not rise")


def test_a_comparison_with_an_encoder_of_yesterday_is_made_anew(steps: Steps) -> None:
    pipeline = steps.ask()
    done = pipeline.register(steps.artefact(steps.compared(0.9, 0.1, serving="other-0123456789ab")))
    assert done.publish
    assert steps.training.comparison is None
    published = pipeline.publish(done.encoder_id)
    assert published.published, published.reason
    assert steps.training.comparison is not None
    assert steps.training.comparison["old"]["encoder_id"] == steps.frames.bad


def test_after_a_cancellation_no_step_does_anything(steps: Steps) -> None:
    pipeline, artefact = steps.ask(), steps.artefact()
    steps.book.update(steps.id, cancel_requested=True)
    for step in (
        lambda: pipeline.register(artefact),
        lambda: pipeline.encode(steps.frames.good, ALL),
        lambda: pipeline.publish(steps.frames.good),
    ):
        with pytest.raises(TrainingCancelled):
            step()
    cause = json.dumps({"errorType": "TrainingCancelled", "errorMessage": "…"})
    conclusion = pipeline.conclude({"register": {"Error": "TrainingCancelled", "Cause": cause}})
    assert not conclusion.alarm
    assert (steps.training.status, steps.training.reason) == ("cancelled", "cancelled by the user")
    assert steps.serving == steps.frames.bad


def test_cancelled_while_the_snapshot_is_built_the_old_encoder_serves_on(steps: Steps) -> None:
    said: list[str] = []
    with pytest.raises(EncodingCancelled):
        publish_encoder(
            steps.library,
            NAME,
            steps.frames.good,
            force=True,
            progress=lambda text, *_: said.append(text),
            cancelled=lambda: "verifying" in said,
        )
    assert said[-1] == "publishing"
    assert steps.serving == steps.frames.bad
    assert steps.library.collections.get(NAME).encoder_id == steps.frames.bad


def test_a_failure_ends_the_training_with_its_sentence(steps: Steps) -> None:
    pipeline = steps.ask()
    reason = "AlgorithmError: there is only one class, exit code: 1"
    cause = json.dumps({"TrainingJobStatus": "Failed", "FailureReason": reason})
    conclusion = pipeline.conclude({"train": {"Error": "States.TaskFailed", "Cause": cause}})
    assert (conclusion.reason, conclusion.alarm) == ("there is only one class", False)
    assert (steps.training.status, steps.training.reason) == ("failed", "there is only one class")
    assert not steps.library.images.exists(zip_key(NAME, steps.id))


def test_a_collection_deleted_meanwhile_alarms_nobody(steps: Steps) -> None:
    pipeline = steps.ask()
    steps.library.collections.delete(NAME)
    assert not pipeline.conclude({}).alarm
    assert not steps.library.images.exists(zip_key(NAME, steps.id))


# Artefacts that no container left


def packed(target: Path, *entries: tarfile.TarInfo) -> Path:
    with tarfile.open(target, "w:gz") as archive:
        for entry in entries:
            archive.addfile(entry)
    return target


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, link
    return made


@pytest.mark.parametrize(
    "entry",
    [
        member("../outside.json"),
        member("encoder/../../outside.json"),
        member("encoder/x", tarfile.SYMTYPE, link="/etc/passwd"),
        member("encoder/x", tarfile.LNKTYPE, link="../../outside"),
        member("encoder/x", tarfile.CHRTYPE),
        member("encoder/x", tarfile.FIFOTYPE),
    ],
    ids=lambda entry: entry.name,
)
def test_an_archive_that_leads_out_of_its_folder_is_refused(entry: tarfile.TarInfo, tmp_path: Path) -> None:
    file = packed(tmp_path / "model.tar.gz", member("result.json"), entry)
    with pytest.raises(Incompatible, match="cannot be unpacked"):
        unpack_artefact(file, tmp_path / "a" / "b")
    assert not (tmp_path / "outside.json").exists()
    assert not (tmp_path / "a" / "outside.json").exists()


def test_an_archive_of_another_kind_or_cut_off_or_too_large_is_refused(steps: Steps, tmp_path: Path) -> None:
    steps.artefact()
    whole = (tmp_path / "model.tar.gz").read_bytes()
    claims = tmp_path / "claims.tar.gz"
    claims.write_bytes(gzip.compress(member("encoder/x", size=3 << 30).tobuf()))
    for name, data in {"cut": whole[: len(whole) // 2], "text": b"hello", "nothing": b""}.items():
        (tmp_path / name).write_bytes(data)
    for file in (tmp_path / "cut", tmp_path / "text", tmp_path / "nothing", claims):
        with pytest.raises(Incompatible, match="cannot be unpacked"):
            unpack_artefact(file, tmp_path / f"{file.name}-unpacked")


def test_an_artefact_without_its_documents_is_none(steps: Steps, tmp_path: Path) -> None:
    pipeline, artefact = steps.ask(), steps.artefact()
    (artefact.folder / RESULT).unlink()
    with pytest.raises(Incompatible, match=r"result\.json"):
        pipeline.register(artefact)
