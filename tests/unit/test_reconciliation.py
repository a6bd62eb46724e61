"""The daily repair: each collection gets its turn, and one that fails stops no other."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from fixtures.photos import write_photos

from lookalike.aws.reconciliation import reconcile_collections
from lookalike.library import Library
from lookalike.settings import Settings

NAMES = ["bags", "hats", "shoes"]
FOREVER = 900.0


@pytest.fixture
def library(tmp_path: Path, tiny_encoder_folder: Path) -> Library:
    made = Library(Settings(store=str(tmp_path / "store")), tmp_path / "cache")
    encoder = made.encoders.add(tiny_encoder_folder)
    for name in NAMES:
        made.create_collection(name, encoder=encoder.id)
        write_photos(tmp_path / "store" / "images" / name / "images", 3)
    return made


def test_what_no_event_told_of_is_found(library: Library) -> None:
    encoded = {}
    found = reconcile_collections(
        library, None, lambda: FOREVER, lambda name, report: encoded.update({name: report.encoded})
    )
    assert found == ([], [])
    assert encoded == dict.fromkeys(NAMES, 3)


def test_what_one_day_has_no_time_for_is_the_first_of_another(library: Library) -> None:
    begun = set()
    for day in range(3):
        failed, later = reconcile_collections(
            library, None, lambda: 0.0, today=date(2026, 11, 1) + timedelta(days=day)
        )
        assert failed == []
        assert len(later) == 2
        begun |= set(NAMES) - set(later)
    assert begun == set(NAMES)


def test_one_that_fails_stops_no_other(library: Library, tmp_path: Path) -> None:
    settings = tmp_path / "store" / "artifacts" / "collections" / "hats" / "collection.json"
    settings.write_text("{", "utf-8")
    reached = []
    failed, later = reconcile_collections(
        library, None, lambda: FOREVER, lambda name, _report: reached.append(name)
    )
    assert (failed, later) == (["hats"], [])
    assert sorted(reached) == ["bags", "shoes"]


def test_nothing_is_nothing_to_do(tmp_path: Path) -> None:
    empty = Library(Settings(store=str(tmp_path / "store")), tmp_path / "cache")
    assert reconcile_collections(empty, None, lambda: FOREVER) == ([], [])
