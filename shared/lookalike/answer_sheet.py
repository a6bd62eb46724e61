"""Contact sheets of search results and of duplicate groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.contact_sheet import MAX_ROWS, SheetRow, Tile, write_sheet
from lookalike.errors import ImageRejected, NotFound
from lookalike.images import ImageLimits, decode
from lookalike.layout import image_key

if TYPE_CHECKING:
    from lookalike.duplicates import DuplicateGroup, DuplicateMember
    from lookalike.search import Query, SearchResult
    from lookalike.settings import Settings
    from lookalike.storage import Store
    from lookalike.types import Match, Pixels

SHOWN_SIDE = 256
MAX_COLUMNS = 12


class AnswerSheet:
    """Draws items of one collection. Reads their images from the images root."""

    def __init__(self, images: Store, settings: Settings, collection: str) -> None:
        self._images = images
        self._limits = ImageLimits.from_settings(settings)
        self._collection = collection

    def write_answers(
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
        """One row per group: the member to keep, then the others."""
        rows = [
            SheetRow(
                self._member_tile(group.members[0], badge="keep"),
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
            detail += f" · confidence {match.confidence:.0%}"
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
            return decode(data, self._limits, min_side=SHOWN_SIDE).pixels
        except ImageRejected:
            return None
