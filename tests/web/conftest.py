"""A real Chromium against a real server. A console error, a policy violation or a request to another
server fails the test in which it happens."""

from __future__ import annotations

import pytest
from fixtures.page import CHROMIUM, PATIENCE_MS, Watch, stock
from fixtures.server import add_encoder, running

from lookalike.settings import Settings


@pytest.fixture(scope="session")
def server(tmp_path_factory, tiny_encoder_folder):
    """One server for all tests in this folder, with a collection `shop`."""
    settings = Settings(store=str(tmp_path_factory.mktemp("web")), delta_rows=20)
    add_encoder(settings, tiny_encoder_folder)
    with running(settings) as found:
        found.pictures = stock(found, "shop")
        yield found


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, one per test file: Playwright's event loop cannot run next to another one."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--disable-software-rasterizer",
            ],
        )
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, server):
    """Opens a view in a fresh browser context: `opened("search?collection=shop")`."""
    contexts, watches = [], []

    def open_(
        place: str = "search?collection=shop", *, at=None, expected=(), size=(1280, 800), scheme="light"
    ):
        home = (at or server).url
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        watch = Watch(home, tuple(expected))
        watches.append(watch)
        watch.follow(page)
        page.goto(f"{home}/#{place}")
        page.locator("#main h1").first.wait_for(state="attached")
        return page

    yield open_
    for context in contexts:
        context.close()
    for watch in watches:
        watch.check()
