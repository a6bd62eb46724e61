"""The training container by SageMaker's contract: channels in, a model artefact or a sentence out."""

from __future__ import annotations

import re
import shutil
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fixtures.classes import write_classes
from fixtures.encoders import save_tiny_model
from fixtures.sources import fill, raw_zip, zipped

from lookalike.aws.training.artefact import unpack_artefact
from lookalike.aws.training.failures import REFUSED
from lookalike.aws.training.job_log import metric_definitions
from lookalike.encoders import Encoder, EncoderManifest
from tests.aws_emulator.sagemaker_job import OptMl

EACH = 8
QUICK = {"views": "2", "epochs": "3", "dimension": "16", "name": "shapes"}
LONG = {**QUICK, "views": "4", "epochs": "30"}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_tiny_model(folder)
    return str(folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip file of pictures in one folder per class."""
    folder = tmp_path_factory.mktemp("photos")
    write_classes(folder, EACH)
    target = folder / "photos.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    return target


@pytest.fixture(scope="module")
def undisturbed(backbone: str, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> OptMl:
    """A job that ended well."""
    job = OptMl(tmp_path_factory.mktemp("undisturbed"))
    shutil.copy(photos, job.channel())
    job.hyperparameters(backbone=f'"{backbone}"', sagemaker_program="train.py", **LONG)  # as the SDK quotes
    assert job.run() == 0, job.log
    return job


def test_a_zip_file_ends_in_an_artefact(undisturbed: OptMl, tmp_path: Path) -> None:
    job = undisturbed
    assert job.failure is None
    assert job.document("result.json")["encoder"].startswith("shapes-")
    split = job.document("split.json")
    assert len(split["train"]) + len(split["validation"]) == 4 * EACH
    assert job.document("notes.json") == []
    assert (job.root / "model" / "report.html").is_file()
    assert not (job.root / "model" / "comparison.json").exists()  # nothing serves here
    artefact = unpack_artefact(job.pack(tmp_path / "model.tar.gz"), tmp_path / "unpacked")
    manifest = EncoderManifest.read(artefact.encoder)
    encoder = Encoder(manifest, artefact.encoder / manifest.precision(None).file)
    side = manifest.preprocess.size
    vector = encoder.encode_one(np.full((side, side, 3), 200, np.uint8))
    assert vector.shape == (manifest.dimension,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def test_it_prints_what_sagemaker_draws(undisturbed: OptMl) -> None:
    for metric in metric_definitions():
        found = re.findall(metric["Regex"], undisturbed.log)
        assert found, (metric, undisturbed.log)
        assert all(0 <= float(value) < 100 for value in found)
    final = float(re.findall(r'phase="trained".* map_at_r=(\S+)', undisturbed.log)[0])
    measured = undisturbed.document("result.json")["metrics"]["map_at_r"]
    assert final == pytest.approx(measured, rel=1e-4)


def run_until(job: OptMl, seen: str, number: int) -> None:
    """Start the job, and send it a signal as soon as it prints `seen`."""
    with job.start() as process:
        assert process.stdout
        for line in process.stdout:
            job.log += line
            if re.search(seen, line):
                process.send_signal(number)
                break
        else:
            raise AssertionError(f"never said {seen}:\n{job.log}")
        job.log += process.stdout.read()
        process.wait(60)
        assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 128 + number), job.log


def on_another_instance(job: OptMl) -> None:
    """What a new spot instance finds: the checkpoints and the channel, and nothing else of what there was."""
    for name in ("work", "model", "output"):
        shutil.rmtree(job.root / name, ignore_errors=True)
        (job.root / name).mkdir()


def test_killed_and_taken_up_by_another_instance_it_ends_in_the_same_encoder(
    undisturbed: OptMl, backbone: str, photos: Path, tmp_path: Path
) -> None:
    job = OptMl(tmp_path / "ml")
    shutil.copy(photos, job.channel())
    job.hyperparameters(backbone=backbone, **LONG)
    run_until(job, r'phase="feature layer" .*map_at_r', signal.SIGKILL)
    on_another_instance(job)
    run_until(job, r'phase="feature layer" .*map_at_r', signal.SIGTERM)
    assert job.failure is None  # it was not its fault
    on_another_instance(job)
    assert job.run() == 0, job.log
    first, last = undisturbed.document("result.json"), job.document("result.json")
    assert first["views_computed"] == 4 * 4 * EACH
    assert last["views_computed"] == 0
    assert last["epochs"] == first["epochs"]
    assert last["encoder"] == first["encoder"]  # the same bytes
    assert job.document("split.json") == undisturbed.document("split.json")


def test_other_pictures_under_the_same_checkpoints_begin_anew(undisturbed: OptMl, tmp_path: Path) -> None:
    job = OptMl(tmp_path / "ml")
    shutil.copytree(undisturbed.root / "checkpoints", job.checkpoints, dirs_exist_ok=True)
    shutil.copytree(undisturbed.root / "input" / "config", job.root / "input" / "config", dirs_exist_ok=True)
    write_classes(job.channel(), EACH, seed=1)  # in folders this time
    assert job.run() == 0, job.log
    first, second = undisturbed.document("result.json"), job.document("result.json")
    assert second["views_computed"] == first["views_computed"] > 0
    assert second["encoder"] != first["encoder"]


# What users send


def outside(folder: Path) -> None:
    zipped(folder / "photos.zip", ["shoes/1.jpg", "../../etc/2.jpg"])


def bomb(folder: Path) -> None:
    raw_zip(folder / "photos.zip", [(b"shoes/1.jpg", b"\xff\xd8\xff\xe0" + bytes(64 << 20))])


def no_images(folder: Path) -> None:
    zipped(folder / "photos.zip", ["shoes/readme.txt", "hats/notes.doc"], data=b"hello")


def not_pictures(folder: Path) -> None:
    zipped(folder / "photos.zip", ["shoes/1.jpg", "shoes/2.jpg", "hats/1.jpg", "hats/2.jpg"], data=b"hello")


def one_class(folder: Path) -> None:
    zipped(folder / "photos.zip", ["shoes/1.jpg", "shoes/2.jpg"])


def cut_off(folder: Path) -> None:
    whole = zipped(folder / "photos.zip", ["shoes/1.jpg", "shoes/2.jpg", "hats/1.jpg", "hats/2.jpg"])
    whole.write_bytes(whole.read_bytes()[:-200])


def two_zips(folder: Path) -> None:
    zipped(folder / "a.zip", ["shoes/1.jpg"])
    zipped(folder / "b.zip", ["hats/1.jpg"])


def nothing(folder: Path) -> None:
    """An empty channel."""


BAD = [
    (outside, "holds a path that leads out of its folder"),
    (bomb, "the zip file is too large when unpacked"),
    (no_images, "the source holds no images"),
    (not_pictures, "none of the images can be read"),
    (one_class, "there is only one class, so there is nothing to distinguish"),
    (cut_off, "the zip file is truncated or damaged"),
    (two_zips, "the channel holds several zip files"),
    (nothing, "there is nothing to train on"),
]


@pytest.mark.parametrize(("make", "sentence"), BAD, ids=[make.__name__ for make, _ in BAD])
def test_what_cannot_be_learnt_from_is_refused_in_a_sentence(make, sentence: str, tmp_path: Path) -> None:
    job = OptMl(tmp_path / "ml")
    make(job.channel())
    job.hyperparameters(**QUICK)
    assert job.run() == REFUSED, job.log
    assert job.failure is not None
    assert sentence in job.failure, job.failure
    assert "expected" in job.failure
    assert "Traceback" not in job.log
    assert not list((job.root / "model").iterdir())


def test_what_cannot_be_asked_for_is_refused(tmp_path: Path) -> None:
    job = OptMl(tmp_path / "ml")
    fill(job.channel(), *(f"{label}/{number}.jpg" for label in ("shoes", "hats") for number in range(3)))
    job.hyperparameters(**QUICK, backbone="resnet-900")
    assert job.run() == REFUSED, job.log
    assert "resnet-900" in (job.failure or ""), job.failure


def test_a_streamed_channel_is_refused(tmp_path: Path) -> None:
    job = OptMl(tmp_path / "ml")
    job.channel(mode="Pipe")
    assert job.run() == REFUSED
    assert "the channel is streamed; got Pipe" in (job.failure or "")


def test_without_channel_and_collection_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    job = OptMl(tmp_path / "ml")
    job.hyperparameters(collection="shoes")
    assert job.run() == REFUSED
    assert "no channel, and no collection of a store" in (job.failure or "")


def test_further_machines_have_nothing_to_do(tmp_path: Path) -> None:
    job = OptMl(tmp_path / "ml")
    job.config("resourceconfig.json", {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]})
    assert job.run() == 0
    assert "another machine of this job trains" in job.log
    assert job.failure is None
