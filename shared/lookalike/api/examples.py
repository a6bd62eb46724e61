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

TRAINED = "efficientnet-lite0-cosface-5b8e1f0a9c3d"
TRAINING = "20260101t120500-1a2b3c"
_MEASURED = {
    "encoder_id": ENCODER,
    "recall_at_1": 0.801,
    "recall_at_5": 0.912,
    "recall_at_10": 0.941,
    "map_at_r": 0.395,
}
_TRAINING = {
    "id": TRAINING,
    "collection": "fashion",
    "source": "zip",
    "options": {"backbone": "efficientnet-lite0", "loss": "cosface", "dimension": 256, "views": 6},
    "label": None,
    "publish": "if_better",
    "status": "succeeded",
    "phase": "",
    "done": 0,
    "total": 0,
    "remaining_seconds": None,
    "loss": 0.41,
    "metrics": {"map_at_r": 0.72},
    "notes": ["1 class has one picture only and were left out: belts"],
    "encoder": TRAINED,
    "published": True,
    "reason": "mAP@R rises: 0.395 → 0.720 (change between +0.301 and +0.349); recall@1 0.801 → 0.863",
    "comparison": {
        "old": _MEASURED,
        "new": {**_MEASURED, "encoder_id": TRAINED, "recall_at_1": 0.863, "map_at_r": 0.72},
        "queries": 340,
        "gallery": 3069,
        "classes": 10,
        "change": {"value": 0.325, "low": 0.301, "high": 0.349},
        "verdict": "better",
        "basis": "pictures that the training held out",
    },
    "report_url": f"{SERVER}/collections/fashion/trainings/{TRAINING}/report",
    "created_at": "2026-01-01T12:05:00+00:00",
    "started_at": "2026-01-01T12:05:01+00:00",
    "finished_at": "2026-01-01T12:10:12+00:00",
}
_WAITING = {
    **_TRAINING,
    "status": "waiting_for_upload",
    "loss": None,
    "metrics": {},
    "notes": [],
    "encoder": None,
    "published": None,
    "reason": None,
    "comparison": None,
    "report_url": None,
    "started_at": None,
    "finished_at": None,
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
    "StandingAnswer": {
        "collection": "fashion",
        "items": 3412,
        "delta": 3,
        "categories": 10,
        "encoder": ENCODER,
        "snapshot": SNAPSHOT,
        "snapshot_at": AT,
        "last_ingested_at": "2026-01-01T12:06:00.250+00:00",
        "calibrated": True,
    },
    "FacetsAnswer": {
        "collection": "fashion",
        "items": 3412,
        "facets": [
            {
                "field": "category",
                "kind": "text",
                "items": 3412,
                "distinct": 1,
                "values": [{"value": "shoes", "count": 3412}],
                "low": None,
                "high": None,
            }
        ],
    },
    "MapAnswer": {
        "collection": "fashion",
        "snapshot": SNAPSHOT,
        "total": 2,
        "ids": ["shoes/0001.jpg", "shoes/0002.jpg"],
        "x": [0.0, 1.0],
        "y": [0.25, 1.0],
        "category": [0, 0],
        "categories": ["shoes"],
    },
    "QualityAnswer": {
        "collection": "fashion",
        "encoder": ENCODER,
        "snapshot": SNAPSHOT,
        "split": "every picture asks all the others",
        "queries": 1000,
        "gallery": 3409,
        "categories": 10,
        "wanted_precision": 0.92,
        "metrics": {"recall_at_1": {"value": 0.801, "low": 0.78, "high": 0.82}},
        "threshold": {"score": 0.71, "precision": 0.92, "recall": 0.31},
        "curve": [{"score": 0.71, "precision": 0.92, "recall": 0.31}],
        "histogram": {"low": -1.0, "high": 1.0, "same": [10, 90], "different": [80, 20]},
        "by_category": [],
        "confusion": [{"asked": "shirt", "found": "longsleeve", "queries": 12}],
        "reliability": None,
        "calibration_error": None,
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
    "TrainingAnswer": _TRAINING,
    "TrainingAskedAnswer": {
        "training": _WAITING,
        "upload": {
            "id": TRAINING,
            "method": "PUT",
            "url": f"{SERVER}/uploads/WyJmYXNoaW9uL3RyYWluaW5nLzEuemlwIiwgMTc2XQ.6Yk3fJ0q",
            "headers": {"Content-Type": "application/zip"},
            "expires_at": "2026-01-01T12:20:00+00:00",
        },
    },
    "TrainingsAnswer": {"collection": "fashion", "trainings": [_TRAINING]},
    "TrainingLogAnswer": {
        "collection": "fashion",
        "id": TRAINING,
        "lines": [{"at": AT, "message": "3409 pictures of 10 classes"}],
    },
    "RollbackAnswer": {
        "collection": "fashion",
        "encoder": ENCODER,
        "previous_encoder": TRAINED,
        "snapshot": SNAPSHOT,
        "left_out": 0,
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
