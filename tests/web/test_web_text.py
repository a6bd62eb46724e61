"""Names and metadata always appear as plain text."""

from __future__ import annotations

from urllib.parse import quote

from fixtures.page import HOSTILE, LONG_TITLE, MARKUP, RIGHT_TO_LEFT, found


def test_markup_in_names_and_values_is_text(opened):
    page = opened(f"search?collection=shop&id={quote(HOSTILE, safe='')}")
    assert page.locator(".said bdi").inner_text() == HOSTILE
    found(page)
    assert page.locator("#main b, #main script, img[onerror]").count() == 0
    for item, title in (
        ("bags/004.jpg", MARKUP),
        ("bags/008.jpg", RIGHT_TO_LEFT),
        ("bags/000.jpg", LONG_TITLE.strip()),
    ):
        page.goto(
            page.url.split("#")[0]
            + "#search?collection=shop&filter="
            + quote('{"category":"bags"}')
            + "&id="
            + quote("bags/012.jpg", safe="")
        )
        card = page.locator(".card", has=page.locator(f"img[src*='{quote(item)}']"))
        card.wait_for()
        name = card.locator(".name")
        assert name.inner_text().strip() == title
        bounds = card.bounding_box()
        assert name.bounding_box()["width"] <= bounds["width"], item
        card.locator(".details").click()
        box = page.get_by_role("dialog")
        assert title in box.inner_text()
        assert box.locator("b, script").count() == 0
        box.get_by_role("button", name="Close").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_markup_is_text_in_every_view(opened):
    for view in ("map", "duplicates", "upload", "collections", "quality", "trash"):
        page = opened(f"{view}?collection=shop")
        page.wait_for_load_state("networkidle")
        assert page.locator("#main b[onclick], #main script, img[onerror]").count() == 0, view


def test_an_unknown_view_shows_a_notice_and_the_search(opened):
    page = opened("nowhere?collection=<script>", expected=["status of 503"])
    page.get_by_text("There is no collection called <script>.").wait_for()
    assert page.get_by_role("link", name="Search", exact=True).get_attribute("aria-current") == "page"
