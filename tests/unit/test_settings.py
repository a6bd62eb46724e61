"""Options of a process, read from its environment."""

from __future__ import annotations

import pytest

from lookalike.errors import SettingsError
from lookalike.settings import MAX_URL_SECONDS, Settings


def test_a_signed_url_lives_for_an_hour_at_most() -> None:
    assert Settings.from_env({"LOOKALIKE_URL_SECONDS": "3600"}).url_seconds == MAX_URL_SECONDS == 3_600
    assert Settings.from_env({}, url_seconds=3_600).url_seconds == 3_600
    with pytest.raises(SettingsError, match=r"URL_SECONDS is out of range.*got 3601; expected 1 to 3600"):
        Settings.from_env({"LOOKALIKE_URL_SECONDS": "3601"})
    with pytest.raises(SettingsError, match="URL_SECONDS is out of range"):
        Settings.from_env({}, url_seconds=43_200)


@pytest.mark.parametrize("text", ["0", "-1", "soon"])
def test_a_value_that_makes_no_sense(text: str) -> None:
    with pytest.raises(SettingsError, match="LOOKALIKE_URL_SECONDS"):
        Settings.from_env({"LOOKALIKE_URL_SECONDS": text})
