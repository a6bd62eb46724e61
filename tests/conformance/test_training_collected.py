"""A data set of a collection, over both kinds of store."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.photos import write_photos

from lookalike.errors import CollectionNotFound, InvalidInput
from lookalike.library import Library
from lookalike.settings import Settings
from lookalike.sources.indexing import index_folder
from lookalike.storage import Store
from lookalike.training.sources.dataset import Dataset
from lookalike.training.sources.from_collection import collection_dataset

PICTURES = 16


@pytest.fixture
def library(
    request: pytest.FixtureRequest,
    store: Store,
    tiny_encoder_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Library:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    environment = {}
    if store.folder is None:
        environment["LOOKALIKE_S3_ENDPOINT"] = request.getfixturevalue("s3_endpoint")
    made = Library(Settings.from_env(environment, store=store.url), tmp_path / "cache")
    made.encoders.add(tiny_encoder_folder)
    return made


@pytest.fixture
def photos(tmp_path: Path, library: Library) -> Path:
    """Indexed as the collection `shop`; two pictures have no category, two are of one product."""
    folder = tmp_path / "photos"
    ids = write_photos(folder, PICTURES)
    for number in range(2):
        (folder / f"{number}.jpg").write_bytes((folder / ids[number]).read_bytes())
    rows = "".join(f"{id_},{'val' if n < 4 else ''},{n % 3}\n" for n, id_ in enumerate(ids))
    (folder / "more.csv").write_text(f"file,split,shelf\n{rows}", "utf-8")
    index_folder(library, folder, "shop", snapshot=False)
    return folder


def test_items_that_have_a_class(library: Library, photos: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    found = collection_dataset(
        library, "shop", tmp_path / "scratch", progress=lambda done, total: steps.append((done, total))
    )
    assert [example.id for example in found.examples] == sorted(
        path.relative_to(photos).as_posix() for path in photos.glob("*/*.jpg")
    )
    for example in found.examples:
        number = int(Path(example.id).stem)
        assert example.label == example.id.partition("/")[0]
        assert example.product == f"product-{number // 2}"
        assert example.split == ("validation" if number < 4 else None)
        assert example.path.read_bytes() == (photos / example.id).read_bytes()
    assert found.notes == ("2 items without a category left out",)
    assert steps == [(n, PICTURES) for n in range(1, PICTURES + 1)]
    found.write(tmp_path / "dataset.jsonl")
    assert Dataset.read(tmp_path / "dataset.jsonl") == found


def test_what_is_at_hand_is_not_fetched_again(library: Library, photos: Path, tmp_path: Path) -> None:
    first = collection_dataset(library, "shop", tmp_path / "scratch")
    times = [example.path.stat().st_mtime_ns for example in first.examples]
    again = collection_dataset(library, "shop", tmp_path / "scratch")
    assert again == first
    assert [example.path.stat().st_mtime_ns for example in again.examples] == times


def test_another_field_may_be_the_class(library: Library, photos: Path, tmp_path: Path) -> None:
    found = collection_dataset(library, "shop", tmp_path / "scratch", label="shelf")
    assert found.labels == ("0", "1", "2")
    with pytest.raises(
        InvalidInput, match=r"no item of shop has a colour; got 18 items with the fields .*shelf"
    ):
        collection_dataset(library, "shop", tmp_path / "scratch", label="colour")


def test_a_picture_that_is_gone_is_left_out(library: Library, photos: Path, tmp_path: Path) -> None:
    library.images.delete("shop/images/hats/0000.jpg")
    found = collection_dataset(library, "shop", tmp_path / "scratch")
    assert len(found.examples) == PICTURES - 1
    assert "1 item left out: their images were removed or replaced: hats/0000.jpg" in found.notes


def test_what_cannot_be_trained_on(library: Library, tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFound):
        collection_dataset(library, "nowhere", tmp_path)
    folder = tmp_path / "one"
    (folder / "hats").mkdir(parents=True)
    ids = write_photos(tmp_path / "photos", 8)
    for number, id_ in enumerate(ids):
        (folder / "hats" / f"{number}.jpg").write_bytes((tmp_path / "photos" / id_).read_bytes())
    index_folder(library, folder, "one", snapshot=False)
    with pytest.raises(InvalidInput, match="there is only one class"):
        collection_dataset(library, "one", tmp_path)
