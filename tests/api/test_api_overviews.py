"""Status, facets, map and quality of a collection, and thumbnails."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from fixtures.page import photo
from fixtures.server import eventually, jpeg
from PIL import Image

CATEGORIES = ("hats", "shoes")


@pytest.fixture(scope="module")
def shop(server):
    """24 items of two categories, half of them products of two; one has no price."""
    server.create("overviews")
    pictures = {f"{CATEGORIES[n % 2]}/{n:02}.jpg": photo(CATEGORIES[n % 2], n) for n in range(24)}
    metadata = {
        name: {"product_id": f"p{n // 2}", "price": n, "sale": n < 6, "colour": "red" if n % 3 else "blue"}
        for n, name in enumerate(pictures)
    }
    del metadata["hats/00.jpg"]["price"]
    server.upload("overviews", pictures, **metadata)
    server.wait_for("overviews", *pictures)
    return server


def get(server, what: str, **query):
    answer = server.client.get(f"/collections/overviews/{what}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def facet(answer, field: str):
    return next(each for each in answer["facets"] if each["field"] == field)


def counts(answer, field: str) -> dict:
    return {each["value"]: each["count"] for each in facet(answer, field)["values"]}


def test_standing_says_how_many_and_how_fresh(shop):
    found = get(shop, "standing")
    assert (found["items"], found["categories"]) == (24, 2)
    assert found["last_ingested_at"] > "2020"


def test_facets_count_values_and_ranges(shop):
    found = get(shop, "facets")
    assert found["items"] == 24
    assert counts(found, "category") == {"hats": 12, "shoes": 12}
    assert counts(found, "sale") == {True: 6, False: 18}
    price = facet(found, "price")
    assert (price["kind"], price["items"], price["low"], price["high"]) == ("number", 23, 1, 23)
    assert facet(found, "product_id")["distinct"] == 12


def test_a_filter_counts_for_all_fields_but_its_own(shop):
    found = get(shop, "facets", filter=json.dumps({"category": "hats", "colour": "blue"}))
    assert found["items"] == 4
    assert counts(found, "category") == {"hats": 4, "shoes": 4}
    assert counts(found, "colour") == {"blue": 4, "red": 8}
    assert sum(counts(found, "sale").values()) == 4


def test_facets_know_what_came_and_went_since(shop):
    shop.upload("overviews", {"bags/new.jpg": photo("bags", 99)}, **{"bags/new.jpg": {"colour": "green"}})
    shop.wait_for("overviews", "bags/new.jpg")
    eventually(lambda: counts(get(shop, "facets"), "category").get("bags") == 1)
    assert counts(get(shop, "facets"), "colour")["green"] == 1
    assert "bags/new.jpg" in get(shop, "map")["ids"]
    shop.client.delete("/collections/overviews/items/bags/new.jpg")
    eventually(lambda: "bags" not in counts(get(shop, "facets"), "category"))
    assert "bags/new.jpg" not in get(shop, "map")["ids"]


def test_the_map_places_every_item_within_bounds(shop):
    found = get(shop, "map")
    assert found["total"] == len(found["ids"]) == len(found["x"]) == len(found["y"]) == 24
    assert min(found["x"] + found["y"]) >= 0
    assert max(found["x"] + found["y"]) <= 1
    named = [found["categories"][number] for number in found["category"]]
    assert [id_.split("/")[0] for id_ in found["ids"]] == named
    few = get(shop, "map", limit=5)
    assert len(set(few["ids"])) == 5
    assert few["total"] == 24


def test_quality_is_that_of_the_library(shop):
    found = get(shop, "quality")
    assert found["queries"] == found["gallery"] == 24
    assert found["metrics"]["recall_at_1"]["value"] > 0.9  # colours tell hats from shoes
    recalls = [point["recall"] for point in found["curve"]]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1
    # Pairs in both directions, without pairs of an image with itself.
    assert sum(found["histogram"]["same"]) == 2 * 12 * 11
    assert sum(found["histogram"]["different"]) == 2 * 12 * 12


def test_quality_without_categories_is_refused_in_words(server, collection):
    server.upload(collection, {f"{n}.jpg": jpeg(n) for n in range(3)})
    server.wait_for(collection, "0.jpg", "1.jpg", "2.jpg")
    answer = server.client.get(f"/collections/{collection}/quality")
    assert answer.status_code == 400
    assert "too few labelled images" in answer.json()["detail"]


@pytest.mark.parametrize("what", ["facets", "map", "quality"])
def test_an_empty_collection_is_not_ready(server, collection, what):
    assert server.client.get(f"/collections/{collection}/{what}").status_code == 503
    assert server.client.get(f"/collections/{collection}/standing").json()["items"] == 0


@pytest.mark.parametrize("filter_", ["[]", "{", '{"nothing": 1}', '{"price": "cheap"}', "null"])
def test_a_bad_filter_is_no_failure(shop, filter_):
    answer = shop.client.get("/collections/overviews/facets", params={"filter": filter_})
    assert answer.status_code in {400, 422}


def test_thumbnails_are_small_upright_and_kept(server, collection):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    target = io.BytesIO()
    Image.fromarray(np.zeros((200, 800, 3), np.uint8)).save(target, "JPEG", exif=exif)
    server.upload(collection, {"tall.jpg": target.getvalue()})
    server.wait_for(collection, "tall.jpg")
    url = f"/collections/{collection}/thumbnails/tall.jpg"
    for side in (64, 160, 320, 960):
        answer = server.client.get(url, params={"side": side})
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as small:
            assert small.size == ((side // 4, side) if side < 800 else (200, 800))
    tag = answer.headers["etag"]
    again = server.client.get(url, params={"side": 960}, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    server.upload(collection, {"tall.jpg": jpeg(4)})
    assert server.client.get(url, params={"side": 960}).headers["etag"] != tag


def test_what_has_no_thumbnail_is_a_problem(server, collection):
    assert server.client.get(f"/collections/{collection}/thumbnails/no.jpg").status_code == 404
    assert server.client.get(f"/collections/{collection}/thumbnails/no.jpg?side=7").status_code == 422
    server.upload(collection, {"bad.jpg": b"no picture"})
    answer = server.client.get(f"/collections/{collection}/thumbnails/bad.jpg")
    assert answer.status_code == 422
    assert answer.json()["reason"]
