"""What a user does, over HTTP, from beginning to end."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
from fixtures.search_answer import ANSWER_FIELDS, MATCH_FIELDS
from fixtures.server import add_encoder, eventually, jpeg, running, smaller

from lookalike.settings import Settings


@pytest.fixture(scope="module")
def shop(server):
    """A collection with six images in two categories."""
    name = "shop"
    server.create(name)
    pictures = {f"{('shoes', 'hats')[seed % 2]}/{seed}.jpg": jpeg(seed) for seed in range(6)}
    metadata = {
        item_id: {
            "product_id": f"p{seed // 2}",
            "title": f"Thing {seed}",
            "price": 10 * seed,
            "new": seed > 3,
        }
        for seed, item_id in enumerate(pictures)
    }
    server.upload(name, pictures, **metadata)
    server.wait_for(name, *pictures)
    return name


def test_a_collection_is_created_shown_changed_and_deleted(server):
    made = server.create("first", metric="l2")
    assert (made["name"], made["metric"], made["engine"], made["snapshot"]) == ("first", "l2", "annoy", None)
    client = server.client
    changed = client.put("/collections/first", json={"engine": "exact"})
    assert changed.status_code == 200
    assert (changed.json()["engine"], changed.json()["metric"]) == ("exact", "l2")
    assert client.get("/collections/first").json() == changed.json()
    assert "first" in [entry["name"] for entry in client.get("/collections").json()["collections"]]
    deleted = client.delete("/collections/first")
    assert (deleted.status_code, deleted.content) == (204, b"")
    missing = client.get("/collections/first")
    assert missing.status_code == 404
    assert not (server.images / "first").exists() or not any((server.images / "first").rglob("*.jpg"))


def test_a_collection_made_again_under_its_name_has_nothing_of_the_old_one(server):
    for seed in (1, 2):
        server.create("again")
        server.upload("again", {f"{seed}.jpg": jpeg(seed)})
        server.wait_for("again", f"{seed}.jpg")
        assert server.ids("again", id=f"{seed}.jpg", include_self=True) == [f"{seed}.jpg"]
        assert server.client.delete("/collections/again").status_code == 204


def test_search_by_file_by_base64_and_by_id_find_the_same(server, shop):
    item_id, picture = "shoes/2.jpg", jpeg(2)
    by_id = server.search(shop, id=item_id, include_self=True)
    by_text = server.search(shop, image=base64.b64encode(picture).decode())
    form = server.client.post(f"/collections/{shop}/search", files={"image": ("x.jpg", picture)})
    similar = server.client.get(
        f"/collections/{shop}/items/{item_id}/similar", params={"include_self": "true"}
    )
    assert form.status_code == similar.status_code == 200
    assert set(by_id) == ANSWER_FIELDS
    assert all(set(result) == MATCH_FIELDS for result in by_id["results"])
    expected = [result["id"] for result in by_id["results"]]
    assert expected[0] == item_id
    assert len(expected) == 6
    for answer in (by_text, form.json(), similar.json()):
        assert [result["id"] for result in answer["results"]] == expected
        assert answer["results"][0]["score"] == pytest.approx(1, abs=1e-4)


def test_an_item_is_not_among_its_own_matches_unless_asked_for(server, shop):
    assert "hats/1.jpg" not in server.ids(shop, id="hats/1.jpg")
    assert server.ids(shop, id="hats/1.jpg", include_self=True)[0] == "hats/1.jpg"


def test_a_weighted_mix_of_parts(server, shop):
    parts = [{"id": "shoes/0.jpg", "weight": 0.2}, {"image": base64.b64encode(jpeg(5)).decode(), "weight": 2}]
    assert server.ids(shop, query=parts, include_self=True)[0] == "hats/5.jpg"


def test_filters_groups_and_pages(server, shop):
    def ids(**options):
        return server.ids(shop, id="shoes/0.jpg", include_self=True, **options)

    assert set(ids(filter={"category": "hats"})) == {"hats/1.jpg", "hats/3.jpg", "hats/5.jpg"}
    assert set(ids(filter={"price": {"gte": 20, "lt": 50}})) == {"shoes/2.jpg", "hats/3.jpg", "shoes/4.jpg"}
    assert set(ids(filter={"product_id": {"in": ["p0", "p2"]}, "not": {"new": True}})) == {
        "shoes/0.jpg",
        "hats/1.jpg",
    }
    everything = ids()
    assert len(everything) == 6
    assert ids(limit=2) + ids(limit=2, offset=2) + ids(limit=5, offset=4) == everything
    grouped = server.search(shop, id="shoes/0.jpg", include_self=True, group_by="product_id")["results"]
    assert sorted(result["product_id"] for result in grouped) == ["p0", "p1", "p2"]


def test_form_fields_are_the_same_as_in_json(server, shop):
    form = {
        "limit": "1",
        "include_self": "true",
        "filter": json.dumps({"category": "hats"}),
        "query": json.dumps([{"id": "hats/3.jpg"}]),
    }
    response = server.client.post(
        f"/collections/{shop}/search", files={name: (None, text) for name, text in form.items()}
    )
    assert response.status_code == 200, response.text
    assert [result["id"] for result in response.json()["results"]] == ["hats/3.jpg"]


def test_metadata_given_with_an_upload_is_the_items(server, shop):
    item = server.item(shop, "hats/3.jpg")
    assert (item["category"], item["product_id"]) == ("hats", "p1")
    assert item["metadata"] == {"title": "Thing 3", "price": 30, "new": False}
    assert (item["width"], item["height"]) == (96, 96)


def test_metadata_of_uploads_is_kept_replaced_or_forgotten(server, collection):
    def said(**metadata):
        server.upload(collection, {"a.jpg": jpeg(1)}, **metadata)

    def becomes(expected):
        eventually(lambda: (server.item(collection, "a.jpg") or {}).get("metadata") == expected)

    said(**{"a.jpg": {"colour": "red", "size": 3}})
    becomes({"colour": "red", "size": 3})
    said()  # nothing said: nothing changes
    server.upload(collection, {"b.jpg": jpeg(2)})
    server.wait_for(collection, "b.jpg")
    becomes({"colour": "red", "size": 3})
    said(**{"a.jpg": {"colour": "blue"}})
    becomes({"colour": "blue"})
    said(**{"a.jpg": {}})
    becomes({})


def test_an_item_deleted_and_uploaded_again_has_nothing_of_its_old_metadata(server, collection):
    server.upload(collection, {"a.jpg": jpeg(1), "b.jpg": jpeg(2)}, **{"a.jpg": {"colour": "red"}})
    eventually(lambda: (server.item(collection, "a.jpg") or {}).get("metadata") == {"colour": "red"})
    assert server.client.delete(f"/collections/{collection}/items/a.jpg").status_code == 204
    server.upload(collection, {"a.jpg": jpeg(3)})
    assert eventually(lambda: server.item(collection, "a.jpg"))["metadata"] == {}


def test_an_image_is_served_byte_for_byte_and_never_as_a_page(server, shop):
    url = server.search(shop, id="hats/1.jpg")["results"][0]["image_url"]
    response = server.client.get(url)
    assert response.status_code == 200
    assert response.content == jpeg(int(url.rpartition("/")[2].removesuffix(".jpg")))
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    again = server.client.get(url, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    changed = server.client.get(url, headers={"If-None-Match": '"another"'})
    assert changed.status_code == 200


def test_an_image_with_an_html_name_gets_its_real_media_type(server, collection):
    server.upload(collection, {"page.html": jpeg(1), "script.html": b"<script>alert(1)</script>"})
    server.wait_for(collection, "page.html")
    assert (
        server.client.get(f"/collections/{collection}/images/page.html").headers["content-type"]
        == "image/jpeg"
    )
    other = server.client.get(f"/collections/{collection}/images/script.html")
    assert other.headers["content-type"] == "application/octet-stream"
    assert other.headers["content-disposition"] == "attachment"


@pytest.mark.parametrize("item_id", ["ü/é 1.jpg", "a#1b?c&d=e+f%20.jpg", "日本/🙂.jpg", "[x]{y}|'\"<>.jpg"])
def test_odd_but_legal_names(server, collection, item_id):
    server.upload(collection, {item_id: jpeg(7), "other.jpg": jpeg(8)}, **{item_id: {"odd": True}})
    server.wait_for(collection, "other.jpg")
    found = eventually(lambda: server.search(collection, id="other.jpg")["results"])[0]
    assert (found["id"], found["metadata"]) == (item_id, {"odd": True})
    assert server.client.get(found["image_url"]).content == jpeg(7)


def test_deleting_an_item_removes_its_image_immediately(server, collection):
    server.upload(collection, {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    server.wait_for(collection, "a.jpg", "b.jpg")
    assert server.client.delete(f"/collections/{collection}/items/a.jpg").status_code == 204
    assert server.ids(collection, id="b.jpg") == []
    assert server.item(collection, "a.jpg") is None
    assert server.client.get(f"/collections/{collection}/images/a.jpg").status_code == 404
    assert server.client.delete(f"/collections/{collection}/items/a.jpg").status_code == 404
    assert not (server.images / collection / "images" / "a.jpg").exists()


def test_files_that_are_not_images_are_listed_with_a_reason(server, collection):
    server.upload(collection, {"a.jpg": jpeg(1), "note.jpg": b"not a picture", "cut.jpg": jpeg(2)[:700]})
    server.wait_for(collection, "a.jpg")
    url = f"/collections/{collection}/rejections"
    listed = eventually(
        lambda: (
            len(found := server.client.get(f"/collections/{collection}/rejections").json()["rejections"]) == 2
            and found
        )
    )
    reasons = {entry["id"]: entry["reason"] for entry in listed}
    assert reasons["note.jpg"] == "unsupported_format"
    assert reasons["cut.jpg"] == "undecodable"
    assert all(entry["message"] and entry["at"] for entry in listed)
    page = server.client.get(url, params={"limit": 1, "offset": 1}).json()
    assert [entry["id"] for entry in page["rejections"]] == [listed[1]["id"]]


def test_neighbours_page_by_page(server, shop):
    def page(**params):
        return server.client.get(f"/collections/{shop}/neighbors", params=params).json()

    whole = page(k=3)
    assert len(whole["items"]) == 6
    for entry in whole["items"]:
        assert [near["id"] for near in entry["neighbors"]] == server.ids(shop, id=entry["id"], limit=3)
    parts = [page(k=3, limit=4), page(k=3, limit=4, offset=4)]
    assert [entry for part in parts for entry in part["items"]] == whole["items"]


def test_two_copies_of_an_image_are_a_group_of_duplicates(server, collection):
    whole = jpeg(11, 256)
    server.upload(collection, {"a.jpg": whole, "copy.jpg": smaller(whole, 128), "other.jpg": jpeg(12, 256)})
    server.wait_for(collection, "a.jpg", "copy.jpg", "other.jpg")
    answer = server.client.get(f"/collections/{collection}/duplicates", params={"min_score": 0.999}).json()
    assert answer["total"] == 1
    assert answer["groups"][0]["keep"] == "a.jpg"
    assert [member["id"] for member in answer["groups"][0]["members"]] == ["a.jpg", "copy.jpg"]
    assert answer["groups"][0]["relation"] == answer["relation"] == "same"
    assert answer["groups"][0]["kept_because"] == ["most pixels"]
    assert answer["counts"]["same"] == 1
    structure, colours = answer["groups"][0]["members"][1]["evidence"]
    assert structure.startswith("same structure (")
    assert colours == "same colours"


def test_duplicates_are_compared_over_several_calls(server, collection):
    pictures = {
        f"{seed}-{side}.jpg": smaller(jpeg(seed, 256), side)
        for seed in (11, 12)
        for side in (128, 120, 112, 104, 96, 88, 80)
    }
    server.upload(collection, pictures)
    server.wait_for(collection, *pictures)
    path, seen = f"/collections/{collection}/duplicates", []
    while not seen or seen[-1]["done"] < seen[-1]["total"]:
        answer = server.client.get(path, params={"min_score": 0.01, "seconds": 0}).json()
        assert not seen or answer["compared"]["done"] > seen[-1]["done"]
        seen.append(answer["compared"])
    assert len(seen) > 1
    assert [len(group["members"]) for group in answer["groups"]] == [7, 7]
    assert server.client.get(path, params={"min_score": 0.01}).json() == answer


def test_decisions_about_duplicates_stick(server, collection):
    whole = jpeg(11, 256)
    copies = {"copy.jpg": smaller(whole, 128), "third.jpg": smaller(whole, 96)}
    server.upload(collection, {"a.jpg": whole, **copies})
    server.wait_for(collection, "a.jpg", "copy.jpg", "third.jpg")
    path = f"/collections/{collection}/duplicates"

    def groups():
        answer = server.client.get(path, params={"min_score": 0.999}).json()
        return [[member["id"] for member in group["members"]] for group in answer["groups"]]

    assert groups() == [["a.jpg", "copy.jpg", "third.jpg"]]
    body = {"decision": "not_duplicates", "ids": ["third.jpg"], "others": ["a.jpg", "copy.jpg"]}
    decided = server.client.post(f"{path}/decisions", json=body)
    assert decided.status_code == 200, decided.text
    assert decided.json()["decisions"][0]["ids"] == ["third.jpg"]
    assert groups() == [["a.jpg", "copy.jpg"]]
    server.build(collection)
    server.upload(collection, {"other.jpg": jpeg(12, 256)})
    server.wait_for(collection, "other.jpg")
    assert groups() == [["a.jpg", "copy.jpg"]]
    keep = {"decision": "keep_all", "ids": ["a.jpg", "copy.jpg"]}
    assert server.client.post(f"{path}/decisions", json=keep).status_code == 200
    assert groups() == []
    kinds = [each["decision"] for each in server.client.get(f"{path}/decisions").json()["decisions"]]
    assert kinds == ["not_duplicates", "keep_all"]
    about = {"id": "a.jpg", "other": "copy.jpg"}
    left = server.client.delete(f"{path}/decisions", params=about).json()["decisions"]
    assert [each["decision"] for each in left] == ["not_duplicates"]
    assert groups() == [["a.jpg", "copy.jpg"]]
    for wrong in ({"decision": "no", "ids": ["a", "b"]}, {"decision": "keep_all", "ids": ["a"]}):
        assert server.client.post(f"{path}/decisions", json=wrong).status_code in {400, 422}


def test_changing_the_engine_builds_a_snapshot_with_it(server, shop):
    def snapshot():
        return server.client.get(f"/collections/{shop}").json()["snapshot"]

    before = eventually(snapshot)
    expected = server.ids(shop, id="shoes/0.jpg")
    assert server.client.put(f"/collections/{shop}", json={"engine": "exact"}).status_code == 200
    after = eventually(lambda: (found := snapshot())["id"] != before["id"] and found)
    assert after["items"] == 6
    answer = eventually(
        lambda: (found := server.search(shop, id="shoes/0.jpg"))["snapshot"] == after["id"] and found
    )
    assert [result["id"] for result in answer["results"]] == expected


def test_files_moved_by_hand_are_followed(server, collection, tmp_path):
    folder = server.images / collection / "images"
    folder.mkdir(parents=True)
    (folder / "dropped.jpg").write_bytes(jpeg(1))
    server.wait_for(collection, "dropped.jpg")

    season = tmp_path / "season"
    (season / "deep").mkdir(parents=True)
    (season / "1.jpg").write_bytes(jpeg(2))
    (season / "deep" / "2.jpg").write_bytes(jpeg(3))
    shutil.move(season, folder / "summer")
    server.wait_for(collection, "summer/1.jpg", "summer/deep/2.jpg")

    (folder / "dropped.jpg").rename(folder / "renamed.jpg")
    server.wait_for(collection, "renamed.jpg")
    server.wait_without(collection, "dropped.jpg")

    shutil.move(folder / "summer", tmp_path / "winter")
    server.wait_without(collection, "summer/1.jpg")
    server.wait_without(collection, "summer/deep/2.jpg")

    (folder / "renamed.jpg").write_bytes(jpeg(4, 64))
    eventually(lambda: (server.item(collection, "renamed.jpg") or {}).get("width") == 64)


def test_a_metadata_file_dropped_later_describes_what_is_there(server, collection):
    server.upload(collection, {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    server.wait_for(collection, "a.jpg", "b.jpg")
    folder = server.images / collection / "metadata"
    folder.mkdir(exist_ok=True)
    (folder / "list.csv").write_text("file,product_id,price\na.jpg,p1,12\nb.jpg,p2,30\n")
    eventually(lambda: server.item(collection, "b.jpg")["metadata"] == {"price": 30})
    assert server.ids(collection, id="b.jpg", filter={"price": {"lt": 20}}) == ["a.jpg"]
    (folder / "list.csv").unlink()
    eventually(lambda: server.item(collection, "a.jpg")["metadata"] == {})


def test_what_happened_while_the_server_was_down_is_found_at_its_start(tmp_path, tiny_encoder_folder):
    settings = Settings(store=str(tmp_path))
    add_encoder(settings, tiny_encoder_folder)
    with running(settings) as server:
        server.create("food")
        server.upload("food", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
        server.wait_for("food", "a.jpg", "b.jpg")
        folder = server.images / "food" / "images"
    (folder / "a.jpg").unlink()
    (folder / "c.jpg").write_bytes(jpeg(3))
    with running(settings) as server:
        server.wait_for("food", "c.jpg")
        server.wait_without("food", "a.jpg")
        assert server.ids("food", id="c.jpg") == ["b.jpg"]


def test_a_damaged_collection_is_listed_as_damaged_and_can_be_deleted(server):
    server.create("whole")
    folder = Path(server.local.settings.artifacts_url) / "collections"
    (folder / "hurt").mkdir()  # the server has not seen it whole
    (folder / "hurt" / "collection.json").write_bytes(
        (folder / "whole" / "collection.json").read_bytes()[:-40]
    )
    listed = server.client.get("/collections").json()
    assert "hurt" not in [each["name"] for each in listed["collections"]]
    (damaged,) = [each for each in listed["damaged"] if each["name"] == "hurt"]
    assert "delete the collection" in damaged["fix"]
    for answer in (
        server.client.get("/collections/hurt"),
        server.client.post("/collections/hurt/search", json={"query": [{"id": "a"}]}),
    ):
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:lookalike:problem:damaged")
        assert "collections/hurt/collection.json" in answer.json()["detail"]
    assert server.client.delete("/collections/hurt").status_code == 204
    assert server.client.get("/collections").json()["damaged"] == []


def test_a_deleted_item_is_listed_in_the_trash_and_restored(server, collection):
    pictures = {f"hats/{number}.jpg": jpeg(number) for number in range(3)}
    server.upload(collection, pictures, **{name: {"price": 5} for name in pictures})
    server.wait_for(collection, *pictures)
    here = f"/collections/{collection}"
    before = server.item(collection, "hats/1.jpg")
    for name in pictures:
        assert server.client.delete(f"{here}/items/{name}").status_code == 204
        server.wait_without(collection, name)
    first = server.client.get(f"{here}/trash", params={"limit": 2}).json()
    assert [each["id"] for each in first["items"]] == ["hats/2.jpg", "hats/1.jpg"]
    assert first["items"][0]["size_bytes"] == len(pictures["hats/2.jpg"])
    rest = server.client.get(f"{here}/trash", params={"limit": 2, "cursor": first["next"]}).json()
    assert ([each["id"] for each in rest["items"]], rest["next"]) == (["hats/0.jpg"], None)
    wanted = {"ids": ["hats/1.jpg", "hats/2.jpg"]}
    missing = server.client.post(f"{here}/trash/restore", json={"ids": ["hats/1.jpg", "no.jpg"]})
    assert missing.status_code == 404
    assert server.item(collection, "hats/1.jpg") is None
    assert server.client.post(f"{here}/trash/restore", json=wanted).json() == {"restored": 2}
    server.wait_for(collection, *wanted["ids"])
    after = server.item(collection, "hats/1.jpg")
    assert after | {"ingested_at": ""} == before | {"ingested_at": ""}
    assert server.client.get(f"{here}/images/hats/1.jpg").content == pictures["hats/1.jpg"]
    server.upload(collection, {"hats/0.jpg": jpeg(9)})
    server.wait_for(collection, "hats/0.jpg")
    taken = server.client.post(f"{here}/trash/restore", json={"ids": ["hats/0.jpg"]})
    assert (taken.status_code, "replace" in taken.json()["fix"]) == (409, True)
    swapped = server.client.post(f"{here}/trash/restore", json={"ids": ["hats/0.jpg"], "replace": True})
    assert swapped.status_code == 200
    assert server.client.get(f"{here}/images/hats/0.jpg").content == pictures["hats/0.jpg"]
    assert [each["id"] for each in server.client.get(f"{here}/trash").json()["items"]] == ["hats/0.jpg"]
    assert server.client.delete(f"{here}/trash").status_code == 204
    assert server.client.get(f"{here}/trash").json()["items"] == []
    assert server.client.get("/collections/nowhere/trash").status_code == 404
    assert server.client.get(f"{here}/trash", params={"cursor": "../x"}).status_code == 422
