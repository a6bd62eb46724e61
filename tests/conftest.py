"""Fixtures that many tests share. Encoders are built once and kept in the repository's ignored `.cache/`."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock
from fixtures import repetition, tiers

from lookalike.encoders import Encoder, EncoderManifest
from lookalike.training.tensorflow_import import import_tensorflow
from tests.aws_emulator.moto_server import moto_server

REPOSITORY = Path(__file__).parents[1]
LIBRARY = REPOSITORY / "shared" / "lookalike"
FIXTURES = REPOSITORY / "tests" / "fixtures"
BUILDER = FIXTURES / "encoders.py"
CACHE = REPOSITORY / ".cache" / "test-encoders"
# All that decides what an encoder is; a change of any of it builds anew.
SOURCES = (
    *sorted((LIBRARY / "images").rglob("*.py")),
    LIBRARY / "encoders" / "manifest.py",
    *sorted((LIBRARY / "training" / "backbones").glob("*.*")),
    BUILDER,
    FIXTURES / "pictures.py",
)
PACKAGES = ("ai-edge-litert", "ai-edge-quantizer", "keras", "numpy", "pillow", "tensorflow")


# The time of one example says more about the load of the machine than about the code.
hypothesis.settings.register_profile("lookalike", deadline=None, max_examples=repetition.times(40, soak=100))
hypothesis.settings.load_profile("lookalike")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files, mark what `make check` leaves out and what `make soak` repeats."""
    items.sort(key=lambda item: tiers.rank(item.path))
    for item in items:
        if tiers.is_slow(item.path):
            item.add_marker("slow")
        if repetition.is_soaked(item):
            item.add_marker("soak")
            if repetition.SOAK_SEED is not None:
                repetition.soak_examples(item)


def pytest_pycollect_makemodule(module_path: Path) -> None:
    """Import TensorFlow in the shortest time, before a file of tests does."""
    if module_path.name.startswith("test_training_"):
        import_tensorflow()


def pytest_collection_finish() -> None:
    """Spare the garbage collector a look at all that was imported, in each of its rounds."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import slow test files for `make check`: some import TensorFlow."""
    fast_only = config.option.markexpr == "not slow"
    return True if fast_only and collection_path.is_file() and tiers.is_slow(collection_path) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """End a soak in time: tests that are left over are not run."""
    if repetition.is_over():
        pytest.skip("the time for this soak is over")


@pytest.fixture(scope="session")
def tiny_encoder_folder() -> Path:
    """Folder of a real encoder for speed: 32 px input, 16-d vectors, fp32 and int8, about 0.05 ms a picture.

    Its vectors are mean colours and edge strengths, so pictures of like colours are near each other.
    """
    return _built("tiny")


@pytest.fixture(scope="session")
def tiny_encoder(tiny_encoder_folder: Path) -> Encoder:
    """The encoder of `tiny_encoder_folder`, ready to run."""
    return _opened(tiny_encoder_folder)


@pytest.fixture(scope="session")
def default_encoder_folder() -> Path:
    """Folder of the real default encoder (EfficientNet-Lite0), fp32 and int8."""
    return _built("default")


@pytest.fixture(scope="session")
def default_encoder(default_encoder_folder: Path) -> Encoder:
    """The encoder of `default_encoder_folder`, ready to run in its default precision."""
    return _opened(default_encoder_folder)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of an S3 server that runs until the end of the session. Every test makes buckets of its own."""
    with moto_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield endpoint


def _opened(folder: Path) -> Encoder:
    manifest = EncoderManifest.read(folder)
    return Encoder(manifest, folder / manifest.precision(None).file)


def _built(kind: str) -> Path:
    folder = CACHE / f"{kind}-{_fingerprint()}"
    CACHE.mkdir(parents=True, exist_ok=True)
    # Workers of pytest-xdist meet here; the first one builds.
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            environment = {**os.environ, "PYTHONPATH": str(FIXTURES.parent)}
            command = [sys.executable, str(BUILDER), kind, str(folder)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"building the {kind} encoder failed:\n{done.stderr[-3000:]}"
    return folder


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for source in SOURCES:
        digest.update(source.read_bytes())
    for package in PACKAGES:
        digest.update(f"{package} {version(package)}\n".encode())
    return digest.hexdigest()[:12]
