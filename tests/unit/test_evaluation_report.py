"""A whole evaluation: its numbers, its JSON, its page, and the commands that make it."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from lookalike.cli import main
from lookalike.encoders import Encoders
from lookalike.errors import Incompatible, InvalidInput
from lookalike.evaluation import (
    METRICS,
    BlendPoint,
    Candidate,
    EvaluationReport,
    QuerySplit,
    each_itself,
    evaluate,
    retrieval,
)
from lookalike.evaluation.html import html, write_html
from lookalike.evaluation.plots import figures, svg
from lookalike.storage import Store

NASTY = (
    "<img src=x onerror=alert(1)>",
    'a "quoted" & $\\frac{1}{0}$ name' + "\x07",
    "T" * 300,
    "靴 étiquette",
)


def clustered(count, *, spread, labels=("a", "b", "c", "d"), seed=0):
    rng = np.random.default_rng(9)
    centres = rng.standard_normal((len(labels), 12))
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % len(labels)
    vectors = (centres[classes] + spread * rng.standard_normal((count, 12))).astype(np.float32)
    return vectors, [labels[number] for number in classes]


def evaluated(count=160, *, labels=("a", "b", "c", "d"), split=None, **options):
    good, names = clustered(count, spread=0.8, labels=labels)
    bad, _ = clustered(count, spread=3.0, labels=labels)
    ids = [f"{name}/{row}.jpg" for row, name in enumerate(names)]
    split = split or QuerySplit.held_out(np.arange(count) % 5 == 0, "every fifth")
    candidates = [Candidate("bad", bad, {"ms": "5"}), Candidate("good", good, {"ms": "7"})]
    return evaluate(candidates, ids, names, split, title="A shop", **options), good, names, ids


def test_the_numbers_are_those_of_retrieval_and_the_better_one_is_called_so():
    report, good, names, _ = evaluated()
    asks = np.arange(160) % 5 == 0
    labels = np.array(names)
    found = retrieval(good[asks], labels[asks], good[~asks], labels[~asks])
    result = report.encoder("good")
    assert result.metrics["recall_at_1"].value == found.recall(1)
    assert result.metrics["map_at_r"].value == found.map_at_r
    assert all(i.low <= i.value <= i.high for i in result.metrics.values())
    assert result.threshold.precision >= 0.92
    assert result.metrics["recall_at_precision"].value == result.threshold.recall
    assert (report.queries, report.gallery, report.categories, report.unanswerable) == (32, 128, 4, 0)
    assert report.differences[0].metrics["map_at_r"].verdict == "better"
    assert sum(line.queries for line in result.categories) == 32
    assert sum(cell.queries for cell in result.confusion) == 32
    wrong = sum(cell.queries for cell in result.confusion if cell.asked != cell.found)
    assert wrong == round(32 * (1 - found.recall(1)))
    assert sum(result.histogram.same) + sum(result.histogram.different) == 32 * 128
    recalls = [point.recall for point in result.curve]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1


def test_each_category_has_the_precision_and_recall_of_its_own_pairs():
    report, good, names, _ = evaluated()
    result = report.encoder("good")
    asks = np.arange(160) % 5 == 0
    unit = good / np.linalg.norm(good, axis=1, keepdims=True)
    labels = np.array(names)
    for line in result.categories:
        own = asks & (labels == line.name)
        taken = unit[own] @ unit[~asks].T >= result.threshold.score
        right = taken & (labels[~asks] == line.name)
        assert line.precision == pytest.approx(right.sum() / taken.sum())
        assert line.recall == pytest.approx(right.sum() / (own.sum() * line.gallery))


def test_the_worst_queries_went_wrong_and_show_what_was_found():
    report, *_ = evaluated()
    bad = report.encoder("bad")
    assert bad.worst
    for query in bad.worst:
        assert query.found[0].label != query.label
        scores = [found.score for found in query.found]
        assert scores == sorted(scores, reverse=True)
    precisions = [query.average_precision for query in bad.worst]
    assert precisions == sorted(precisions)


def test_confidence_is_judged_on_queries_that_did_not_teach_it():
    count = 2_000
    easy, names = clustered(count, spread=0.5)
    hard, _ = clustered(count, spread=1.5)
    vectors = np.where(np.arange(count)[:, None] % 2 == 0, easy, hard)
    ids = [str(row) for row in range(count)]
    split = QuerySplit.held_out(np.arange(count) % 3 == 0, "every third")
    # Labels without meaning: an honest confidence is the chance of a quarter, and does not separate.
    random = [f"c{n}" for n in np.random.default_rng(0).integers(0, 4, count)]
    meaningless = evaluate([Candidate("x", vectors)], ids, random, split).encoders[0].reliability
    meant = evaluate([Candidate("x", vectors)], ids, names, split).encoders[0].reliability
    assert meaningless is not None
    assert meant is not None
    assert meaningless.expected_calibration_error < 0.05
    assert meaningless.separation == pytest.approx(0.5, abs=0.05)
    assert meant.expected_calibration_error < 0.05
    assert meant.separation > 0.6
    assert meant.pairs == 20 * 667
    assert sum(bin_.pairs for bin_ in meant.bins) == meant.pairs
    firm = [bin_.right for bin_ in meant.bins if bin_.pairs >= 150]
    assert firm[-1] > max(firm[:-1])
    assert firm[-1] > firm[0] + 0.3


def test_json_and_back():
    report, *_ = evaluated(layout=True)
    report = replace(report, blend=(BlendPoint(0.5, {"fine": 0.7}, chosen=True),), notes=("hello",))
    plain = json.loads(report.dump())
    again = EvaluationReport.from_json(plain)
    assert again.to_json() == plain
    assert again.encoders[1].metrics == report.encoders[1].metrics
    assert again.blend == report.blend
    assert len(again.encoders[0].layout) == 160
    with pytest.raises(Incompatible, match="got 9; expected 1"):
        EvaluationReport.from_json(plain | {"format": 9})
    with pytest.raises(Incompatible, match="surprise"):
        EvaluationReport.from_json(plain | {"surprise": 1})
    with pytest.raises(Incompatible, match="EvaluationReport"):
        EvaluationReport.from_json({"format": 1})


def test_leave_one_out_hides_twins_from_each_other():
    vectors, names = clustered(40, spread=0.8)
    vectors[1] = vectors[0]
    names[1] = "b"  # a copy in another category, which would be the nearest
    deduplicated = QuerySplit.leave_one_out(40, near_duplicates=(np.array([1]), np.array([0])))
    plain = QuerySplit.leave_one_out(40)
    found = {
        name: retrieval(vectors, names, vectors, names, exclude=split.exclude)
        for name, split in (("deduplicated", deduplicated), ("plain", plain))
    }
    assert found["plain"].nearest[:2].tolist() == [1, 0]
    assert 1 not in found["deduplicated"].nearest[:1]
    assert 0 not in found["deduplicated"].nearest[1:2]
    expected = retrieval(vectors, names, vectors, names, exclude=each_itself(40))
    np.testing.assert_array_equal(expected.nearest, found["plain"].nearest)


def test_a_sample_of_queries_still_asks_everything_else():
    split = QuerySplit.leave_one_out(100, queries=10)
    assert len(split.queries) == 10
    assert len(split.gallery) == 100
    vectors, names = clustered(100, spread=0.8)
    rows = split.queries
    found = retrieval(vectors[rows], np.array(names)[rows], vectors, np.array(names), exclude=split.exclude)
    assert (found.nearest != rows).all()


def test_what_cannot_be_evaluated_says_why():
    vectors, names = clustered(40, spread=1)
    ids = [str(row) for row in range(40)]
    split = QuerySplit.leave_one_out(40)
    x = Candidate("x", vectors)
    with pytest.raises(InvalidInput, match="too few labelled images to evaluate; got 3; expected 10 or more"):
        evaluate([x], ids[:3], names[:3], split)
    with pytest.raises(InvalidInput, match=r"all images have the same category.*got 'a'; expected 2"):
        evaluate([x], ids, ["a"] * 40, split)
    with pytest.raises(InvalidInput, match="no query has a matching image in the gallery"):
        evaluate([x], ids, ids, split)
    with pytest.raises(InvalidInput, match="target precision is out of range; got 92"):
        evaluate([x], ids, names, split, wanted_precision=92)
    with pytest.raises(InvalidInput, match="names must be unique; got x, x"):
        evaluate([x, x], ids, names, split)
    with pytest.raises(InvalidInput, match="x must have one vector per image; got 39; expected 40"):
        evaluate([Candidate("x", vectors[:39])], ids, names, split)
    with pytest.raises(InvalidInput, match="has no queries or no gallery; got 0 queries and 40"):
        QuerySplit.held_out(np.zeros(40, bool), "none")


# The page


class Page(HTMLParser):
    """What a browser would make of it: elements with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.words = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def nasty_page():
    report, *_ = evaluated(labels=NASTY, layout=True)
    report = replace(
        report,
        title=NASTY[0],
        notes=NASTY,
        blend=tuple(BlendPoint(w / 2, {NASTY[0]: 0.5, NASTY[1]: w / 2}, w == 1) for w in range(3)),
    )
    pixels = np.zeros((300, 200, 3), np.uint8)
    return html(report, lambda name: pixels if name == report.encoders[0].worst[0].id else None)


def test_the_page_is_one_file_that_asks_for_nothing(nasty_page):
    page = Page(nasty_page)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "form"}
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:image/", "#")) or not value
        assert not any(name.startswith("on") for name in attributes)
    assert "url(http" not in nasty_page
    assert len(nasty_page) < 3_000_000


def test_names_are_shown_as_they_are_and_never_run(nasty_page):
    page = Page(nasty_page)
    assert not [a for tag, a in page.elements if tag == "img" and a.get("src") == "x"]
    words = " ".join(page.words)
    assert NASTY[0] in words
    assert '"quoted" & $\\frac{1}{0}$ name' in words
    assert "\x07" not in nasty_page
    images = [a for tag, a in page.elements if tag == "img"]
    assert images
    assert all(a["src"].startswith("data:image/jpeg;base64,") for a in images)
    # The plots carry the names too, cut where they are long.
    assert re.search(r"<svg.*靴.*</svg>", nasty_page, re.DOTALL)
    assert "T" * 300 not in "".join(re.findall(r"<svg.*?</svg>", nasty_page, re.DOTALL))


def test_every_plot_and_table_is_there(nasty_page):
    names = set(re.findall(r'<figure id="([^"]+)"', nasty_page))
    assert names == {
        "precision-recall",
        "similarities",
        "reliability",
        "confusion-1",
        "confusion-2",
        "map-1",
        "map-2",
        "blend",
    }
    assert nasty_page.count("<svg") == len(names)
    for words in (*METRICS.values(), "Worst queries", "By category", "Blend of trained and frozen"):
        assert words in nasty_page
    assert "better" in nasty_page


def test_many_categories_are_reduced_to_those_that_are_mixed_up(tmp_path):
    report, *_ = evaluated(400, labels=tuple(f"category {n:02}" for n in range(51)))
    confusion = next(figure for name, figure in figures(report) if name == "confusion-1")
    shown = [label.get_text() for label in confusion.axes[0].get_yticklabels()]
    assert len(shown) == 16
    mixed = {c.asked for c in report.encoders[0].confusion if c.asked != c.found}
    assert len(set(shown) & mixed) >= 12
    assert "<svg" in svg(confusion)
    assert (
        write_html(report, tmp_path / "new" / "report.html").read_text("utf-8").startswith("<!doctype html>")
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_numbers_that_do_not_exist_are_dashes():
    # One query's category is unknown to the gallery; no pair is similar enough for the wanted precision.
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((30, 6)).astype(np.float32)
    labels = ["odd"] + [f"c{n}" for n in rng.integers(0, 2, 29)]
    split = QuerySplit.held_out(np.arange(30) < 5, "the first five")
    report = evaluate(
        [Candidate("x", vectors)], [str(n) for n in range(30)], labels, split, wanted_precision=1.0
    )
    odd = next(line for line in report.encoders[0].categories if line.name == "odd")
    assert report.unanswerable == 1
    assert math.isnan(odd.recall_at_1)
    assert "nan" not in " ".join(Page(html(report)).words).lower().split()
    assert "NaN" not in report.dump().decode()


# The commands


@pytest.fixture
def store(tmp_path, tiny_encoder_folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.delenv("LOOKALIKE_STORE", raising=False)
    Encoders(Store(str(tmp_path / "store" / "artifacts"))).add(tiny_encoder_folder)
    return str(tmp_path / "store")


@pytest.fixture
def photos(tmp_path):
    """Two colours in two folders, 40 pictures; metadata holds every fourth one out."""
    random = np.random.default_rng(0)
    rows = ["file,split,shade"]
    for category, colour in (("reds", (190, 60, 60)), ("blues", (60, 70, 190))):
        (tmp_path / "photos" / category).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(np.array(colour) + random.integers(-60, 60, (8, 8, 3)), 0, 255).astype(np.uint8)
            name = f"{category}/{number}.png"
            Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(
                tmp_path / "photos" / name
            )
            rows.append(f"{name},{'val' if number % 4 == 0 else 'train'},{'odd' if number % 2 else 'even'}")
    (tmp_path / "photos" / "metadata.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return tmp_path / "photos"


@pytest.fixture
def run(store, capsys):
    def run(*arguments, code=0):
        got = main([*map(str, arguments), "--store", store])
        out, err = capsys.readouterr()
        assert got == code, f"{arguments}: exit {got}\n{out}\n{err}"
        return out, err

    return run


def test_evaluate_a_folder_and_write_the_report(run, photos, tmp_path):
    out, err = run("evaluate", "--source", photos, "--report", tmp_path / "report.html", "--json")
    report = EvaluationReport.from_json({k: v for k, v in json.loads(out).items() if k != "unreadable"})
    assert (report.queries, report.gallery) == (10, 30)  # metadata's split
    assert "split" in report.split
    assert report.encoders[0].metrics["recall_at_1"].value == 1
    page = (tmp_path / "report.html").read_text("utf-8")
    assert 'id="map-1"' in page
    assert "report.html" in err
    out, _ = run("evaluate", "--source", photos, "--precision-target", 0.8)
    assert "Thresholds" in out
    assert "1.000" in out


def test_evaluate_a_collection_by_another_label_and_leave_one_out(run, photos):
    run("index", photos, "-c", "shop", "--json")
    out, _ = run("evaluate", "-c", "shop", "--leave-one-out", "--json")
    by_category = json.loads(out)
    assert (by_category["queries"], by_category["gallery"]) == (40, 40)
    out, _ = run("evaluate", "-c", "shop", "--label", "shade", "--leave-one-out", "--json")
    by_shade = json.loads(out)
    assert by_shade["categories"] == 2
    recall = [r["encoders"][0]["metrics"]["map_at_r"]["value"] for r in (by_category, by_shade)]
    assert recall[0] > 0.9 > 0.7 > recall[1]  # shade says nothing about how they look


def test_pictures_that_cannot_be_read_are_left_out_and_counted(run, photos):
    (photos / "reds" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    out, _ = run("evaluate", "--source", photos, "--json")
    assert json.loads(out)["unreadable"] == 1
    assert any("could not be read" in note for note in json.loads(out)["notes"])


def test_wrong_requests_say_what_to_do(run, photos, tmp_path):
    run("evaluate", code=2)
    run("evaluate", "--source", photos, "-c", "shop", code=2)
    assert "nowhere" in run("evaluate", "--source", tmp_path / "nowhere", code=1)[1]
    assert "there is no such encoder" in run("evaluate", "unknown", "--source", photos, code=1)[1]
    run("index", photos, "-c", "shop", "--json")
    assert "no item has this attribute" in run("evaluate", "-c", "shop", "--label", "size", code=1)[1]
    few = tmp_path / "few"
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (few / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(few / name)
    assert "too few labelled images" in run("evaluate", "--source", few, code=1)[1]


def test_compare_prints_thresholds_and_writes_the_report(run, photos, tmp_path):
    out, _ = run("encoders", "compare", "--source", photos, "--report", tmp_path / "compare.html", "--json")
    line = json.loads(out)["encoders"][0]
    assert line["pictures"] == 40
    assert line["recall_at_precision"] > 0
    assert -1 <= line["threshold"] <= 1
    assert line["milliseconds"] > 0
    assert (tmp_path / "compare.html").is_file()
