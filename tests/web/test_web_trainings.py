"""A training from a zip file that succeeds, and the way back: seen in the page by somebody who watches."""

from __future__ import annotations

import pytest
from fixtures.classes import drawn_classes, zipped
from fixtures.server import add_encoder, eventually, running

from lookalike.settings import Settings

EACH = 8
PATIENCE_MS = 300_000


@pytest.fixture
def shapes(tmp_path, tiny_encoder_folder, monkeypatch):
    """A server with a collection whose classes are shapes, and an encoder that sees colours only."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = Settings(store=str(tmp_path / "store"), delta_rows=4, refresh_seconds=0.1)
    old = add_encoder(settings, tiny_encoder_folder)
    with running(settings) as server:
        server.create("shapes")
        pictures = drawn_classes(EACH)
        server.upload("shapes", pictures)
        server.wait_for("shapes", *pictures)
        eventually(lambda: server.client.get("/collections/shapes").json()["snapshot"])
        server.pictures, server.encoder = pictures, old
        yield server


def test_a_training_succeeds_and_serves_until_it_is_rolled_back(opened, shapes):
    page = opened("quality?collection=shapes", at=shapes)
    judged = page.get_by_role("region", name="Evaluation").locator("bdi").first
    judged.get_by_text(shapes.encoder).wait_for()
    page.get_by_label("Learn from").select_option("zip")
    page.get_by_label("Zip file", exact=True).set_input_files(
        {"name": "shapes.zip", "mimeType": "application/zip", "buffer": zipped(shapes.pictures)}
    )
    page.get_by_label("Epochs").fill("3")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("The zip file has arrived.").wait_for()
    page.get_by_role("progressbar", name="features").wait_for(timeout=PATIENCE_MS)
    page.locator("[data-status=succeeded]").wait_for(timeout=PATIENCE_MS)
    entry = page.locator("article").first
    assert "mAP@R rises" in entry.inner_text()
    page.get_by_role("log").get_by_text("running: preparing").wait_for()
    # Another encoder serves, and the page judges it without being asked.
    judged.get_by_text("efficientnet-lite0").wait_for()
    with page.context.expect_page() as report:
        entry.get_by_role("link", name="Report").click()
    report.value.get_by_role("heading").first.wait_for()

    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    page.get_by_text(f"{shapes.encoder} serves again").wait_for()
    judged.get_by_text(shapes.encoder).wait_for()
