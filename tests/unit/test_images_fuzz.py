"""Sound files, damaged at will: nothing but ImageRejected leaves `decode`."""

from __future__ import annotations

import pytest
from fixtures.hostile import valid_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.errors import ImageRejected
from lookalike.images import DecodedImage, ImageLimits, decode

FILES = valid_files()
# Damage may say that the picture is large, and then it must not become slow.
LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000, max_side=10_000)
OURS = settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))

places = st.floats(0, 1, exclude_max=True)
edits = st.lists(
    st.one_of(
        st.tuples(st.just("set"), places, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("remove"), places, st.integers(1, 40)),
        st.tuples(st.just("repeat"), places, st.integers(1, 60)),
        st.tuples(st.just("cut"), places, st.none()),
    ),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, changes: list[tuple[str, float, object]]) -> bytes:
    for kind, place, what in changes:
        # Squared, because headers are where damage is interesting.
        at = int(place * place * len(data))
        if isinstance(what, bytes):
            data = data[:at] + what + data[at + (len(what) if kind == "set" else 0) :]
        elif isinstance(what, int):
            rest = data[at + what :] if kind == "remove" else data[at : at + what] * 3 + data[at + what :]
            data = data[:at] + rest
        else:
            data = data[:at]
    return data


def decoded(data: bytes) -> DecodedImage | None:
    try:
        return decode(data, LIMITS, min_side=16)
    except ImageRejected:
        return None


@pytest.mark.parametrize("name", FILES)
@OURS
@given(changes=edits)
def test_damage_ends_in_a_picture_or_a_rejection(name: str, changes: list[tuple[str, float, object]]) -> None:
    image = decoded(edited(FILES[name], changes))
    assert image is None or image.image.mode == "RGB"
    assert image is None or image.width * image.height <= LIMITS.max_pixels


@OURS
@given(head=st.sampled_from([data[:24] for data in FILES.values()]), tail=st.binary(max_size=300))
def test_a_mark_and_noise_are_no_picture(head: bytes, tail: bytes) -> None:
    for kept in (4, 12, 24):
        assert decoded(head[:kept] + tail) is None
