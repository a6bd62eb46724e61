"""Every file of the hostile corpus comes to the end that it must, in one process, without a crash."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from fixtures.hostile import CORPUS, Decodes, HostileFile, Rejected, valid_files

from lookalike.errors import ImageRejected, ImageTooLarge, UnsupportedFormat
from lookalike.images import (
    FORMATS,
    DecodedImage,
    ImageLimits,
    Preprocess,
    decode,
    model_input,
    perceptual_hash,
)
from lookalike.settings import Settings

LIMITS = ImageLimits.from_settings(Settings())
CHILD = Path(__file__).parents[1] / "fixtures" / "decode_files.py"
KINDS = {
    "empty": ImageRejected,
    "undecodable": ImageRejected,
    "unsupported_format": UnsupportedFormat,
    "too_many_bytes": ImageTooLarge,
    "too_many_pixels": ImageTooLarge,
    "too_wide": ImageTooLarge,
}

MOST_MEMORY_MB = 64
"""What decoding the whole corpus may add to a process. Its largest file has 21 MB, and no sound picture in it
has more than some thousand pixels; its bombs would have up to 18 GB."""


def outcome(data: bytes, *, min_side: int | None = None) -> DecodedImage | ImageRejected:
    try:
        image = decode(data, LIMITS, min_side=min_side)
        assert model_input(image, Preprocess(size=32)).shape == (32, 32, 3)
        perceptual_hash(image)
    except ImageRejected as rejection:
        return rejection
    return image


@cache
def end_of(file: HostileFile) -> str:
    """What becomes of a file, in few words: most tests need no more."""
    return _summary(outcome(file.data))


def check(file: HostileFile, got: DecodedImage | ImageRejected) -> None:
    if isinstance(file.expect, Rejected):
        assert isinstance(got, ImageRejected), got
        assert got.reason == file.expect.reason, str(got)
        assert type(got) is KINDS[got.reason]
    elif isinstance(file.expect, Decodes):
        assert isinstance(got, DecodedImage), str(got)
        assert (got.width, got.height) == (file.expect.width, file.expect.height)
        assert got.format in FORMATS
        height, width = got.pixels.shape[:2]
        places = [(int(y * height), int(x * width)) for y in (0.25, 0.75) for x in (0.25, 0.75)]
        for place, colour in zip(places, file.expect.colours, strict=True):
            assert got.pixels[place].tolist() == pytest.approx(colour, abs=file.expect.tolerance), place


@pytest.mark.parametrize("file", CORPUS, ids=repr)
def test_a_file_comes_to_the_end_that_it_must(file: HostileFile) -> None:
    check(file, outcome(file.data))


@pytest.mark.parametrize("file", [f for f in CORPUS if isinstance(f.expect, Decodes)], ids=repr)
def test_so_it_does_at_reduced_scale(file: HostileFile) -> None:
    got = outcome(file.data, min_side=16)
    check(file, got)
    assert isinstance(got, DecodedImage)
    assert min(got.image.size) >= min(16, got.width, got.height)


def test_the_corpus_has_every_format_and_every_end() -> None:
    assert len({file.name for file in CORPUS}) == len(CORPUS) >= 60
    formats = Counter(end_of(file).split()[0] for file in CORPUS)
    assert all(formats[kind] >= 5 for kind in FORMATS)
    assert {file.expect.reason for file in CORPUS if isinstance(file.expect, Rejected)} == set(KINDS)


@pytest.mark.parametrize("file", [f for f in CORPUS if isinstance(f.expect, Rejected)], ids=repr)
def test_a_rejection_can_be_shown_to_a_user(file: HostileFile) -> None:
    with pytest.raises(ImageRejected) as caught:
        decode(file.data, LIMITS)
    assert caught.value.got is not None
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_threads_get_what_one_thread_gets() -> None:
    alone = [end_of(file) for file in CORPUS]
    data = [file.data for file in CORPUS]
    with ThreadPoolExecutor(4) as pool:
        assert [_summary(got) for got in pool.map(outcome, data)] == alone


@pytest.mark.parametrize("cut", range(1, 20))
def test_no_file_cut_short_decodes_to_something_else(cut: int) -> None:
    """A truncated file is rejected, or it lacks only an end mark and gives the very same picture."""
    for name, data in valid_files().items():
        got = outcome(data[: len(data) * cut // 20])
        assert isinstance(got, ImageRejected), name


def test_an_end_mark_may_be_missing_only_where_nothing_else_is() -> None:
    for name, data in valid_files().items():
        whole = _summary(outcome(data))
        for missing in range(1, 40):
            got = outcome(data[:-missing])
            assert isinstance(got, ImageRejected) or _summary(got) == whole, (name, missing)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc, to ask for peak memory")
def test_memory_stays_bounded_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The whole corpus in a fresh process, with every warning an error: same ends, and a stated peak."""
    for number, file in enumerate(CORPUS):
        (tmp_path / f"{number:04}").write_bytes(file.data)
    command = [sys.executable, "-W", "error", str(CHILD), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    report = json.loads(done.stdout)
    assert report["peak_mb"] < MOST_MEMORY_MB
    for number, file in enumerate(CORPUS):
        assert report["outcomes"][f"{number:04}"] == end_of(file), file.name


def _summary(got: DecodedImage | ImageRejected) -> str:
    if isinstance(got, ImageRejected):
        return got.reason
    return f"{got.format} {got.width} {got.height} {hashlib.sha256(got.pixels.tobytes()).hexdigest()}"
