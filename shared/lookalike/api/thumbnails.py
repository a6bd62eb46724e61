"""Small pictures of items: made when they are first asked for, and kept in memory while there is room."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from lookalike.api.names import image_key
from lookalike.api.values import Picture

if TYPE_CHECKING:
    from lookalike.api.service import Service

ROOM_BYTES = 48 * 1024 * 1024
QUALITY = 82
KEPT = tuple[str, str, int]


class Thumbnails:
    """JPEG files of the items of one service, no side longer than asked. Safe to share between threads."""

    def __init__(self, service: Service, *, room_bytes: int = ROOM_BYTES) -> None:
        self._service = service
        self._room_bytes = room_bytes
        self._lock = threading.Lock()
        self._held_bytes = 0
        self._kept: OrderedDict[KEPT, tuple[str, Picture]] = OrderedDict()

    def get(self, collection: str, item_id: str, side: int) -> Picture:
        """An item's picture, upright, at most `side` pixels wide and high; never enlarged.

        Raises:
            CollectionNotFound, ItemNotFound: there is none.
            ImageRejected, ImageTooLarge: the object can be no item, so it has no picture.
        """
        key = (collection, item_id, side)
        with self._lock:
            known = self._kept.get(key)
        if known is not None and known[0] == self._etag(collection, item_id):
            with self._lock:
                if key in self._kept:  # another thread may have made room meanwhile
                    self._kept.move_to_end(key)
            return known[1]
        original = self._service.picture(collection, item_id)
        small = self._small(original.data, side)
        etag = hashlib.sha256(f"{original.etag} {side}".encode()).hexdigest()[:24]
        made = Picture(small, f'"{etag}"', "image/jpeg")
        self._keep(key, original.etag, made)
        return made

    def _etag(self, collection: str, item_id: str) -> str | None:
        """Of what is stored now; None where it is gone, which `Service.picture` then says."""
        from lookalike.errors import ObjectNotFound

        try:
            return self._service.images.head(image_key(collection, item_id)).etag
        except ObjectNotFound:
            return None

    def _small(self, data: bytes, side: int) -> bytes:
        from PIL import Image

        from lookalike.images import ImageLimits, decode

        limits = ImageLimits.from_settings(self._service.settings)
        decoded = decode(data, limits, min_side=side)
        left, top, right, bottom = (round(edge) for edge in decoded.content)
        picture = decoded.image.crop((left, top, right, bottom))
        # Not thumbnail(): `image` may be shared.
        scale = min(1.0, side / max(picture.size))
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        target = io.BytesIO()
        picture.resize(size, Image.Resampling.LANCZOS).save(target, "JPEG", quality=QUALITY)
        return target.getvalue()

    def _keep(self, key: KEPT, etag: str, made: Picture) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            self._held_bytes += len(made.data) - (len(before[1].data) if before else 0)
            self._kept[key] = (etag, made)
            while self._held_bytes > self._room_bytes:
                _, (_, oldest) = self._kept.popitem(last=False)
                self._held_bytes -= len(oldest.data)
