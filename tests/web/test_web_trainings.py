"""The page follows a training from a zip file to its end, and rolls it back."""

from __future__ import annotations

import pytest
from fixtures.classes import drawn_classes, zipped
from fixtures.frames import nearsighted
from fixtures.server import add_encoder, eventually, running

from lookalike.evaluation.bootstrap import Interval
from lookalike.publishing import Comparison
from lookalike.publishing.publish_rule import Measured
from lookalike.settings import Settings
from lookalike.training_jobs import Training, Trainings

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


def test_a_training_that_was_not_published_is_published_anyway(opened, shapes, tmp_path, tiny_encoder_folder):
    library = shapes.local.library
    records = Trainings(library.artifacts, "shapes")
    worse = library.encoders.add(nearsighted(tiny_encoder_folder, tmp_path / "near")).id
    measured = [
        Measured(id_, score, 0.9, 1.0, score) for id_, score in ((shapes.encoder, 0.8), (worse, 0.25))
    ]
    compared = Comparison(*measured, 120, 120, 4, Interval(-0.55, -0.6, -0.5), "worse", "a test")
    made = records.create(Training("", "shapes", "zip"))
    result = {
        "encoder_id": worse,
        "published": False,
        "reason": "it is worse",
        "comparison": compared.to_json(),
    }
    records.finish(made.id, "succeeded", **result)

    page = opened("quality?collection=shapes", at=shapes)
    entry = page.get_by_role("article", name=f"Training {made.id}")
    entry.get_by_text("it is worse").wait_for()
    publish, dialog = entry.get_by_role("button", name="Publish anyway"), page.get_by_role("dialog")
    publish.click()
    shown = " ".join(dialog.inner_text().split())
    assert "mAP@R 80 % → 25 %, Recall@1 80 % → 25 % on 120 queries" in shown
    dialog.get_by_role("button", name="Cancel").click()
    assert shapes.client.get("/collections/shapes").json()["encoder"] == shapes.encoder
    publish.click()
    dialog.get_by_role("button", name="Publish anyway").click()
    page.get_by_text(f"shapes now uses {worse}.").wait_for()
    assert shapes.client.get("/collections/shapes").json()["encoder"] == worse
    entry.get_by_text("forced; mAP@R does not rise: 0.800 → 0.250").wait_for()
    assert publish.count() == 0
    judged = page.get_by_role("region", name="Evaluation").locator("bdi").first
    judged.get_by_text(worse).wait_for()
    assert shapes.client.post("/collections/shapes/rollback").json()["encoder"] == shapes.encoder
