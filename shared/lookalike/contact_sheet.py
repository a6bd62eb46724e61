"""Draw search results as one image: a row per search with the query and its matches."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import ImageRejected, NotFound
from lookalike.images import ImageLimits, decode
from lookalike.layout import image_key
from lookalike.types import Pixels

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

    from lookalike.duplicates import DuplicateGroup, DuplicateMember
    from lookalike.search import Query, SearchResult
    from lookalike.settings import Settings
    from lookalike.storage import Store
    from lookalike.types import Match

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

TILE = 208
GAP = 20
MARGIN = 36
TITLE_HEIGHT = 64
CAPTION_HEIGHT = 74
MAX_ROWS = 200
MAX_COLUMNS = 12
IMAGE_SIDE = 256

Colour = tuple[int, int, int]
WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")

PAPER = (250, 250, 248)
CARD = (255, 255, 255)
INK = (28, 30, 34)
MUTED = (122, 126, 134)
LINE = (224, 225, 228)
ACCENT = (20, 110, 220)
TRACK = (232, 234, 238)


@dataclass(frozen=True, slots=True)
class Tile:
    """One image of a sheet.

    Attributes:
        pixels: (height, width, 3) uint8 sRGB of any size, not cropped. None draws an empty card.
        title: first line below the image; shortened with an ellipsis.
        detail: second line, for example scores.
        bar: filled share of a bar, in [0, 1], for example a confidence; None draws no bar.
        badge: a word on a coloured frame, for example `query`; empty draws a plain frame.
    """

    pixels: Pixels | None
    title: str = ""
    detail: str = ""
    bar: float | None = None
    badge: str = ""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Tiles in a row. The first, the query, is set off from the others."""

    first: Tile
    others: Sequence[Tile]


def write_sheet(path: Path, title: str, rows: Sequence[SheetRow]) -> Path:
    """Draw `rows` below `title` and write a PNG file atomically.

    Only the first 200 rows are drawn, because viewers cannot open taller images.
    """
    sheet = draw_sheet(title, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"{path.name}.part")
    sheet.save(staged, format="PNG")
    staged.replace(path)
    return path


def draw_sheet(title: str, rows: Sequence[SheetRow]) -> Image.Image:
    """The sheet as a PIL image; as wide as its longest row."""
    from PIL import Image, ImageDraw

    drawn = list(rows[:MAX_ROWS])
    columns = max((1 + len(row.others) for row in drawn), default=1)
    # A wider gap after the first tile separates the query from the matches.
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP + (GAP if columns > 1 else 0)
    row_height = TILE + CAPTION_HEIGHT + GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN + TITLE_HEIGHT + len(drawn) * row_height - GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (MARGIN, MARGIN), title, 28, INK, width - 2 * MARGIN)
    for number, row in enumerate(drawn):
        top = MARGIN + TITLE_HEIGHT + number * row_height
        _draw_tile(sheet, pen, row.first, MARGIN, top)
        for column, tile in enumerate(row.others, start=1):
            _draw_tile(sheet, pen, tile, MARGIN + GAP + column * (TILE + GAP), top)
    return sheet


def _draw_tile(sheet: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, left: int, top: int) -> None:
    frame = (left, top, left + TILE, top + TILE)
    pen.rounded_rectangle(frame, radius=10, fill=CARD)
    if tile.pixels is not None:
        thumbnail = _thumbnail(tile.pixels)
        at = (left + (TILE - thumbnail.width) // 2, top + (TILE - thumbnail.height) // 2)
        sheet.paste(thumbnail, at)
    colour, weight = (ACCENT, 4) if tile.badge else (LINE, 1)
    pen.rounded_rectangle(frame, radius=10, outline=colour, width=weight)
    if tile.badge:
        _draw_badge(pen, tile.badge.upper(), left, top)
    line = top + TILE + 10
    _write(pen, (left + 2, line), tile.title, 17, INK, TILE - 4)
    _write(pen, (left + 2, line + 24), tile.detail, 14, MUTED, TILE - 4)
    if tile.bar is not None:
        _draw_bar(pen, tile.bar, left + 2, line + 50)


def _draw_badge(pen: ImageDraw.ImageDraw, text: str, left: int, top: int) -> None:
    text, font = _drawable(text, 13)
    width = int(pen.textlength(text, font)) + 18
    pen.rounded_rectangle((left, top, left + width, top + 24), radius=10, fill=ACCENT)
    pen.text((left + 9, top + 4), text, CARD, font)


def _draw_bar(pen: ImageDraw.ImageDraw, part: float, left: int, top: int) -> None:
    full = TILE - 4
    pen.rounded_rectangle((left, top, left + full, top + 5), radius=2, fill=TRACK)
    filled = round(full * min(max(part, 0.0), 1.0))
    if filled >= 5:
        pen.rounded_rectangle((left, top, left + filled, top + 5), radius=2, fill=ACCENT)


def _thumbnail(pixels: Pixels) -> Image.Image:
    """The image, fitted into the tile without cropping; small ones are enlarged up to four times."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    room = TILE - 16
    scale = min(room / picture.width, room / picture.height, 4.0)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: Colour, width: int
) -> None:
    """`text` on one line, shortened with an ellipsis to `width` pixels."""
    text, font = _drawable(" ".join(text.split())[:400], size)
    if pen.textlength(text, font) > width:
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if pen.textlength(f"{text[:middle].rstrip()}…", font) <= width:
                low = middle
            else:
                high = middle - 1
        text = f"{text[:low].rstrip()}…"
    pen.text(at, text, colour, font)


def _drawable(text: str, size: int) -> tuple[str, Font]:
    """Pillow's own font if it has the glyphs, or else a system font, or else letters without accents."""
    from PIL import ImageFont

    plain = ImageFont.load_default(size=size)
    if all(letter.isascii() or letter in "…·" for letter in text):
        return text, plain
    for name in WIDE_FONTS:
        try:
            return text, ImageFont.truetype(name, size)
        except OSError:
            continue
    folded = unicodedata.normalize("NFKD", text.replace("–", "-").replace("—", "-"))
    return folded.encode("ascii", "ignore").decode() or "?", plain


class ContactSheet:
    """Draws items of one collection. Reads their images from the images root."""

    def __init__(self, images: Store, settings: Settings, collection: str) -> None:
        self._images = images
        self._limits = ImageLimits.from_settings(settings)
        self._collection = collection

    def write_results(
        self, path: Path, title: str, answers: Sequence[tuple[str, Query, SearchResult]]
    ) -> Path:
        """One row per search: the query, then the matches with their scores."""
        rows = [
            SheetRow(
                Tile(self._asked(query), title=name, badge="query"),
                [self._match_tile(match) for match in result.matches[:MAX_COLUMNS]],
            )
            for name, query, result in answers[:MAX_ROWS]
        ]
        return write_sheet(path, title, rows)

    def write_groups(self, path: Path, title: str, groups: Sequence[DuplicateGroup]) -> Path:
        """One row per group: the member to keep, or the first of variants and similar images; the others."""
        rows = [
            SheetRow(
                self._member_tile(
                    group.members[0], badge="keep" if group.relation == "same" else group.relation
                ),
                [self._member_tile(member) for member in group.members[1 : 1 + MAX_COLUMNS]],
            )
            for group in groups[:MAX_ROWS]
        ]
        return write_sheet(path, title, rows)

    def _asked(self, query: Query) -> Pixels | None:
        for part in query.parts:
            if part.kind == "id":
                return self._stored(str(part.value))
            if isinstance(part.value, bytes):
                return self._decoded(part.value)
        return None

    def _match_tile(self, match: Match) -> Tile:
        detail = f"score {match.score:.3f}"
        if match.confidence is not None:
            detail += f" · {match.confidence:.0%} {match.likelihood}"
        title = match.item.title or match.item.id
        return Tile(self._stored(match.item.id), title, detail, bar=match.confidence)

    def _member_tile(self, member: DuplicateMember, badge: str = "") -> Tile:
        detail = f"{member.width}x{member.height}"
        if not badge:
            bits = "" if member.hash_distance is None else f" · {member.hash_distance} bits"
            detail = f"{member.score:.3f}{bits} · {detail}"
        return Tile(self._stored(member.id), member.id, detail, badge=badge)

    def _stored(self, item_id: str) -> Pixels | None:
        try:
            return self._decoded(self._images.get(image_key(self._collection, item_id)).data)
        except NotFound:  # removed since it was found
            return None

    def _decoded(self, data: bytes) -> Pixels | None:
        try:
            return decode(data, self._limits, min_side=IMAGE_SIDE).pixels
        except ImageRejected:
            return None
