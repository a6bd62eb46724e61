"""Search in the page by words, by words with images, and by weighted parts."""

from __future__ import annotations

import json
import shlex

import pytest
from axe_playwright_python.sync_playwright import Axe
from fixtures.page import CATEGORIES, drop, encoded, found, photo, until
from fixtures.server import eventually
from PIL import Image

TITLED = 104
"""Enough for search by meaning."""
UPLOADS = 52
NAMES = {"bags": "red bag", "belts": "green belt", "hats": "blue hat", "shoes": "yellow shoe"}
BOX = "Search by words"
QUERY = "new URLSearchParams(location.hash.split('?')[1])"


@pytest.fixture(scope="module")
def shelf(server):
    """The collection `shelf`, whose items have titles, with an index."""
    pictures = {f"{CATEGORIES[n % 4]}/{n:03}.jpg": photo(CATEGORIES[n % 4], n, 48) for n in range(TITLED)}
    titles = {name: {"title": f"{NAMES[name.split('/')[0]]} of style{name[-7:-4]}"} for name in pictures}
    titles["hats/002.jpg"] = {"title": "Sombrero"}
    server.create("shelf")
    for start in range(0, TITLED, UPLOADS):
        names = list(pictures)[start : start + UPLOADS]
        server.upload("shelf", {name: pictures[name] for name in names}, **titles)
    server.wait_for("shelf", *pictures)
    server.build("shelf")
    eventually(lambda: server.search("shelf", text="hat")["text"]["note"] is None)
    return server


def words_of(page, text: str) -> None:
    page.get_by_label(BOX).fill(text)
    page.keyboard.press("Enter")


def sent(page, act) -> dict:
    """The search request that an action causes."""
    with page.expect_request("**/search") as request:
        act()
    return json.loads(request.value.post_data)


def chips(page) -> list[tuple[str, str]]:
    """Name and weight of each part."""
    return [
        (chip.locator("bdi").inner_text(), chip.locator("select option:checked").inner_text())
        for chip in page.locator(".chip").all()
    ]


def ready(page) -> list[str]:
    """Names of the results, once the filters are there too."""
    page.locator(".facet").first.wait_for(state="attached")
    return found(page)


def test_words_alone_find_the_item_and_the_slash_key_reaches_the_box(opened, shelf):
    page = opened("search?collection=shelf")
    page.locator(".examples img").first.wait_for()
    page.keyboard.press("/")
    assert page.get_by_label(BOX).evaluate("(one) => one === document.activeElement")
    page.keyboard.type("sombrero")
    body = sent(page, lambda: page.keyboard.press("Enter"))
    assert body == {"text": "sombrero", "limit": 24, "offset": 0}
    assert ready(page)[0] == "Sombrero"
    assert page.locator(".chip").count() == 0
    assert page.locator(".reading p").count() == 0


def test_a_misspelt_and_an_unknown_word_are_named(opened, shelf):
    page = opened("search?collection=shelf&text=sombrreo%20xyzzy")
    assert ready(page)[0] == "Sombrero"
    assert page.locator(".reading p").all_text_contents() == [
        "Read “sombrreo” as “sombrero”.",
        "No item has the word “xyzzy”.",
    ]
    words_of(page, "hats")
    until(page, "document.querySelectorAll('.reading p').length === 0")


def test_words_with_a_dropped_image_and_weights(opened, shelf):
    page = opened("search?collection=shelf")
    drop(page, photo("hats", 6, 48))
    ready(page)
    body = sent(page, lambda: words_of(page, "shoe"))
    assert [part.keys() for part in body["query"]] == [{"image"}, {"text"}]
    ready(page)
    assert chips(page) == [("query.jpg", "normal"), ("shoe", "normal")]
    page.get_by_label("Weight of shoe").focus()
    body = sent(page, lambda: page.get_by_label("Weight of shoe").select_option("more"))
    assert [part.get("weight", 1) for part in body["query"]] == [1, 2]
    assert page.get_by_label("Weight of shoe").evaluate("(one) => one === document.activeElement")
    until(page, "document.querySelector('.card .tag').textContent === 'shoes'")
    body = sent(page, lambda: page.get_by_label("Weight of query.jpg").select_option("not"))
    assert [part.get("weight", 1) for part in body["query"]] == [-1, 2]
    page.get_by_role("button", name="Remove shoe").click()
    page.locator(".chip").nth(1).wait_for(state="detached")
    assert page.get_by_label(BOX).input_value() == ""


def test_a_dropped_image_joins_the_words(opened, shelf):
    page = opened("search?collection=shelf&text=shoe")
    ready(page)
    with page.expect_request("**/search") as request:
        drop(page, photo("hats", 6, 48))
    assert [part.keys() for part in json.loads(request.value.post_data)["query"]] == [{"image"}, {"text"}]
    ready(page)
    page.get_by_role("button", name="Clear words").click()
    page.locator(".said", has_text="query.jpg").wait_for()
    until(page, "document.querySelectorAll('.chip').length === 0")


def test_a_second_part_by_words_and_a_result_as_a_part(opened, shelf):
    page = opened("search?collection=shelf&text=hat")
    ready(page)
    page.get_by_label(BOX).fill("red")
    page.get_by_role("button", name="Add words").click()
    until(page, "document.querySelectorAll('.chip').length === 2")
    assert page.get_by_label(BOX).input_value() == ""
    page.get_by_label("Weight of red").select_option("not")
    first = ready(page)[0]
    page.locator(".card").first.hover()
    page.get_by_role("button", name=f"Add {first} to the query", exact=True).click()
    until(page, "document.querySelectorAll('.chip').length === 3")
    names = json.loads(page.evaluate(f"{QUERY}.get('query')"))
    assert names[:2] == [{"text": "hat"}, {"text": "red", "weight": -1}]
    assert names[2].keys() == {"id"}
    page.locator(".card .shot").first.click()  # alone
    until(page, "document.querySelectorAll('.chip').length === 0")
    assert page.evaluate(f"{QUERY}.get('id')")


def test_a_link_opens_the_same_parts(opened, shelf):
    query = [{"id": "hats/006.jpg"}, {"text": "shoe", "weight": 2}, {"text": "red", "weight": -0.3}]
    page = opened(f"search?collection=shelf&query={json.dumps(query)}")
    expected = ready(page)
    assert chips(page) == [("006.jpg", "normal"), ("shoe", "more"), ("red", "× -0.3")]
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Link copied.", exact=True).wait_for()
    other = opened(page.evaluate("navigator.clipboard.readText()").split("#")[1])
    assert ready(other)[:20] == expected[:20]
    page.get_by_role("button", name="Copy as curl").click()
    page.get_by_text("Command copied.").wait_for()
    command = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert json.loads(command[command.index("-d") + 1])["query"] == query


@pytest.mark.parametrize("query", ["{", "[null]", '[{"text": "a", "weight": 0}]', '[{"id": 7}]', "7"])
def test_a_damaged_link_opens_the_start(opened, shelf, query):
    page = opened(f"search?collection=shelf&query={query}")
    page.get_by_text("Drop an image").wait_for()


def test_back_returns_to_each_query_also_to_an_image(opened, shelf):
    page = opened("search?collection=shelf")
    drop(page, photo("hats", 6, 48), "mine.jpg")
    ready(page)
    words_of(page, "shoe")
    until(page, "document.querySelectorAll('.chip').length === 2")
    page.locator(".card .shot").first.click()
    until(page, f"{QUERY}.has('id')")
    page.go_back()
    until(page, "document.querySelectorAll('.chip').length === 2")
    page.go_back()
    until(page, "document.querySelectorAll('.chip').length === 0")
    page.locator(".said", has_text="mine.jpg").wait_for()
    assert page.get_by_label(BOX).input_value() == ""
    page.go_back()
    page.get_by_text("Drop an image").wait_for()
    page.go_forward()
    page.locator(".said", has_text="mine.jpg").wait_for()


def test_what_words_are_compared_with(opened, shelf):
    page = opened("search?collection=shelf&text=sombrero")
    ready(page)
    mode = page.get_by_label("Compare words with")
    assert sent(page, lambda: mode.select_option("words"))["mode"] == "words"
    page.locator(".summary", has_text="1 result ").wait_for()
    page.reload()
    page.locator(".summary", has_text="1 result ").wait_for()
    assert mode.input_value() == "words"
    assert sent(page, lambda: mode.select_option("meaning"))["mode"] == "meaning"
    page.goto(page.url.split("#")[0] + "#search?collection=shelf&id=hats/006.jpg")
    page.locator(".said", has_text="hats/006.jpg").wait_for()
    ready(page)
    mode.wait_for(state="hidden")


def test_a_mix_sends_no_confidence_and_says_why(opened, shelf):
    page = opened("search?collection=shelf&text=hat&min=0.3&rank=confidence", expected=["status of 400"])
    ready(page)
    body = sent(page, lambda: drop(page, photo("hats", 6, 48)))
    assert not {"min_confidence", "rank_by"} & body.keys()
    page.get_by_text("No confidence: confidence is not known for images and words together.").wait_for()
    assert page.get_by_label("Minimum confidence").is_disabled()
    assert page.get_by_label("Rank by").is_disabled()


def test_without_search_by_meaning_an_image_replaces_the_words(opened, server):
    page = opened("search?collection=shop&text=picture%205", expected=["status of 400"])
    assert ready(page)[0] == "Picture 5"
    assert page.locator(".reading").inner_text().startswith("Compared by words only: ")
    drop(page, server.pictures["shoes/007.jpg"])  # cannot be mixed here, so it replaces the words
    page.locator(".card").first.get_by_text("Picture 7", exact=True).wait_for()
    words_of(page, "picture")
    page.get_by_role("alert").get_by_text("cannot be searched by the meaning of words").wait_for()
    page.get_by_role("button", name="Remove query.jpg").click()
    until(page, "document.querySelectorAll('.chip').length === 0")
    assert len(ready(page)) > 20


def test_a_collection_without_words_says_what_to_do(opened, server):
    server.create("wordless")
    pictures = {f"{n}.jpg": encoded(Image.new("RGB", (48, 48), (40 * n, 90, 90))) for n in range(3)}
    server.upload("wordless", pictures)
    server.wait_for("wordless", *pictures)
    page = opened("search?collection=wordless&text=hat")
    page.get_by_text("No item of this collection has words. Give the items titles").wait_for()
    page.locator(".none").get_by_role("link", name="upload").click()
    page.get_by_role("heading", name="Upload to wordless").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_parts_of_a_query_are_accessible_and_fit_a_small_phone(opened, shelf, scheme):
    query = [{"id": "hats/006.jpg"}, {"text": "shoe " * 40, "weight": 2}, {"text": "red", "weight": -1}]
    page = opened("search?collection=shelf", scheme=scheme, size=(320, 640))
    home = page.url.split("#")[0]
    for place in (f"query={json.dumps(query)}", "text=sombrreo%20xyzzy"):
        page.goto(f"{home}#search?collection=shelf&{place}")
        page.locator(".chip:visible, .reading p").first.wait_for()
        ready(page)
        issues = Axe().run(page).response["violations"]
        serious = [
            (one["id"], one["nodes"][0]["html"][:200])
            for one in issues
            if one["impact"] in {"serious", "critical"}
        ]
        assert not serious
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
