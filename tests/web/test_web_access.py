"""Accessibility: axe finds nothing serious, the keyboard reaches everything, and nothing overflows."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from fixtures.page import found

VIEWS = (
    "search",
    "search?id=shoes%2F007.jpg",
    "map",
    "upload",
    "duplicates",
    "quality",
    "collections",
    "trash",
)
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}
REACHABLE = """() => [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
  .filter((one) => one.checkVisibility() && !one.disabled && !one.closest('.unseen:not(input)')).length"""
READY = {
    "search": ".examples img",
    "search?id=shoes%2F007.jpg": ".facet",
    "map": ".near button",
    "upload": ".drop",
    "duplicates": ".member",
    "quality": ".plot",
    "collections": ".strip img",
    "trash": ".view.trash [role=status]",
}


def place(view: str) -> str:
    return f"{view}{'&' if '?' in view else '?'}collection=shop"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, scheme):
    page = opened("upload?collection=shop", scheme=scheme)
    for view in VIEWS:
        page.goto(page.url.split("#")[0] + "#" + place(view))
        page.locator(READY[view]).first.wait_for()
        found_issues = Axe().run(page).response["violations"]
        serious = [
            (issue["id"], issue["nodes"][0]["html"][:200])
            for issue in found_issues
            if issue["impact"] in {"serious", "critical"}
        ]
        assert not serious, (view, serious)


def test_axe_finds_nothing_serious_in_dialogs(opened):
    page = opened("search?collection=shop&id=shoes%2F007.jpg")
    found(page)
    for button in (page.locator(".details").first, page.get_by_role("button", name="API key")):
        button.click()
        page.get_by_role("dialog").wait_for()
        issues = Axe().run(page).response["violations"]
        assert not [issue["id"] for issue in issues if issue["impact"] in {"serious", "critical"}]
        page.keyboard.press("Escape")


@pytest.mark.parametrize("view", VIEWS)
def test_the_keyboard_reaches_everything(opened, view):
    page = opened(place(view))
    page.locator(READY[view]).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate("document.querySelectorAll('.more-results').forEach((one) => one.remove())")
    wanted = page.evaluate(REACHABLE)
    assert wanted > 10
    page.evaluate(
        "globalThis.reached = new Set(); document.addEventListener('focusin', (e) => reached.add(e.target))"
    )
    for _ in range(wanted + 8):
        page.keyboard.press("Tab")
    missed = page.evaluate(
        f"({REACHABLE.replace('.length', '')})().filter((one) => !reached.has(one))"
        ".map((one) => one.outerHTML.slice(0, 150))"
    )
    assert not missed


def test_a_new_view_gets_the_focus_and_the_skip_link_works(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("link", name="Upload", exact=True).click()
    page.get_by_role("heading", name="Upload to shop").wait_for()
    assert page.evaluate("document.activeElement.tagName") == "H1"


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_wider_than_the_window(opened, size):
    page = opened("upload?collection=shop", size=SIZES[size])
    for view in VIEWS:
        page.goto(page.url.split("#")[0] + "#" + place(view))
        page.locator(READY[view]).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
