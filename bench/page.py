"""The web page in a real Chromium: `python -m bench.page [--items 10000]`.

Times are taken in the page: from the drop (or the click) until the first results are in the document, less
what the browser itself took to decode the photo; and from one drawn frame of the map to the next while it is
panned and zoomed. Vectors are synthetic, of the default encoder's dimension; images, encoder, server and
browser are real.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image

from bench.query import stage
from bench.stage import add_default_encoder, photos
from bench.vectors import embedding_like
from lookalike.local import LocalServer
from lookalike.local.server import listen
from lookalike.settings import Settings

NAME = "bench"
ROUNDS = 15
MEGAPIXELS_12 = (4000, 3000)
FRAMES = 180
DROP = """async ([text, name]) => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  data.items.add(new File([bytes], name, { type: 'image/jpeg' }));
  performance.clearMarks();
  performance.clearMeasures();
  document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, dataTransfer: data }));
  while (!performance.getEntriesByName('query-end').length) await new Promise((done) => setTimeout(done, 4));
  const at = (mark) => performance.getEntriesByName(mark)[0].startTime;
  return [at('query-end') - at('query-begin'), performance.getEntriesByName('decode')[0].duration];
}"""
CLICK = """async () => {
  performance.clearMarks();
  document.querySelector('.card .shot').click();
  while (!performance.getEntriesByName('query-end').length) await new Promise((done) => setTimeout(done, 1));
  const at = (mark) => performance.getEntriesByName(mark)[0].startTime;
  return at('query-end') - at('query-begin');
}"""
PAN = """async (frames) => {
  const chart = globalThis.lookalikeChart;
  const work = [];
  const times = [];
  for (let frame = 0; frame < frames; frame += 1) {
    chart.pan(6 * Math.cos(frame / 9), 6 * Math.sin(frame / 9));
    chart.zoom(1 + 0.02 * Math.sin(frame / 20));
    times.push(await new Promise((done) => requestAnimationFrame(done)));
  }
  for (let frame = 0; frame < 60; frame += 1) {
    const began = performance.now();
    for (const part of ['dots', 'shown', 'marks']) chart[part]();
    work.push(performance.now() - began);
    await new Promise((done) => setTimeout(done, 30));
  }
  return [times.slice(1).map((time, n) => time - times[n]), work];
}"""


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """A local server on a free port; yields its URL."""
    local = LocalServer(settings, keys_required=False)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(local.app, log_level="error", access_log=False))
    # The API alone: the synthetic vectors have no images that ingest could find again.
    server.config.lifespan = "off"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        local.close()


def place_pictures(settings: Settings, ids: list[str], found: list[Path]) -> None:
    """Give every item an image."""
    for number, item_id in enumerate(ids):
        target = Path(settings.images_url) / NAME / "images" / item_id
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(found[number % len(found)]) if _same_disk(target, found[0]) else shutil.copyfile(
            found[number % len(found)], target
        )


def _same_disk(target: Path, source: Path) -> bool:
    return target.parent.stat().st_dev == source.stat().st_dev


def large_photo(photo: Path) -> bytes:
    """A photo of 12 megapixels, as a phone takes it."""
    numbers = np.random.default_rng(0)
    with Image.open(photo) as opened:
        big = np.asarray(opened.convert("RGB").resize(MEGAPIXELS_12), np.int16)
    target = io.BytesIO()
    noise = numbers.integers(-6, 7, (*big.shape[:2], 1), np.int16)
    Image.fromarray(np.clip(big + noise, 0, 255).astype(np.uint8)).save(target, "JPEG", quality=88)
    return target.getvalue()


def measure(page: Any, url: str, photo: bytes) -> dict[str, list[float]]:
    """All times, in milliseconds."""
    page.goto(f"{url}/#search?collection={NAME}")
    page.locator(".examples img").first.wait_for()
    given = [base64.b64encode(photo).decode(), "photo.jpg"]
    page.evaluate(DROP, given)  # loads the encoder
    page.wait_for_load_state("networkidle")
    drops, decodes, clicks = [], [], []
    for _ in range(ROUNDS):
        whole, decode = page.evaluate(DROP, given)
        drops.append(whole - decode)
        decodes.append(decode)
        page.wait_for_timeout(400)
        page.wait_for_load_state("networkidle")
    for _ in range(ROUNDS):
        clicks.append(page.evaluate(CLICK))
        page.wait_for_timeout(400)
        page.wait_for_load_state("networkidle")
    page.goto(f"{url}/#map?collection={NAME}")
    page.locator(".near button").first.wait_for()
    page.wait_for_timeout(5_000)
    frames, work = page.evaluate(PAN, FRAMES)
    return {
        "drop of a 12-megapixel photo, without decoding": drops,
        "(the browser's decoding of it)": decodes,
        "find similar": clicks,
        "map: one frame to the next": frames,
        "map: work of a frame": work,
    }


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(store=f"{folder}/store")
        found = photos(Path(folder) / "photos")
        manifest = add_default_encoder(settings, found[:64])
        stage(settings, manifest, embedding_like(options.items, manifest.dimension), Path(folder) / "work")
        with serving(settings) as url, sync_playwright() as playwright:
            ids = _ids(url, options.items)
            place_pictures(settings, ids, found)
            browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            times = measure(page, url, large_photo(found[0]))
            browser.close()
    print(f"{options.items} items, 1280 × 800 window, headless, no graphics card; {ROUNDS} rounds\n")
    print(f"{'milliseconds':<48} {'median':>8} {'90 %':>8}")
    for name, each in times.items():
        print(f"{name:<48} {statistics.median(each):8.1f} {np.percentile(each, 90):8.1f}")
    return 0


def _ids(url: str, items: int) -> list[str]:
    import urllib.request

    with urllib.request.urlopen(f"{url}/collections/{NAME}/map?limit={min(items, 20_000)}") as answer:
        found: list[str] = json.load(answer)["ids"]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
