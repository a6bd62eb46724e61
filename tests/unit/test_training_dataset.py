"""Sources: what becomes a data set, and which sentence a source gets that cannot."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.sources import fill, picture, zipped

from lookalike.errors import InvalidInput, LookalikeError
from lookalike.training.sources.dataset import Dataset, Example, check_readable
from lookalike.training.sources.read_source import read_source

SHOP = ("shoes/1.jpg", "shoes/2.jpg", "hats/1.jpg", "hats/2.jpg")


def read(source: Path, **options: str) -> Dataset:
    return read_source(source, source.parent / "scratch", **options)


def labels(dataset: Dataset) -> dict[str, str]:
    return {example.id: example.label for example in dataset.examples}


def refusal(source: Path, **options: str) -> str:
    """The whole sentence, which says what was got, what was expected or what to do."""
    with pytest.raises(LookalikeError) as caught:
        read(source, **options)
    assert caught.value.got is not None
    assert caught.value.expected or caught.value.fix
    return str(caught.value)


def table(folder: Path, text: str, name: str = "metadata.csv") -> Path:
    (folder / name).write_text(text, "utf-8")
    return folder


def test_the_first_folder_is_the_class_however_deep_the_picture_lies(tmp_path: Path) -> None:
    shop = fill(tmp_path / "shop", "shoes/1.jpg", "shoes/red/high/2.jpg", "hats/a/1.jpg", "hats/b/1.jpg")
    assert labels(read(shop)) == {
        "hats/a/1.jpg": "hats",
        "hats/b/1.jpg": "hats",
        "shoes/1.jpg": "shoes",
        "shoes/red/high/2.jpg": "shoes",
    }
    assert read(shop).labels == ("hats", "shoes")
    assert read(shop).notes == ()


def test_a_zip_gives_what_its_folder_gives(tmp_path: Path) -> None:
    shop = fill(tmp_path / "shop", *SHOP)
    one, other = read(shop), read(zipped(tmp_path / "shop.zip", SHOP))
    assert labels(one) == labels(other)
    assert [e.path.read_bytes() for e in sorted(one.examples, key=lambda e: SHOP.index(e.id))] == [
        e.path.read_bytes() for e in other.examples
    ]


def test_all_formats_side_by_side(tmp_path: Path) -> None:
    kinds = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
    for kind in kinds:
        fill(tmp_path / "shop", f"a/{kind}", f"b/1.{kind}", data=picture(1, kind))
    found = read(tmp_path / "shop")
    # BMP has no first bytes to tell it by, so it needs its name.
    assert sorted(labels(found)) == sorted(
        [f"b/1.{k}" for k in kinds] + [f"a/{k}" for k in kinds if k != "BMP"]
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_around_everything_is_opened(tmp_path: Path, packed: bool) -> None:
    names = [f"my shop/pictures/{name}" for name in SHOP]
    source = zipped(tmp_path / "x.zip", names) if packed else fill(tmp_path / "x", *names)
    found = read(source)
    assert sorted(labels(found)) == sorted(SHOP)
    assert found.notes == ("all images lie below my shop/pictures/; its folders are taken as the classes",)


def test_leftovers_of_a_mac_make_no_class(tmp_path: Path) -> None:
    junk = [f"__MACOSX/shop/shoes/._{n}.jpg" for n in range(4)]
    names = [f"shop/{name}" for name in SHOP] + [*junk, "shop/.DS_Store", ".hidden/1.jpg", ".hidden/2.jpg"]
    for source in (zipped(tmp_path / "shop.zip", names), fill(tmp_path / "shop", *names)):
        found = read(source)
        assert sorted(labels(found)) == sorted(SHOP)
        assert any("leftovers" in note and "__MACOSX" in note for note in found.notes)


def test_pictures_beside_the_folders_are_left_out(tmp_path: Path) -> None:
    found = read(fill(tmp_path / "shop", *SHOP, "logo.png"))
    assert sorted(labels(found)) == sorted(SHOP)
    assert found.notes == ("1 image in no category folder left out: logo.png",)


def test_classes_of_one_picture_are_left_out_while_two_others_remain(tmp_path: Path) -> None:
    found = read(fill(tmp_path / "shop", *SHOP, "bags/1.jpg", "ties/1.jpg"))
    assert found.labels == ("hats", "shoes")
    assert found.notes == ("2 classes of one image left out: bags, ties",)


def test_classes_that_differ_in_case_are_kept_apart_and_named(tmp_path: Path) -> None:
    found = read(zipped(tmp_path / "shop.zip", [*SHOP, "Shoes/1.jpg", "Shoes/2.jpg"]))
    assert found.labels == ("Shoes", "hats", "shoes")
    assert found.notes == ("classes that differ only in upper and lower case stay separate: Shoes and shoes",)


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_latin_1_names_in_a_folder_are_readable(tmp_path: Path) -> None:
    for folder in ("Gürtel", "Röcke"):
        for number in range(2):
            parent = os.fsencode(tmp_path / "shop") + b"/" + folder.encode("latin-1")
            os.makedirs(parent, exist_ok=True)  # noqa: PTH103 -- pathlib takes no bytes
            with open(parent + f"/é{number}.jpg".encode("latin-1"), "wb") as file:  # noqa: PTH123
                file.write(picture(number))
    found = read(tmp_path / "shop")
    assert found.labels == ("Gürtel", "Röcke")
    assert found.notes == ("names that are not in UTF-8 were read as Latin-1: 4",)
    found.write(tmp_path / "dataset.jsonl")
    assert Dataset.read(tmp_path / "dataset.jsonl") == found
    assert all(example.path.read_bytes() for example in Dataset.read(tmp_path / "dataset.jsonl").examples)


# Metadata


def test_metadata_says_more_than_folders(tmp_path: Path) -> None:
    shop = fill(tmp_path / "shop", *SHOP, "new/1.jpg")
    table(
        shop,
        "file,category,product_id,split\nshoes/1.jpg,,p1,train\nhats/1.jpg,,p2,val\nnew/1.jpg,hats,p2,Test\n",
    )
    found = {example.id: example for example in read(shop).examples}
    assert labels(read(shop))["new/1.jpg"] == "hats"
    assert [found[name].product for name in ("shoes/1.jpg", "hats/1.jpg", "shoes/2.jpg")] == [
        "p1",
        "p2",
        None,
    ]
    assert [found[name].split for name in ("shoes/1.jpg", "hats/1.jpg", "new/1.jpg", "shoes/2.jpg")] == [
        "train",
        "validation",
        "validation",
        None,
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("where", ["", "images/", "shop/", "shop/images/"])
def test_metadata_alone_may_say_the_class(tmp_path: Path, kind: str, where: str) -> None:
    names = [f"{n}.jpg" for n in range(4)]
    top = where.partition("images")[0]
    source = fill(tmp_path / "source", *(where + name for name in names))
    classes = ["a", "a", "b", "b"]
    file = source / top / f"metadata.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"file": names, "category": classes}), file)
    elif kind == "csv":
        file.write_text(
            "file,category\n" + "".join(f"{n},{c}\n" for n, c in zip(names, classes, strict=True))
        )
    else:
        file.write_text(
            "".join(f'{{"file": "{n}", "category": "{c}"}}\n' for n, c in zip(names, classes, strict=True))
        )
    assert list(labels(read(source)).values()) == classes


def test_another_column_may_be_the_class(tmp_path: Path) -> None:
    shop = table(
        fill(tmp_path / "shop", *SHOP, "hats/3.jpg"),
        "file,Colour,size\n"
        + "".join(f"{name},{'red' if '1' in name else 'blue'},{n}\n" for n, name in enumerate(SHOP)),
    )
    found = read(shop, label="colour")
    assert labels(found) == {name: "red" if "1" in name else "blue" for name in SHOP}
    assert found.notes == ("1 image without a value in the column colour left out: hats/3.jpg",)
    assert "no metadata file has a column weight; got Colour, size" in refusal(shop, label="weight")


def test_numbers_may_be_classes(tmp_path: Path) -> None:
    shop = fill(tmp_path / "shop", *SHOP)
    table(shop, "file,shelf\n" + "".join(f"{name},{n % 2}\n" for n, name in enumerate(SHOP)))
    assert read(shop, label="shelf").labels == ("0", "1")


def test_names_match_however_their_accents_are_composed(tmp_path: Path) -> None:
    names = ["ro\u0308cke/e\u0301.jpg", "ro\u0308cke/2.jpg", "hats/1.jpg", "hats/2.jpg"]
    shop = table(fill(tmp_path / "shop", *names), "file,product_id\nr\u00f6cke/\u00e9.jpg,p7\n")
    found = {example.id: example.product for example in read(shop).examples}
    assert found["r\u00f6cke/\u00e9.jpg"] == "p7"


def test_what_metadata_gets_wrong_is_noted(tmp_path: Path) -> None:
    shop = table(fill(tmp_path / "shop", *SHOP), "file,split\ngone.jpg,train\nshoes/1.jpg,maybe\n,train\n")
    table(shop, "price,name\n1,a\n", "prices.csv")
    table(shop, "file,category\nshoes/1.jpg,hats\n", "shoes/inner.csv")
    notes = read(shop).notes
    assert "metadata.csv row 4: no usable file; skipped" in notes
    assert "metadata.csv: 1 row about missing images: gone.jpg" in notes
    assert "metadata.csv: a split must be train or validation; ignored: maybe" in notes
    assert any(note.startswith("prices.csv was not used: no column says which image") for note in notes)
    assert "shoes/inner.csv was not used: it is inside a folder, not next to the folders" in notes


# Bad sources


def test_no_such_source(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").startswith("there is no such source; got ")


def test_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty") == (
        "the source holds no images; got nothing in empty; expected images in one folder per class"
    )
    fill(tmp_path / "docs", "a/1.txt", "b/1.pdf", data=b"%PDF")
    assert "got 2 other files left out: a/1.txt, b/1.pdf" in refusal(tmp_path / "docs")
    assert "the source holds no images" in refusal(zipped(tmp_path / "empty.zip", []))


def test_no_category_folders(tmp_path: Path) -> None:
    assert refusal(fill(tmp_path / "shop", "1.jpg", "2.jpg", "3.jpg")) == (
        "the images are not in category folders, so they have no classes; "
        "got 3 images at the top of shop: 1.jpg, 2.jpg, 3.jpg; expected one folder per class, such as "
        "shop/shoes/1.jpg. Move them into folders, or add a metadata.csv with the columns file and category."
    )


def test_one_class(tmp_path: Path) -> None:
    for source in (
        fill(tmp_path / "shop", "shoes/1.jpg", "shoes/2.jpg"),
        zipped(tmp_path / "x.zip", ["a/b/1.jpg", "a/b/2.jpg"]),
    ):
        message = refusal(source)
        assert re.search(
            r"there is only one class, .*got (shoes|b) with 2 images; expected two classes", message
        )


def test_classes_with_one_picture_each(tmp_path: Path) -> None:
    for names in (("a/1.jpg", "b/1.jpg", "c/1.jpg"), ("a/1.jpg", "a/2.jpg", "b/1.jpg")):
        message = refusal(fill(tmp_path / names[1][0], *names))
        assert "too few classes have two images or more; got" in message
        assert "Add images" in message


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", b"\xff\xd8\xff\xe0 cut", picture()[:20]])
def test_not_one_picture_that_opens(tmp_path: Path, data: bytes) -> None:
    for source in (fill(tmp_path / "shop", *SHOP, data=data), zipped(tmp_path / "shop.zip", SHOP, data=data)):
        message = refusal(source)
        assert message.startswith("none of the images can be read; got 4 files, the last of them")
        assert "Copy the images again" in message


def test_some_that_do_not_open_are_no_reason_to_refuse(tmp_path: Path) -> None:
    shop = fill(tmp_path / "shop", *SHOP)
    fill(shop, "hats/0.jpg", data=b"nothing")
    assert len(read(shop).examples) == 5


# What does not decode in the end


def examples(**counts: int) -> list[Example]:
    return [
        Example(f"{label}/{number}", Path("x"), label)
        for label, count in counts.items()
        for number in range(count)
    ]


def test_what_does_not_decode_is_left_out_and_counted() -> None:
    left = check_readable(examples(a=3, b=2, c=2), {"a/0": "damaged", "c/1": "too large"})
    assert [example.id for example in left.examples] == ["a/1", "a/2", "b/0", "b/1"]
    assert left.notes == (
        "2 of 7 images cannot be read: a/0 (damaged), c/1 (too large)",
        "1 class of one image left out: c",
    )
    assert check_readable(examples(a=2, b=2), {}).notes == ()


def test_too_little_that_decodes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="none of the images can be read"):
        check_readable(examples(a=2, b=2), {e.id: "damaged" for e in examples(a=2, b=2)})
    with pytest.raises(InvalidInput, match=r"too few images are left.*got 3 of 4.*b/0 \(damaged\)"):
        check_readable(examples(a=2, b=2), {"b/0": "damaged"})


# Files


def test_a_data_set_is_kept_in_a_file(tmp_path: Path) -> None:
    made = Dataset(
        (Example("a/ü\u2028.jpg", tmp_path / "1", "a", "p", "train"), Example("b", tmp_path / "2", "b")),
        ("one", "two"),
    )
    made.write(tmp_path / "dataset.jsonl")
    assert Dataset.read(tmp_path / "dataset.jsonl") == made
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.jsonl"]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]\n", '{"format": 9, "notes": []}\n', '{"format": 1, "notes": []}\n{"id": 1}\n']
)
def test_what_is_no_data_set_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.jsonl").write_text(text)
    with pytest.raises(InvalidInput):
        Dataset.read(tmp_path / "dataset.jsonl")


def test_an_id_stands_for_one_picture() -> None:
    with pytest.raises(InvalidInput, match="two images have the same id; got a/0"):
        Dataset((*examples(a=1, b=1), *examples(a=1)))
