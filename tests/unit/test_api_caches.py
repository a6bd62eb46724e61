from __future__ import annotations

import pytest

from lookalike.api.caches import ReportCache, ThumbnailCache
from lookalike.api.images import StoredImage


@pytest.fixture
def computed():
    return []


@pytest.fixture
def get(computed):
    """Gets a report through one cache; `computed` lists the values that had to be computed."""
    cache = ReportCache()

    def get_report(collection, report, version, value):
        return cache.get(collection, report, version, lambda: computed.append(value) or value)

    get_report.cache = cache
    return get_report


def test_a_report_is_computed_once_per_version(get, computed):
    assert [get("shop", "map", 1, "a"), get("shop", "map", 1, "b")] == ["a", "a"]
    assert get("shop", "map", 2, "c") == "c"
    assert get("shop", "map", 1, "d") == "d"  # only the latest version is kept
    assert computed == ["a", "c", "d"]


def test_reports_and_collections_do_not_share_results(get):
    assert get("shop", "map", 1, "a") == "a"
    assert get("shop", "quality", 1, "b") == "b"
    assert get("food", "map", 1, "c") == "c"
    assert get("shop", "map", 1, "d") == "a"


def test_a_deleted_collection_is_forgotten(get):
    get("shop", "map", 1, "a")
    get("food", "map", 1, "b")
    get.cache.forget("shop")
    assert get("shop", "map", 1, "c") == "c"
    assert get("food", "map", 1, "d") == "b"


def thumbnail(size):
    return StoredImage(bytes(size), '"etag"', "image/jpeg")


def test_the_least_recently_used_thumbnail_is_dropped_first():
    cache = ThumbnailCache(max_bytes=100)
    first, second, third = ("shop", "1.jpg", 64), ("shop", "2.jpg", 64), ("shop", "3.jpg", 64)
    cache.put(first, "a", thumbnail(40))
    cache.put(second, "b", thumbnail(40))
    assert cache.get(first) is not None
    cache.put(third, "c", thumbnail(40))
    assert cache.get(second) is None
    assert [entry[0] for key in (first, third) if (entry := cache.get(key))] == ["a", "c"]


def test_a_thumbnail_that_is_replaced_counts_once():
    cache = ThumbnailCache(max_bytes=100)
    key, other = ("shop", "1.jpg", 64), ("shop", "2.jpg", 64)
    for _ in range(5):
        cache.put(key, "a", thumbnail(60))
    cache.put(other, "b", thumbnail(40))
    assert cache.get(key) is not None
    assert cache.get(other) is not None
