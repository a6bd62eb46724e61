"""Contact sheets: everything in its place, whatever the pictures and titles are like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.contact_sheet import (
    ACCENT,
    GAP,
    MARGIN,
    TILE,
    TITLE_HEIGHT,
    SheetRow,
    Tile,
    draw_sheet,
    write_sheet,
)
from lookalike.types import Pixels

RED = (200, 30, 40)


def block(width: int, height: int, colour: tuple[int, int, int] = RED) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def middle_of(column: int) -> tuple[int, int]:
    left = MARGIN + column * (TILE + GAP) + (GAP if column else 0)
    return left + TILE // 2, MARGIN + TITLE_HEIGHT + TILE // 2


@pytest.mark.parametrize("size", [(1, 1), (4000, 3), (3, 4000), (64, 64), (500, 300)])
def test_a_picture_of_any_shape_is_in_the_middle_of_its_tile(size: tuple[int, int]) -> None:
    sheet = draw_sheet("any", [SheetRow(Tile(block(*size)), [Tile(block(*size, (20, 160, 60)))])])
    for column, colour in enumerate((RED, (20, 160, 60))):
        x, y = middle_of(column)
        around = np.asarray(sheet.crop((x - 1, y - 1, x + 2, y + 2)))
        assert (around == colour).all(axis=2).any()


def test_the_first_tile_is_framed_and_labelled_and_the_bar_is_as_long_as_its_part() -> None:
    half = Tile(block(50, 50), "title", "detail", bar=0.5)
    pixels = np.asarray(draw_sheet("framed", [SheetRow(Tile(block(50, 50), badge="query"), [half])]))
    accent = (pixels == ACCENT).all(axis=2)
    first, second = middle_of(0)[0] - TILE // 2, middle_of(1)[0] - TILE // 2
    frame = accent[MARGIN + TITLE_HEIGHT + TILE // 2, first : first + TILE]
    assert frame[:3].all()
    assert frame[-2:].all()
    below = accent[MARGIN + TITLE_HEIGHT + TILE + 10 :, second : second + TILE]
    assert below.any(axis=0).sum() == pytest.approx((TILE - 4) / 2, abs=2)


def test_rows_of_different_length_and_missing_pictures() -> None:
    rows = [SheetRow(Tile(None), []), SheetRow(Tile(block(5, 5)), [Tile(None), Tile(block(9, 9))])]
    sheet = draw_sheet("rows", rows)
    assert sheet.width == 2 * MARGIN + 3 * TILE + 3 * GAP
    assert draw_sheet("none", []).height > 0


@pytest.mark.parametrize(
    "text", ["x" * 5_000, "línea – Ünïcode", "日本語の長い題名" * 30, "a\nb\tc", "", "🍎"]
)
def test_text_never_leaves_its_column(text: str) -> None:
    plain = np.asarray(draw_sheet("t", [SheetRow(Tile(block(9, 9)), [Tile(None), Tile(None)])]))
    titled = np.asarray(draw_sheet("t", [SheetRow(Tile(block(9, 9), text, text), [Tile(None), Tile(None)])]))
    assert plain.shape == titled.shape
    changed = np.flatnonzero((plain != titled).any(axis=(0, 2)))
    assert changed.size == 0 or (changed.min() >= MARGIN and changed.max() <= MARGIN + TILE)


def test_the_file_is_a_png_that_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "sheet.png"
    assert write_sheet(target, "title", [SheetRow(Tile(block(9, 9)), [])]) == target
    with Image.open(target) as opened:
        assert opened.format == "PNG"
    assert [file.name for file in target.parent.iterdir()] == ["sheet.png"]
