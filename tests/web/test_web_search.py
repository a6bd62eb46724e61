"""Search in the page: by a dropped, chosen or pasted file, by an item, and by a crop of either."""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest
from fixtures.page import COLOURS, ITEMS, drop, encoded, file_in, found, photo, until
from PIL import Image

PASTE = "(data) => window.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }))"

SENT = """() => {
  const real = window.fetch;
  window.fetch = (where, options) => {
    if (options?.body instanceof FormData) globalThis.sentBytes = options.body.get('image').size;
    return real(where, options);
  };
}"""


def ids(page) -> list[str]:
    found(page)
    return page.locator(".card .shot img").evaluate_all(
        "(all) => all.map((one) => decodeURIComponent(new URL(one.src).pathname.split('/thumbnails/')[1]))"
    )


def upright_and_turned() -> tuple[bytes, bytes]:
    """The same image twice: stored upright, and rotated with an Exif orientation."""
    numbers = np.random.default_rng(5)
    blocks = numbers.integers(0, 256, (6, 3, 3), dtype=np.uint8)
    upright = Image.fromarray(blocks).resize((300, 600), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(upright), encoded(upright.rotate(90, expand=True), exif=exif)


def test_a_dropped_image_is_its_own_best_match(opened, server):
    page = opened()
    drop(page, server.pictures["shoes/007.jpg"])
    assert ids(page)[0] == "shoes/007.jpg"
    facts = page.locator(".card").first.locator(".facts").inner_text().split("\n")
    assert re.fullmatch(r"9\d % likely", facts[0])
    assert facts[1] == "1.000"
    assert re.fullmatch(r"Your image: shoes 9\d %", page.locator(".estimate").inner_text())
    assert "result" in page.locator(".summary").inner_text()


def test_chosen_and_pasted_images_are_their_own_best_match(opened, server):
    page = opened()
    picture = {
        "name": "q.jpg",
        "mimeType": "image/jpeg",
        "buffer": server.pictures["hats/002.jpg"],
    }
    page.get_by_label("Choose an image").set_input_files(picture)
    assert ids(page)[0] == "hats/002.jpg"
    page.evaluate(PASTE, file_in(page, server.pictures["bags/012.jpg"]))
    page.locator(".card").first.get_by_text("Picture 12", exact=True).wait_for()


def test_take_a_photo_opens_the_camera(opened):
    page = opened()
    camera = page.get_by_label("Take a photo")
    assert camera.get_attribute("capture") == "environment"
    camera.set_input_files({"name": "p.jpg", "mimeType": "image/jpeg", "buffer": photo("hats", 2)})
    assert ids(page)[0] == "hats/002.jpg"


def test_a_large_photo_is_shrunk_and_stays_upright(opened, server):
    page = opened()
    page.evaluate(SENT)
    big = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8))
    drop(page, encoded(big.resize((4000, 3000))))
    found(page)
    assert 1_000 < page.evaluate("sentBytes") < 400_000
    upright, turned = upright_and_turned()
    scores = []
    for picture in (upright, turned):
        drop(page, picture)
        until(page, f"performance.getEntriesByName('query-end').length > {len(scores) + 1}")
        scores.append([float(text) for text in page.locator(".card .score").all_text_contents()])
    shown = min(map(len, scores))  # how many pages of results have arrived is a matter of time
    assert shown >= 24
    assert np.abs(np.array(scores[0][:shown]) - np.array(scores[1][:shown])).max() < 0.01
    assert page.locator(".crop canvas").evaluate("(one) => one.height > one.width")


def test_a_file_the_browser_cannot_decode_is_sent_unchanged(opened):
    page = opened(expected=["status of 422"])
    drop(page, b"this is no picture", "note.jpg")
    page.get_by_role("alert").get_by_text("The image cannot be used").wait_for()


def test_a_match_becomes_the_query_and_back_restores_the_last(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg")
    first = ids(page)
    assert "shoes/007.jpg" not in first
    page.locator(".card .shot").nth(1).click()
    until(page, f"location.hash.includes(new URLSearchParams({{ id: {json.dumps(first[1])} }}).toString())")
    page.locator(".said", has_text=first[1]).wait_for()
    page.go_back()
    page.locator(".said", has_text="shoes/007.jpg").wait_for()
    assert ids(page)[:20] == first[:20]


def test_details_show_everything_and_close_with_escape(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg")
    found(page)
    page.locator(".details").first.click()
    box = page.get_by_role("dialog")
    assert "product-" in box.inner_text()
    assert "price" in box.inner_text()
    page.keyboard.press("Escape")
    box.wait_for(state="detached")
    assert page.evaluate("document.activeElement.className").startswith("quiet details")


def two_halves() -> bytes:
    """An image with the colour of hats on the left and of shoes on the right."""
    picture = Image.new("RGB", (400, 200), COLOURS["hats"])
    picture.paste(COLOURS["shoes"], (200, 0, 400, 200))
    return encoded(picture)


def categories(page) -> set[str]:
    return set(page.locator(".card .tag").all_text_contents()[:8])


def test_a_crop_by_mouse_searches_for_the_crop(opened):
    page = opened()
    drop(page, two_halves())
    found(page)
    for side, category in ((0.02, "hats"), (0.55, "shoes")):
        area = page.locator(".crop").bounding_box()
        left, top = area["x"] + side * area["width"], area["y"] + 0.05 * area["height"]
        if side > 0.5:  # a click resets the crop
            page.mouse.click(area["x"] + area["width"] * 0.98, top)
            page.get_by_role("button", name="Whole image").wait_for(state="detached")
        page.mouse.move(left, top)
        page.mouse.down()
        page.mouse.move(left + 0.4 * area["width"], top + 0.9 * area["height"], steps=4)
        page.mouse.up()
        page.get_by_role("button", name="Whole image").wait_for()
        first = "[...document.querySelectorAll('.tag')].slice(0, 8)"
        until(page, f"{first}.every((one) => one.textContent === '{category}')")
    page.get_by_role("button", name="Whole image").click()
    until(page, "new Set([...document.querySelectorAll('.tag')].map((one) => one.textContent)).size > 1")


def test_a_crop_by_keyboard_of_an_item(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg")
    found(page)
    page.get_by_role("button", name="Crop").click()
    frame = page.locator(".crop-frame")
    frame.focus()
    for key in ["Shift+ArrowLeft"] * 12 + ["Shift+ArrowUp"] * 6 + ["ArrowRight", "ArrowDown"]:
        page.keyboard.press(key)
    page.get_by_role("button", name="Whole image").wait_for()
    assert frame.evaluate("(one) => one.style.getPropertyValue('--left')") == "4%"
    assert frame.evaluate("(one) => one === document.activeElement")
    assert "id=" not in page.url  # a crop is not an item


def test_facets_count_and_filter(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg")
    found(page)
    box = page.get_by_role("checkbox", name="belts 16")
    box.check()
    until(page, "[...document.querySelectorAll('.tag')].every((one) => one.textContent === 'belts')")
    page.locator(".summary", has_text="16 results").wait_for()
    assert json.loads(page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('filter')")) == {
        "category": "belts"
    }
    page.get_by_label("price: at least").fill("30")
    page.locator(".summary", has_text="8 results").wait_for()
    shown = page.url
    page.reload()
    page.locator(".summary", has_text="8 results").wait_for()
    assert page.get_by_role("checkbox", name="belts").is_checked()
    assert page.url == shown
    page.get_by_role("checkbox", name="belts").uncheck()
    page.locator(".card .tag", has_text="shoes").first.wait_for()


def test_a_number_typed_while_the_facets_load_joins_the_filter(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg")
    found(page)
    late = []
    page.route("**/facets*", lambda route: route.continue_() if late else late.append(route))
    with page.expect_request("**/facets*"):
        page.get_by_role("checkbox", name="belts 16").check()
    page.locator(".summary", has_text="16 results").wait_for()
    page.get_by_label("price: at least").fill("30")
    late[0].continue_()
    page.locator(".summary", has_text="8 results").wait_for()
    assert page.get_by_role("checkbox", name="belts").is_checked()
    assert page.get_by_label("price: at least").input_value() == "30"


def test_minimum_confidence_removes_results_and_updates_the_summary(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg")
    found(page)
    before = page.locator(".summary").inner_text()
    slider = page.get_by_label("Minimum confidence")
    slider.focus()
    for _ in range(9):
        page.keyboard.press("PageUp")
    until(page, "location.hash.includes('min=')")
    page.locator(".grid:not([aria-busy])").wait_for()
    shares = [int(text.split()[0]) for text in page.locator(".confidence").all_text_contents()]
    least = float(page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('min')"))
    assert all(share >= round(least * 100) - 1 for share in shares)
    assert page.locator(".summary").inner_text() != before


def test_the_likely_category_first(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg")
    found(page)
    page.get_by_label("Rank by").select_option("confidence")
    until(page, "location.hash.includes('rank=confidence')")
    page.locator(".grid:not([aria-busy])").wait_for()
    shares = [int(text.split()[0]) for text in page.locator(".confidence").all_text_contents()]
    assert shares == sorted(shares, reverse=True)
    page.reload()
    found(page)
    assert page.get_by_label("Rank by").input_value() == "confidence"


def test_one_result_per_product(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg")
    found(page)
    page.get_by_role("checkbox", name="One result per product").check()
    until(page, "location.hash.includes('group=product_id')")
    page.locator(".grid:not([aria-busy])").wait_for()
    products = page.locator(".card .product").all_text_contents()
    assert len(products) == len(set(products)) > 10


def test_more_results_load_on_scroll(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg", size=(700, 600))
    found(page)
    page.locator(".more-results").scroll_into_view_if_needed()
    page.locator(".summary", has_text=f"{ITEMS + 1} results").wait_for()
    assert len(set(ids(page))) == ITEMS + 1


@pytest.mark.parametrize("by_file", [True, False])
def test_the_copied_command_returns_the_same_results(opened, server, by_file, tmp_path):
    page = opened("search?collection=shop&id=shoes%2F007.jpg&filter=%7B%22category%22%3A%22shoes%22%7D")
    found(page)
    if by_file:
        drop(page, server.pictures["shoes/003.jpg"], "it's mine.jpg")
        page.locator(".said", has_text="it's mine.jpg").wait_for()
    expected = found(page)
    page.get_by_role("button", name="Copy as curl").click()
    page.get_by_text("Command copied.").wait_for()
    words = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert words[0] == "curl"
    url = words[-1]
    if by_file:
        fields = dict(word.split("=", 1) for word in words[2:-1:2])
        assert fields.pop("image") == '@"it\'s mine.jpg"'
        answer = server.client.post(url, data=fields, files={"image": server.pictures["shoes/003.jpg"]})
    else:
        answer = server.client.post(
            url, content=words[words.index("-d") + 1], headers={"Content-Type": "application/json"}
        )
    titles = [result["metadata"]["title"] for result in answer.json()["results"]]
    assert titles[:5] == expected[:5]


def test_a_copied_link_opens_the_same_results(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg&group=product_id")
    expected = ids(page)
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Link copied").wait_for()
    other = opened(page.evaluate("navigator.clipboard.readText()").split("#")[1])
    assert ids(other)[:20] == expected[:20]
