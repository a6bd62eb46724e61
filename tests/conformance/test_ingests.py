"""Ingest over a folder and over S3: the same objects and events end in the same catalogue."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from lookalike.collection_config import CollectionConfig, Collections
from lookalike.encoders import Encoder
from lookalike.ingest import Ingestor
from lookalike.layout import image_key, metadata_key
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.types import ObjectEvent

NAMES = ["a/1.png", "a/it's 100% ümläut+&.png", "b/2.png"]


def picture(colour: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (colour, 0, 255 - colour)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(params=["folder", "s3"])
def chosen(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty store of either kind."""
    if request.param == "folder":
        return Settings(store=str(tmp_path / "store"))
    bucket, endpoint = request.getfixturevalue("s3_bucket"), request.getfixturevalue("s3_endpoint")
    return Settings(store=f"s3://{bucket}/some/prefix", s3_endpoint=endpoint)


def test_events_and_repairs_end_alike(chosen: Settings, tiny_encoder: Encoder) -> None:
    images, artifacts = Store.images(chosen), Store.artifacts(chosen)
    Collections(artifacts).create(CollectionConfig("food", tiny_encoder.manifest.id))
    ingestor = Ingestor(images, artifacts, chosen, lambda config: tiny_encoder)
    catalogue = ingestor.catalogue("food")

    def visible() -> dict[str, str | None]:
        return {item.id: item.title for batch in catalogue.scan() for item in batch.items}

    for number, name in enumerate(NAMES):
        images.put(image_key("food", name), picture(number))
    images.put(image_key("food", "broken.jpg"), b"\xff\xd8\xff nothing more")
    images.put(metadata_key("food", "m.csv"), b"file,title\na/1.png,One\n")
    report = ingestor.reconcile("food")
    assert (report.encoded, report.rejected, report.metadata_files, report.failed) == (3, 1, 1, [])
    assert visible() == {NAMES[0]: "One", NAMES[1]: None, NAMES[2]: None}
    assert (ingestor.reconcile("food").changed, report.changed) == (0, 5)

    images.put(image_key("food", NAMES[0]), picture(9))
    images.delete(image_key("food", NAMES[1]))
    images.delete(image_key("food", "broken.jpg"))
    images.put(metadata_key("food", "m.csv"), b"file,title\nb/2.png,Two\n")
    report = ingestor.reconcile("food")
    assert (report.encoded, report.removed, report.metadata_files, report.failed) == (1, 2, 1, [])
    assert visible() == {NAMES[0]: None, NAMES[2]: "Two"}

    # Events with S3's own sequencers come after the repairs, and count; what they repeat does not.
    images.put(image_key("food", NAMES[1]), picture(20))
    images.delete(image_key("food", NAMES[2]))
    events = [
        ObjectEvent("food", image_key("food", NAMES[1]), "created", "F0612FD43B7DBE55B1"),
        ObjectEvent("food", image_key("food", NAMES[2]), "removed", "F0612FD43B7DBE55B2"),
        ObjectEvent("food", image_key("food", NAMES[0]), "created", "00"),
    ]
    report = ingestor.apply(events)
    assert (report.encoded, report.removed, report.unchanged, report.failed) == (1, 1, 1, [])
    assert set(visible()) == {NAMES[0], NAMES[1]}
    assert ingestor.reconcile("food").changed == 0
    assert ingestor.observe("food", [image_key("food", NAMES[0]), "food/images/a"]).changed == 0
