"""Uploads in the page: files, folders, metadata, progress, retries and rejected files."""

from __future__ import annotations

import itertools

import pytest
from fixtures.page import HOSTILE, MARKUP, found, photo

_numbers = itertools.count()


@pytest.fixture
def fresh(server):
    """The name of a new, empty collection."""
    name = f"upload{next(_numbers)}"
    server.create(name)
    return name


def picture(name: str, seed: int = 0, kind: str = "image/jpeg") -> dict:
    return {"name": name, "mimeType": kind, "buffer": photo("hats", 500 + seed)}


def row(page, name: str):
    return page.locator("tr", has=page.get_by_text(name, exact=True))


def test_files_with_metadata_become_searchable(opened, server, fresh):
    page = opened(f"upload?collection={fresh}")
    page.get_by_label("Category for files without a folder").fill("hats")
    table = (
        b'file,title,price,note\na.jpg,"Red, with ""quotes""",12.5,007\nb.jpg,' + MARKUP.encode() + b",3,\n"
    )
    page.get_by_label("Choose files").set_input_files(
        [
            picture("a.jpg"),
            picture("b.jpg", 1),
            {"name": "about.csv", "mimeType": "text/csv", "buffer": table},
        ]
    )
    page.locator("#main").get_by_text("2 searchable").wait_for()
    item = server.item(fresh, "hats/a.jpg")
    assert item["metadata"] == {"title": 'Red, with "quotes"', "price": 12.5, "note": "007"}
    assert item["category"] == "hats"
    page.get_by_role("link", name="Search", exact=True).click()
    page.locator(".examples .shot").first.click()
    assert found(page)


def test_a_folder_keeps_its_categories(opened, server, fresh, tmp_path):
    for number, name in enumerate(("photos/hats/1.jpg", "photos/shoes/1.jpg", "photos/.hidden/1.jpg")):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(photo("bags", number))
    page = opened(f"upload?collection={fresh}")
    page.get_by_label("Choose a folder").set_input_files(tmp_path / "photos")
    page.locator("#main").get_by_text("2 searchable").wait_for()
    assert server.item(fresh, "hats/1.jpg")
    assert server.item(fresh, "shoes/1.jpg")


def test_rejected_files_show_reasons_and_hostile_names_as_text(opened, fresh):
    page = opened(f"upload?collection={fresh}")
    hostile = HOSTILE.split("/")[1]
    note = {"name": hostile, "mimeType": "image/jpeg", "buffer": b"no picture at all"}
    page.get_by_label("Choose files").set_input_files([note, picture("good.jpg", 3)])
    page.locator("#main").get_by_text("1 searchable, 1 rejected").wait_for()
    assert "rejected" in row(page, hostile).first.inner_text()
    listed = page.get_by_role("region", name="List of rejected files")
    listed.get_by_text(hostile, exact=True).wait_for()
    assert "not a supported image; got an unknown format. Use JPEG, PNG" in listed.inner_text()
    assert page.locator("img[onerror]").count() == 0


def test_an_invalid_name_fails_alone(opened, fresh):
    page = opened(f"upload?collection={fresh}", expected=["status of 400"])
    too_long = f"{'x' * 260}.jpg"
    page.get_by_label("Choose files").set_input_files([picture(too_long), picture("fine.jpg", 4)])
    page.locator("#main").get_by_text("1 searchable, 1 failed").wait_for()
    assert "cannot be an item's id" in row(page, too_long).inner_text()


def test_an_interrupted_upload_can_be_retried(opened, server, fresh):
    page = opened(f"upload?collection={fresh}", expected=["net::ERR_FAILED"])
    broken = []

    def once(route):
        if broken:
            return route.continue_()
        broken.append(route.request.url)
        return route.abort()

    page.route("**/uploads/*", once)
    page.get_by_label("Choose files").set_input_files([picture("again.jpg", 5)])
    page.locator("#main").get_by_text("1 failed").wait_for()
    assert "The upload was interrupted" in row(page, "again.jpg").inner_text()
    page.get_by_role("button", name="Retry again.jpg").click()
    page.locator("#main").get_by_text("1 searchable").wait_for()
    assert server.item(fresh, "again.jpg")


def test_each_file_shows_its_progress(opened, fresh):
    page = opened(f"upload?collection={fresh}")
    page.route("**/uploads/*", lambda route: (page.wait_for_timeout(300), route.continue_()))
    page.get_by_label("Choose files").set_input_files(
        [picture(f"{number}.jpg", 10 + number) for number in range(6)]
    )
    bars = page.locator("tbody progress")
    bars.nth(5).wait_for()
    assert page.locator(".summary, [role=status]").first.inner_text() is not None
    page.locator("#main").get_by_text("6 searchable").wait_for()
    assert set(bars.evaluate_all("(all) => all.map((one) => one.value)")) == {1}


def test_invalid_metadata_is_reported(opened, fresh):
    page = opened(f"upload?collection={fresh}")
    bad = {"name": "m.jsonl", "mimeType": "application/json", "buffer": b'{"file": "a.jpg"}\n[1]\n'}
    page.get_by_label("Choose files").set_input_files([bad])
    page.get_by_text("m.jsonl cannot be used. Line 2 is not a JSON object.").wait_for()
