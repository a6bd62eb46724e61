"""The page when the server refuses, is slow, has no items, requires a key, or stops."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from fixtures.page import drop, found, photo, stock, until
from fixtures.server import add_encoder, eventually, running

from lookalike.api.keys import Keys
from lookalike.settings import Settings
from lookalike.storage import Store

PROBLEM = {
    "title": "Too many requests at once",
    "detail": "too many requests are waiting already",
    "fix": "Try again in a second.",
}


def answering(status: int):
    return lambda route: route.fulfill(
        status=status, content_type="application/problem+json", body=json.dumps({**PROBLEM, "status": status})
    )


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_error_is_shown_and_can_be_retried(opened, status):
    page = opened(expected=[f"status of {status}"])
    page.route("**/search", answering(status))
    drop(page, photo("hats", 2))
    page.get_by_role("alert").get_by_text("Too many requests are waiting already.").wait_for()
    page.unroute("**/search")
    page.get_by_role("button", name="Try again").click()
    assert found(page)


def test_an_error_without_a_problem_document_is_shown(opened):
    page = opened(expected=["status of 502"])
    page.route("**/search", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    drop(page, photo("hats", 2))
    page.get_by_role("alert").get_by_text("The server returned 502.").wait_for()


def test_a_slow_search_shows_a_notice_and_a_newer_query_wins(opened, server):
    page = opened()
    held = []

    def hold(route):
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/search", hold)
    drop(page, server.pictures["shoes/003.jpg"], "first.jpg")
    page.get_by_text("Still waiting for the server…").wait_for()
    drop(page, server.pictures["hats/002.jpg"], "second.jpg")
    page.locator(".card", has_text="Picture 2").first.wait_for()
    held[0].abort()
    page.wait_for_timeout(200)
    assert "hats/002" in page.locator(".card .shot img").first.get_attribute("src")


@pytest.mark.parametrize("view", ["search", "map", "duplicates", "quality"])
def test_an_empty_collection_shows_the_next_step(opened, server, view):
    if server.client.get("/collections/nothing").status_code == 404:
        server.create("nothing")
    page = opened(f"{view}?collection=nothing", expected=["status of 503"])
    if view == "duplicates":
        page.get_by_text("No duplicates found.").wait_for()
    else:
        page.get_by_role("alert").get_by_text("The collection has no items yet").wait_for()


def test_an_unknown_item_suggests_the_nearest_id(opened):
    page = opened("search?collection=shop&id=shoes%2F7.jpg", expected=["status of 404"])
    page.get_by_role("alert").get_by_text("Did you mean").wait_for()


def test_an_invalid_filter_is_reported(opened):
    page = opened(
        "search?collection=shop&id=shoes%2F007.jpg&filter=%7B%22colour%22%3A1%7D", expected=["status of 400"]
    )
    page.get_by_role("alert").get_by_text("Unknown field").wait_for()


def test_the_key_is_entered_once(opened, tmp_path, tiny_encoder_folder):
    settings = Settings(store=str(tmp_path), delta_rows=4)
    add_encoder(settings, tiny_encoder_folder)
    key = Keys(Store.artifacts(settings)).create("web").key
    with running(settings, keys_required=True) as server:
        server.client.headers["X-API-Key"] = key
        stock(server, "shop", 12, calibrated=False)
        page = opened(at=server, expected=["status of 401"])
        page.get_by_label("Key", exact=True).fill("wrong")
        page.get_by_role("button", name="Use key").click()
        page.get_by_text("The server requires an API key.").wait_for()
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_label("Remember on this device").check()
        page.keyboard.press("Enter")
        page.locator(".examples .shot").first.click()
        assert found(page)
        # An img cannot send headers, so the page fetches images with the key.
        until(page, "document.querySelector('.card img').naturalWidth > 0")
        page.reload()
        assert found(page)
        assert key not in page.content()
        page.get_by_role("button", name="Copy as curl").click()
        page.get_by_text("Command copied.").wait_for()
        assert "$LOOKALIKE_KEY" in page.evaluate("navigator.clipboard.readText()")
        page.get_by_role("button", name="API key").click()
        page.get_by_role("button", name="Forget key").click()
        page.get_by_text("The server requires an API key.").wait_for()
        page.keyboard.press("Escape")


def test_a_stopped_server_is_reported_in_every_view(opened, tmp_path, tiny_encoder_folder):
    settings = Settings(store=str(tmp_path), delta_rows=4)
    add_encoder(settings, tiny_encoder_folder)
    with running(settings) as server:
        stock(server, "shop", 12, calibrated=False)
        page = opened("search?collection=shop&id=shoes%2F003.jpg", at=server, expected=["net::ERR_"])
        found(page)
    page.get_by_role("checkbox", name="hats").click()
    page.get_by_role("alert").get_by_text("The server is not responding.").wait_for()
    page.get_by_role("link", name="Quality").click()
    page.get_by_role("alert").get_by_text("The server is not responding.").first.wait_for()


def test_try_again_repeats_the_search_after_a_restart(opened, tmp_path, tiny_encoder_folder):
    settings = Settings(store=str(tmp_path), delta_rows=4)
    add_encoder(settings, tiny_encoder_folder)
    with running(settings) as server:
        stock(server, "shop", 12, calibrated=False)
        page = opened("search?collection=shop&id=shoes%2F003.jpg", at=server, expected=["net::ERR_"])
        before = found(page)
    page.get_by_role("checkbox", name="hats").click()
    page.get_by_role("alert").get_by_text("The server is not responding.").wait_for()
    with running(settings, port=urlsplit(server.url).port):
        page.get_by_role("button", name="Try again").click()
        assert set(found(page)) != set(before)  # hats only: the filter chosen while the server was down
        page.get_by_role("checkbox", name="hats").click()  # clear the filter
        eventually(lambda: found(page) == before)
