"""The page's map, duplicates, collections and quality views."""

from __future__ import annotations

from pathlib import Path

from fixtures.classes import zipped
from fixtures.page import cup, drop, found, photo, until
from fixtures.server import eventually

CHART = "globalThis.lookalikeChart"
PAINTED = """() => {
  const all = document.querySelector('canvas');
  const { data } = all.getContext('2d').getImageData(0, 0, all.width, all.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""


def painted(page) -> int:
    """How many colours the map's canvas shows."""
    return page.evaluate(PAINTED)


def test_the_map_shows_thumbnails_pans_and_zooms(opened):
    page = opened("map?collection=shop")
    page.locator("canvas").wait_for()
    eventually(lambda: painted(page) > 50)  # dots have one colour per category, thumbnails have many
    page.get_by_text("66 items").wait_for()
    scale = page.evaluate(f"{CHART}.scale")
    page.get_by_role("button", name="Zoom in").click()
    assert page.evaluate(f"{CHART}.scale") > scale
    page.get_by_role("button", name="Show all").click()
    canvas = page.locator("canvas")
    bounds = canvas.bounding_box()
    page.mouse.move(bounds["x"] + 300, bounds["y"] + 300)
    page.mouse.wheel(0, -500)
    page.mouse.down()
    page.mouse.move(bounds["x"] + 400, bounds["y"] + 350, steps=5)
    page.mouse.up()
    assert page.evaluate(f"{CHART}.scale") > scale * 1.5
    place = page.evaluate(f"[{CHART}.across({CHART}.data.x[3]), {CHART}.down({CHART}.data.y[3])]")
    page.get_by_role("button", name="Show all").click()
    place = page.evaluate(f"[{CHART}.across({CHART}.data.x[3]), {CHART}.down({CHART}.data.y[3])]")
    page.mouse.click(bounds["x"] + place[0], bounds["y"] + place[1])
    page.get_by_role("link", name="Find similar").click()
    assert found(page)


def test_the_map_by_keyboard_and_by_category(opened):
    page = opened("map?collection=shop")
    page.locator("canvas").focus()
    before = page.evaluate(f"[{CHART}.x, {CHART}.scale]")
    for key in ("ArrowRight", "+", "Enter"):
        page.keyboard.press(key)
    after = page.evaluate(f"[{CHART}.x, {CHART}.scale]")
    assert after[0] > before[0]
    assert after[1] > before[1]
    page.get_by_role("link", name="Find similar").wait_for()
    page.get_by_role("button", name="belts 16").click()
    assert page.evaluate(f"{CHART}.data.categories[{CHART}.only]") == "belts"
    until(page, "document.querySelectorAll('.near button').length === 9")


def test_the_map_marks_the_query(opened, server):
    page = opened("map?collection=shop")
    page.locator("canvas").wait_for()
    drop(page, server.pictures["shoes/007.jpg"])
    page.get_by_text("The ring marks").wait_for()
    number = page.evaluate(f"{CHART}.data.ids.indexOf('shoes/007.jpg')")
    own = page.evaluate(f"[{CHART}.data.x[{number}], {CHART}.data.y[{number}]]")
    pin = page.evaluate(f"{CHART}.pin")
    assert abs(pin[0] - own[0]) + abs(pin[1] - own[1]) < 0.05


def test_map_positions_keep_categories_together(server):
    found_map = server.client.get("/collections/shop/map").json()
    places = list(zip(found_map["x"], found_map["y"], found_map["category"], strict=True))
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, _ in places)
    right = 0
    for place in places:
        others = [other for other in places if other is not place]
        nearest = min(others, key=lambda other: (other[0] - place[0]) ** 2 + (other[1] - place[1]) ** 2)
        right += nearest[2] == place[2]
    assert right > 0.6 * len(places)  # random positions would give a quarter


def test_duplicates_are_grouped_and_deleted_one_by_one(opened, server):
    server.create("twins")
    one, two = photo("hats", 70), photo("bags", 71)
    pictures = {"hats/a.jpg": one, "hats/b.jpg": one, "hats/c.jpg": one, "bags/a.jpg": two, "bags/b.jpg": two}
    server.upload("twins", pictures)
    server.wait_for("twins", *pictures)
    page = opened("duplicates?collection=twins")
    page.get_by_text("2 groups of duplicates").wait_for()
    group = page.get_by_role("region", name="Group of 3")
    assert group.locator(".member img").count() == 3
    group.get_by_role("button", name="Delete hats/").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert group.locator(".member").count() == 3
    gone = (
        group.get_by_role("button", name="Delete hats/")
        .first.get_attribute("aria-label")
        .removeprefix("Delete ")
    )
    group.get_by_role("button", name="Delete hats/").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete image").click()
    until(page, "document.querySelectorAll('section .member').length === 4")
    server.wait_without("twins", gone)
    group.get_by_role("button", name="Delete all but the best").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete images").click()
    group.wait_for(state="detached")
    eventually(lambda: sum(server.item("twins", name) is not None for name in pictures) == 3)


def test_a_deleted_image_is_restored_by_undo_and_from_the_trash(opened, server):
    server.create("undone")
    pictures = {"hats/a.jpg": photo("hats", 70), "hats/b.jpg": photo("hats", 70)}
    server.upload("undone", pictures)
    server.wait_for("undone", *pictures)
    page = opened("duplicates?collection=undone")
    group = page.get_by_role("region", name="Group of 2")
    group.get_by_role("button", name="Delete hats/").click()
    gone = page.get_by_role("dialog").locator("p").inner_text().split(" moves")[0]
    assert "cannot undo" not in page.get_by_role("dialog").inner_text()
    page.get_by_role("dialog").get_by_role("button", name="Delete image").click()
    page.locator("#notice").get_by_text("1 image moved to the trash.").wait_for()
    server.wait_without("undone", gone)
    page.get_by_role("button", name="Undo").click()
    server.wait_for("undone", gone)
    group.get_by_role("button", name="Delete hats/").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete image").click()
    page.locator("#notice").get_by_text("1 image moved to the trash.").wait_for()
    server.wait_without("undone", gone)
    page.get_by_role("link", name="Collections").click()
    page.get_by_role("link", name="Trash of undone").click()
    page.get_by_role("button", name=f"Restore {gone}").click()
    page.get_by_text("The trash is empty.").wait_for()
    server.wait_for("undone", gone)


def test_a_damaged_collection_is_shown_and_deleted(opened, server):
    server.create("hurt")
    path = Path(server.local.settings.artifacts_url) / "collections" / "hurt" / "collection.json"
    path.write_bytes(b"{")
    page = opened("collections?collection=shop")
    region = page.get_by_role("region", name="Damaged collection hurt")
    assert "collection.json" in region.inner_text()
    assert page.get_by_label("Collection", exact=True).locator("option", has_text="hurt").count() == 0
    region.get_by_role("button", name="Delete hurt").click()
    page.get_by_label("Type hurt to delete it").fill("hurt")
    page.get_by_role("dialog").get_by_role("button", name="Delete collection").click()
    page.get_by_text("Deleted hurt.").wait_for()
    assert server.client.get("/collections/hurt").status_code == 404


def test_duplicates_are_shown_apart_from_variants_and_a_decision_sticks(opened, server):
    server.create("cups")
    pictures = {
        "red.jpg": cup("#c02020"),
        "blue.jpg": cup("#2040c0"),
        "small.jpg": cup("#c02020", 160),
        "tiny.jpg": cup("#c02020", 120),
    }
    server.upload("cups", pictures)
    server.wait_for("cups", *pictures)
    page = opened("duplicates?collection=cups")
    same = page.get_by_role("region", name="The same picture")
    same.get_by_text("1 group of duplicates").wait_for()
    group = same.get_by_role("region", name="Group of 3, keep red.jpg")
    group.get_by_text("kept: most pixels").wait_for()
    group.get_by_text("same colours").first.wait_for()
    variants = page.get_by_role("region", name="Variants")
    variants.get_by_text("1 group of variants").wait_for()
    shown = variants.locator(".member")
    assert shown.count() == 2
    assert "blue.jpg" in variants.inner_text()
    assert "other colours" in variants.inner_text()
    assert variants.get_by_role("button", name="Delete").count() == 0
    group.get_by_role("button", name="Not a duplicate: tiny.jpg").click()
    until(page, "document.querySelectorAll('section[aria-label^=\"The same\"] .member').length === 2")
    group.get_by_role("button", name="Keep all").click()
    group.wait_for(state="detached")
    page.reload()
    same.get_by_text("No duplicates found.").wait_for()
    assert all(server.item("cups", name) is not None for name in pictures)


def test_the_comparison_of_duplicates_shows_how_far_it_is(opened, server):
    server.create("many-cups")
    pictures = {f"{shade}.jpg": cup(f"#{shade}0{shade}020") for shade in "3456789ab"}
    server.upload("many-cups", pictures)
    server.wait_for("many-cups", *pictures)
    page = opened("search?collection=many-cups")
    asked = []

    def hurry(route):
        """Leaves the server no time, so that it needs several calls."""
        asked.append(route.request.url)
        if len(asked) == 2:
            page.get_by_text("Comparing images: 16 of").wait_for()
            assert page.get_by_role("progressbar", name="Compared images").first.is_visible()
        route.continue_(url=route.request.url.replace("seconds=2", "seconds=0"))

    page.route("**/duplicates?*", hurry)
    page.goto(page.url.replace("search", "duplicates"))
    page.get_by_role("region", name="Variants").get_by_text("of variants").wait_for()
    assert len(asked) > 4, "three lists, and more than one call for the first"
    assert page.get_by_role("progressbar", name="Compared images").count() == 0


def test_many_collections_are_shown_without_meeting_the_server_s_limit(opened, server):
    names = [f"many-{number}" for number in range(12)]
    for name in names:
        server.create(name)
        server.upload(name, {"hats/a.jpg": photo("hats", 80)})
    for name in names:
        server.wait_for(name, "hats/a.jpg")
    together = []
    page = opened("collections?collection=shop")
    page.wait_for_load_state("networkidle")  # requests of the first load are not recorded
    page.on("request", lambda request: together.append(request.url))
    page.reload()
    for name in names:
        tile = page.locator(".tile", has=page.get_by_role("heading", name=name, exact=True))
        tile.locator("dd", has_text="1").first.wait_for()
        assert tile.locator(".error").count() == 0
    page.wait_for_load_state("networkidle")
    asked = [url.rpartition("/")[2] for url in together if "/standing" in url or "/map?" in url]
    # Each collection's standing is followed by its own map, not by the standing of the next one.
    assert [url.partition("?")[0] for url in asked[:4]] == ["standing", "map", "standing", "map"]
    for name in names:
        assert server.client.delete(f"/collections/{name}").status_code == 204


def test_collections_are_created_selected_and_deleted(opened, server):
    page = opened("collections?collection=shop")
    tile = page.locator(".tile", has=page.get_by_role("heading", name="shop", exact=True))
    tile.get_by_text("66", exact=True).wait_for()
    text = tile.inner_text()
    assert "tiny" in text
    assert "Last indexed" in text
    assert "ago" in text.split("Last upload")[1]
    page.get_by_label("Name (").fill("made-here")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="Upload to made-here").wait_for()
    page.get_by_label("Collection", exact=True).select_option("shop")
    page.get_by_role("heading", name="Upload to shop").wait_for()
    page.get_by_role("link", name="Collections").click()
    page.get_by_role("button", name="Delete made-here").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete collection").click()
    page.get_by_text("Nothing was deleted: the name is made-here.").wait_for()
    page.get_by_role("button", name="Delete made-here").click()
    page.get_by_label("Type made-here to delete it").fill("made-here")
    page.get_by_role("dialog").get_by_role("button", name="Delete collection").click()
    page.get_by_text("Deleted made-here.").wait_for()
    assert server.client.get("/collections/made-here").status_code == 404


def test_the_threshold_shows_its_precision_and_recall(opened, server):
    page = opened("quality?collection=shop")
    slider = page.get_by_label("Score threshold")
    slider.focus()
    curve = server.client.get("/collections/shop/quality").json()["curve"]
    page.keyboard.press("Home")
    readout = page.locator("output.headline b")
    assert readout.all_text_contents() == [
        f"{curve[0]['score']:.3f}",
        f"{round(curve[0]['precision'] * 100)} %",
        f"{round(curve[0]['recall'] * 100)} %",
    ]
    before = page.locator(".plot circle.spot").first.get_attribute("cx")
    page.keyboard.press("End")
    assert readout.nth(2).inner_text() == "100 %"
    assert page.locator(".plot circle.spot").first.get_attribute("cx") != before
    assert page.locator("table", has_text="Recall@1").locator("tbody tr").count() == 4


def start(page, data: bytes) -> None:
    page.get_by_label("Training data").select_option("zip")
    page.get_by_label("Zip file", exact=True).set_input_files(
        {"name": "classes.zip", "mimeType": "application/zip", "buffer": data}
    )
    page.get_by_role("button", name="Start training").click()


def test_a_training_from_a_zip_file_shows_its_end_and_can_be_cancelled(opened, server):
    page = opened("quality?collection=shop")
    start(page, b"this is no zip file")
    page.locator("[data-status=failed]").wait_for(timeout=60_000)
    assert "zip" in page.locator("article").first.inner_text()
    start(page, zipped({f"{kind}/{n}.jpg": photo(kind, n) for kind in ("hats", "bags") for n in range(12)}))
    page.get_by_text("Zip file uploaded.").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.locator("[data-status=cancelled]").wait_for(timeout=60_000)


def test_a_rollback_without_a_previous_encoder_is_reported(opened):
    page = opened("quality?collection=shop", expected=["status of 409"])
    page.get_by_role("button", name="Roll back to previous encoder").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    page.get_by_text("Conflict with the current state").wait_for()
