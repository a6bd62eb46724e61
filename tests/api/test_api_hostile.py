"""Broken and hostile files, searched with and uploaded: a reason or an answer, never a failure."""

from __future__ import annotations

import pytest
from fixtures.hostile import CORPUS, Decodes, HostileFile, Rejected
from fixtures.server import eventually, jpeg


@pytest.fixture(scope="module")
def shelf(server):
    server.create("hostile")
    server.upload("hostile", {"one.jpg": jpeg(1)})
    server.wait_for("hostile", "one.jpg")
    return "/collections/hostile"


@pytest.mark.parametrize("file", CORPUS, ids=repr)
def test_search_with_it(server, shelf, file: HostileFile):
    response = server.client.post(f"{shelf}/search", files={"image": (file.name, file.data)})
    match file.expect:
        case Decodes():
            assert response.status_code == 200, response.text
        case Rejected("too_many_bytes"):
            assert response.status_code == 413, response.text
        case Rejected(reason):
            assert response.status_code in {413, 422}, response.text
            assert response.json()["reason"] == reason
        case _:
            assert response.status_code in {200, 413, 422}, response.text


def test_upload_them_all(server):
    server.create("heap")
    files = {f"{number}-{file.name}": file for number, file in enumerate(CORPUS)}
    limit = server.local.settings.max_image_bytes
    kept = {name: data for name, file in files.items() if len(data := file.data) <= limit}
    names = list(kept)
    for start in range(0, len(names), 100):
        server.upload("heap", {name: kept[name] for name in names[start : start + 100]})

    def settled():
        found = server.client.get("/collections/heap/rejections", params={"limit": 1000}).json()["rejections"]
        searched = server.local.library.searcher("heap").status().items
        return len(found) + searched == len(names) and {entry["id"]: entry["reason"] for entry in found}

    rejected = eventually(settled)
    for name in names:
        match files[name].expect:
            case Decodes():
                assert name not in rejected
            case Rejected(reason):
                assert rejected[name] == reason, name
