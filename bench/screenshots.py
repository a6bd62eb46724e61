"""Remake the screenshots of the web page in `docs/images`: `python -m bench.screenshots [--store
demo-store]`.

Shows the collections that `make demo` builds: search at the sizes of a phone, a tablet and a desktop, light
and dark, and the other views on a desktop.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from bench.page import serving
from lookalike.settings import Settings

TARGET = Path(__file__).parents[1] / "docs" / "images"
COLLECTION = "things"
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1280, 800)}
SCHEMES = ("light", "dark")
QUALITY = 62
SHOWN = "musical-instrument/guitar-1f3b8.webp"
# View → what is there once it is drawn.
VIEWS = {
    "map": ".near img",
    "duplicates": ".member img",
    "quality": ".plot .line",
    "collections": ".strip img",
}


def save(page: Any, name: str) -> None:
    """Write what the page shows as a small WebP file."""
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        shot.convert("RGB").save(TARGET / f"page-{name}.webp", quality=QUALITY, method=6)
    print(f"{name:<24} {(TARGET / f'page-{name}.webp').stat().st_size / 1e3:6.1f} kB")


def settle(page: Any, selector: str) -> None:
    """Wait until the view and its images are drawn."""
    page.locator(selector).first.wait_for(timeout=120_000)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1_500)


def shoot(browser: Any, url: str) -> None:
    """Every screenshot."""
    from urllib.parse import quote

    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(f"{url}/#search?collection={COLLECTION}&id={quote(SHOWN, safe='')}")
            settle(page, ".card img")
            save(page, f"search-{size}-{scheme}")
            page.close()
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    for view, ready in VIEWS.items():
        page.goto(f"{url}/#{view}?collection={COLLECTION}")
        settle(page, ready)
        save(page, view)
    page.goto(f"{url}/#search?collection={COLLECTION}&text=car")
    settle(page, ".card img")
    save(page, "words")
    page.close()


def main(argv: list[str] | None = None) -> int:
    """Take them all."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="demo-store", help="where `make demo` put its collections")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args(argv)
    if not Path(options.store).is_dir():
        parser.error(f"there is no store {options.store}: run `DEMO_SERVE=0 make demo` first")
    with serving(Settings(store=options.store)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        shoot(browser, url)
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
