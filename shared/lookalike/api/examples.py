"""One example of every answer, for the OpenAPI description."""

from __future__ import annotations

from typing import Any

ENCODER = "efficientnet-lite0-0f3c9a1b2d4e"
SNAPSHOT = "20260101T120500-1a2b3c4d"
SERVER = "http://127.0.0.1:8000"
AT = "2026-01-01T12:05:00+00:00"

_RESULT = {
    "id": "shoes/0001.jpg",
    "score": 0.93,
    "distance": 0.07,
    "confidence": 0.97,
    "category": "shoes",
    "product_id": "sku-17",
    "metadata": {"title": "Red trainer", "price": 39.9},
    "image_url": f"{SERVER}/collections/fashion/images/shoes/0001.jpg",
}
_COLLECTION = {
    "name": "fashion",
    "encoder": ENCODER,
    "metric": "cosine",
    "engine": "annoy",
    "n_trees": None,
    "search_k": None,
    "recall_target": 0.95,
    "created_at": "2026-01-01T12:00:00+00:00",
    "snapshot": {"id": SNAPSHOT, "created_at": AT, "items": 3409, "recall": 0.982},
}
_NEIGHBOR = {
    "id": "shoes/0002.jpg",
    "product_id": "sku-18",
    "score": 0.91,
    "distance": 0.09,
    "confidence": 0.96,
}
_DUPLICATE = {
    "id": "shoes/0001.jpg",
    "product_id": "sku-17",
    "width": 1200,
    "height": 1200,
    "score": 1.0,
    "hash_distance": 0,
    "reasons": ["vector", "hash"],
    "image_url": f"{SERVER}/collections/fashion/images/shoes/0001.jpg",
}

ANSWERS: dict[str, dict[str, Any]] = {
    "HealthAnswer": {"status": "ok", "version": "0.1.0"},
    "CollectionAnswer": _COLLECTION,
    "CollectionsAnswer": {"collections": [_COLLECTION]},
    "SearchAnswer": {
        "collection": "fashion",
        "encoder": ENCODER,
        "snapshot": SNAPSHOT,
        "index_time": AT,
        "took_ms": 14.2,
        "results": [_RESULT],
    },
    "ItemAnswer": {
        "id": "shoes/0001.jpg",
        "category": "shoes",
        "product_id": "sku-17",
        "metadata": {"title": "Red trainer", "price": 39.9},
        "width": 1200,
        "height": 1200,
        "ingested_at": "2026-01-01T12:01:00.250+00:00",
        "image_url": f"{SERVER}/collections/fashion/images/shoes/0001.jpg",
    },
    "UploadsAnswer": {
        "uploads": [
            {
                "id": "shoes/0001.jpg",
                "method": "PUT",
                "url": f"{SERVER}/uploads/WyJmYXNoaW9uL2ltYWdlcy9zaG9lcy8wMDAxLmpwZyIsIDE3Nl0.6Yk3fJ0q",
                "headers": {"Content-Type": "image/jpeg"},
                "expires_at": "2026-01-01T12:15:00+00:00",
            }
        ]
    },
    "UploadedAnswer": {"collection": "fashion", "id": "shoes/0001.jpg", "size_bytes": 48213},
    "RejectionsAnswer": {
        "collection": "fashion",
        "offset": 0,
        "rejections": [
            {
                "id": "shoes/note.jpg",
                "reason": "unsupported_format",
                "message": "this is not an image format that lookalike reads",
                "at": AT,
            }
        ],
    },
    "NeighborsAnswer": {
        "collection": "fashion",
        "encoder": ENCODER,
        "snapshot": SNAPSHOT,
        "k": 1,
        "offset": 0,
        "items": [{"id": "shoes/0001.jpg", "product_id": "sku-17", "neighbors": [_NEIGHBOR]}],
    },
    "DuplicatesAnswer": {
        "collection": "fashion",
        "total": 1,
        "offset": 0,
        "groups": [
            {
                "keep": "shoes/0001.jpg",
                "members": [
                    _DUPLICATE,
                    {**_DUPLICATE, "id": "shoes/copy.jpg", "width": 600, "height": 600, "hash_distance": 4},
                ],
            }
        ],
    },
    "Problem": {
        "type": "urn:lookalike:problem:collection-not-found",
        "title": "There is no such collection",
        "status": 404,
        "detail": "no such collection; got 'fashoin'. Did you mean fashion?",
        "instance": "/collections/fashoin/search",
        "request_id": "5f1c9c0e3b0d4a0f8e0c8d2f6a7b9c1d",
        "fix": "Did you mean fashion?",
    },
}
