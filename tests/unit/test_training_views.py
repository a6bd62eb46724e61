"""Views: the first is what serving sees, the others are the same each time and differ among themselves."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.pictures import draw_scene

from lookalike.images import DecodedImage, Preprocess, model_input
from lookalike.training.fit.views import view

DIGEST = bytes(range(32))
PREPROCESS = Preprocess(size=64)


def test_view_0_is_what_serving_sees() -> None:
    picture = DecodedImage.from_pixels(draw_scene(1, 200))
    assert np.array_equal(view(picture, PREPROCESS, 0, DIGEST), model_input(picture, PREPROCESS))


def test_view_1_is_its_mirror_image() -> None:
    picture = DecodedImage.from_pixels(draw_scene(1, 200))
    assert np.array_equal(view(picture, PREPROCESS, 1, DIGEST)[:, ::-1], model_input(picture, PREPROCESS))


def test_view_2_shows_the_very_edges() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, :30] = 255
    seen = view(DecodedImage.from_pixels(pixels), PREPROCESS, 2, DIGEST)
    assert (seen[:, :5] == 255).all()
    assert (seen[:, 8:] == 0).all()


def test_views_are_the_same_each_time_and_differ_by_number_and_content() -> None:
    picture = DecodedImage.from_pixels(draw_scene(2, 200))
    views = [view(picture, PREPROCESS, number, DIGEST) for number in range(3, 8)]
    for number, seen in enumerate(views, 3):
        assert np.array_equal(seen, view(picture, PREPROCESS, number, DIGEST))
    other = [view(picture, PREPROCESS, number, DIGEST[::-1]) for number in range(3, 8)]
    everything = [*views, *other]
    assert len({seen.tobytes() for seen in everything}) == len(everything)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 40), (64, 64)])
def test_any_shape_has_every_view(shape: tuple[int, int]) -> None:
    picture = DecodedImage.from_pixels(np.full((*shape, 3), 77, np.uint8))
    for number in range(8):
        seen = view(picture, PREPROCESS, number, DIGEST)
        assert seen.shape == (64, 64, 3)
        assert seen.dtype == np.uint8


def test_jitter_keeps_hue() -> None:
    """Red stays the strongest channel in a red picture, whatever the jitter."""
    picture = DecodedImage.from_pixels(np.full((50, 50, 3), (180, 60, 60), np.uint8))
    for number in range(3, 30):
        red, green, blue = view(picture, PREPROCESS, number, DIGEST)[5, 5].astype(int)
        assert red > green
        assert abs(green - blue) <= 1
