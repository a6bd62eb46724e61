"""Which pictures `lookalike evaluate` lets ask."""

from dataclasses import replace

import numpy as np
import pytest

from lookalike.encoders import EncoderManifest
from lookalike.evaluation.compare_encoders import LabelledImage, choose_split


def pictures(count, split=lambda row: None):
    return [LabelledImage(f"{row}.jpg", bytes, "a", split(row)) for row in range(count)]


@pytest.fixture
def manifest(tiny_encoder_folder):
    return EncoderManifest.read(tiny_encoder_folder)


def trained(manifest, *rows):
    return replace(manifest, details={"held_out": [f"{row}.jpg" for row in rows]})


def asked(split):
    return split.queries.tolist()


def test_what_a_training_held_out_asks_before_what_metadata_says(manifest):
    marked = pictures(12, lambda row: "val" if row < 3 else "train")
    hashes = [None] * 12
    assert asked(choose_split(marked, hashes, [trained(manifest, 5, 7, 99)])) == [5, 7]
    # What one of them was trained on, none is asked about.
    both = [trained(manifest, 5, 7), trained(manifest, 7, 8), manifest]
    split = choose_split(marked, hashes, both)
    assert asked(split) == [7]
    assert 7 not in split.gallery
    assert "training" in split.words
    # It held out other pictures than these.
    assert asked(choose_split(marked, hashes, [trained(manifest, 99)])) == [0, 1, 2]


def test_metadata_asks_before_everybody_asks(manifest):
    for word in ("val", "Validation", "test"):
        marked = pictures(12, lambda row, word=word: word if row < 3 else None)
        split = choose_split(marked, [None] * 12, [manifest])
        assert asked(split) == [0, 1, 2]
        assert split.gallery.tolist() == list(range(3, 12))
        everybody = choose_split(marked, [None] * 12, [manifest], leave_one_out=True)
        assert asked(everybody) == list(range(12))
    assert asked(choose_split(pictures(12, lambda row: "train"), [None] * 12, [manifest])) == list(range(12))


def test_copies_do_not_find_each_other_where_everybody_asks(manifest):
    rng = np.random.default_rng(0)
    hashes = [rng.bytes(32) for _ in range(8)] + [None]
    hashes[3] = hashes[6] = hashes[0]
    near = bytearray(hashes[1])
    near[0] ^= 0b1111  # four bits of 256
    hashes[5] = bytes(near)
    split = choose_split(pictures(9), hashes, [manifest])
    got = set(zip(*(side.tolist() for side in split.exclude), strict=True))
    copies = {(a, b) for group in ({0, 3, 6}, {1, 5}) for a in group for b in group}
    assert got == copies | {(row, row) for row in range(9)}
    some = choose_split(pictures(9), hashes, [manifest], queries=4)
    assert len(some.queries) == 4
    rows = some.queries[some.exclude[0]]
    assert set(zip(rows.tolist(), some.exclude[1].tolist(), strict=True)) == {
        (a, b) for a, b in got if a in some.queries
    }
