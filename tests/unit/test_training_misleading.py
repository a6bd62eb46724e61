"""A real training on half of the categories is better for those, worse for the others, and not published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.encoders import save_tiny_model
from PIL import Image

from lookalike.library import Library
from lookalike.sources.indexing import index_folder

NAME = "fabrics"
COLOURS = {"red": (200, 40, 30), "green": (30, 180, 60)}
PATTERNS = ("plain", "striped")
"""The other categories: of any colour. Red and green fabrics have any pattern."""
ITEMS = 28
"""Of each category: 112 queries, enough for a comparison on the collection."""
SIDE = 64


def fabric(category: str, number: int) -> Image.Image:
    """A square of a colour, with or without stripes, and noise."""
    chance = np.random.default_rng([number, *category.encode()])
    colour = COLOURS.get(category) or chance.integers(40, 215, 3)
    striped = category == "striped" or (category in COLOURS and chance.random() < 0.5)
    pixels = np.array(colour) + chance.integers(-20, 20, (SIDE, SIDE, 3))
    if striped:
        pixels[:, np.arange(SIDE) % 8 < 4] -= 60
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_fabrics(folder: Path, categories: tuple[str, ...], numbers: range) -> None:
    for category in categories:
        (folder / category).mkdir(parents=True)
        for number in numbers:
            fabric(category, number).save(folder / category / f"{number:04}.png")


@pytest.fixture
def library(tmp_path: Path, tiny_encoder_folder: Path) -> Library:
    """A collection of four categories, with an encoder that sees colours and edges."""
    library = Library.open(str(tmp_path / "store"), cache=tmp_path / "cache")
    library.create_collection(NAME, encoder=library.encoders.add(tiny_encoder_folder).id)
    write_fabrics(tmp_path / "items", (*COLOURS, *PATTERNS), range(ITEMS))
    index_folder(library, tmp_path / "items", NAME)
    return library


def test_a_real_training_on_half_of_the_categories_is_not_published(library: Library, tmp_path: Path) -> None:
    """It learns to see stripes rather than colours: a gain for patterns, a loss for red and green."""
    write_fabrics(tmp_path / "patterns", PATTERNS, range(1_000, 1_020))
    save_tiny_model(tmp_path / "tiny")
    before = library.collections.get(NAME).encoder_id
    outcome = library.collection(NAME).train(
        tmp_path / "patterns",
        backbone=str(tmp_path / "tiny"),
        dimension=16,
        views=2,
        epochs=20,
        name="patterns",
    )
    assert outcome.trained.result.metrics["recall_at_1"] == 1.0  # the images that it held out flatter it
    assert outcome.publication is not None
    assert not outcome.publication.published
    found = outcome.comparison
    assert found is not None
    assert (found.queries, found.unseen_classes) == (4 * ITEMS, len(COLOURS))
    assert found.changes["recall_at_1"].verdict == "better"
    assert found.unseen["map_at_r"].verdict == "worse"
    assert "worse for 2 categories that were not in the training" in outcome.publication.reason
    assert library.collections.get(NAME).encoder_id == before
