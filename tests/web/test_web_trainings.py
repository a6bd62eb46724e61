"""The page follows a training from a zip file to its end, and rolls it back."""

from __future__ import annotations

import pytest
from fixtures.classes import drawn_classes, zipped
from fixtures.server import add_encoder, eventually, running

from lookalike.settings import Settings

EACH = 8
PATIENCE_MS = 300_000


@pytest.fixture
def shapes(tmp_path, tiny_encoder_folder, monkeypatch):
    """A server with a collection whose classes are shapes, and an encoder that only sees colours."""
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


def test_a_training_is_published_and_rolled_back(opened, shapes):
    page = opened("quality?collection=shapes", at=shapes)
    judged = page.get_by_role("region", name="Evaluation").locator("bdi").first
    judged.get_by_text(shapes.encoder).wait_for()
    page.get_by_label("Training data").select_option("zip")
    page.get_by_label("Zip file", exact=True).set_input_files(
        {"name": "shapes.zip", "mimeType": "application/zip", "buffer": zipped(shapes.pictures)}
    )
    page.get_by_label("Epochs").fill("3")
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("Zip file uploaded.").wait_for()
    page.get_by_role("progressbar", name="features").wait_for(timeout=PATIENCE_MS)
    page.locator("[data-status=succeeded]").wait_for(timeout=PATIENCE_MS)
    entry = page.locator("article").first
    assert "mAP@R rises" in entry.inner_text()
    page.get_by_role("log").get_by_text("running: preparing").wait_for()
    # The collection uses the new encoder, and the page evaluates it on its own.
    judged.get_by_text("efficientnet-lite0").wait_for()
    with page.context.expect_page() as report:
        entry.get_by_role("link", name="Report").click()
    report.value.get_by_role("heading").first.wait_for()

    page.get_by_role("button", name="Roll back to previous encoder").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    page.get_by_text(f"shapes now uses {shapes.encoder} (was ").wait_for()
    judged.get_by_text(shapes.encoder).wait_for()
