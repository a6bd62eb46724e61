"""`lookalike match`: tables and collections in, pairs out."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from lookalike.cli import main

PRODUCTS = ("Sony Turntable PSLX350H", "Bose Speaker AM53BK", "Canon Printer MX700", "Dell Monitor E2209W")


def write(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


@pytest.fixture
def tables(tmp_path):
    """Two sellers with the same four products, which the second lists in another order."""
    left = write(tmp_path / "shop.csv", ("id", "title"), [(f"s{n}", t) for n, t in enumerate(PRODUCTS)])
    others = [(f"m{n}", " ".join(reversed(t.split()))) for n, t in enumerate(PRODUCTS)]
    return left, write(tmp_path / "market.csv", ("sku", "name"), others[::-1])


def run(*arguments):
    return main([*map(str, arguments)])


def test_pairs_are_printed_and_written(tables, tmp_path, capsys):
    assert run("match", *tables, "--output", tmp_path / "pairs.csv", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    pairs = {(pair["left_id"], pair["right_id"]) for pair in found["pairs"]}
    assert pairs == {(f"s{n}", f"m{n}") for n in range(4)}
    assert (found["unmatched_left"], found["learned_from"]) == ([], "altered copies")
    with (tmp_path / "pairs.csv").open(encoding="utf-8") as file:
        assert {(row["left_id"], row["right_id"]) for row in csv.DictReader(file)} == pairs


def test_errors_say_what_to_do(tables, tmp_path, capsys):
    assert run("match", *tables, "--output", tmp_path / "pairs.xlsx") == 1
    assert ".csv, .jsonl, .parquet" in capsys.readouterr().err
    assert run("match", *tables, "--column", "title") == 1
    assert "MEANING=NAME" in capsys.readouterr().err
    assert run("match", tables[0], write(tmp_path / "odd.csv", ("nr", "text1"), [("1", "a")])) == 1
    assert "--column id=NAME" in capsys.readouterr().err


def test_a_collection_matches_a_table_by_its_images(tables, tmp_path, tiny_encoder_folder, capsys):
    draw = np.random.default_rng(0)
    photos = tmp_path / "photos"
    for n in range(12):
        file = photos / "things" / f"{n:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        blocks = draw.integers(0, 255, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(blocks).resize((64, 64), Image.Resampling.NEAREST).save(file)
    shutil.copytree(photos / "things", tmp_path / "things")
    rows = [(f"m{n:02}", "a thing", f"things/{n:02}.png") for n in range(12)]
    table = write(tmp_path / "market.csv", ("id", "title", "image"), rows)
    store = str(tmp_path / "store")
    assert run("encoders", "add", tiny_encoder_folder, "--store", store) == 0
    assert run("index", photos, "-c", "shop", "--store", store) == 0
    capsys.readouterr()
    assert run("match", "shop", table, "--store", store, "--json") == 0
    pairs = json.loads(capsys.readouterr().out)["pairs"]
    right = sum(pair["left_id"][-6:-4] == pair["right_id"][1:] for pair in pairs)
    assert right >= 10
    assert right == len(pairs)
    assert any(reason.startswith("image") for reason in pairs[0]["agree"])
