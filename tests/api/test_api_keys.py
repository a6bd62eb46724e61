"""Who may do what on a server with keys."""

from __future__ import annotations

import pytest
from fixtures.server import add_encoder, jpeg, running

from lookalike.api.keys import Keys
from lookalike.settings import Settings
from lookalike.storage import Store

READS = [
    ("GET", "/collections"),
    ("GET", "/collections/shelf"),
    ("POST", "/collections/shelf/search"),
    ("GET", "/collections/shelf/items/a.jpg"),
    ("GET", "/collections/shelf/items/a.jpg/similar"),
    ("GET", "/collections/shelf/images/a.jpg"),
    ("GET", "/collections/shelf/rejections"),
    ("GET", "/collections/shelf/duplicates"),
    ("GET", "/collections/shelf/duplicates/decisions"),
    ("GET", "/collections/shelf/neighbors"),
]
WRITES = [
    ("PUT", "/collections/other"),
    ("DELETE", "/collections/other"),
    ("POST", "/collections/shelf/uploads"),
    ("DELETE", "/collections/shelf/items/none.jpg"),
    ("DELETE", "/collections/shelf/duplicates/decisions?id=a.jpg&other=b.jpg"),
]


@pytest.fixture(scope="module")
def locked(tmp_path_factory, tiny_encoder_folder):
    settings = Settings(store=str(tmp_path_factory.mktemp("locked")))
    add_encoder(settings, tiny_encoder_folder)
    keys = Keys(Store.artifacts(settings))
    both = keys.create("both").key
    reader, writer = keys.create("reader", ["read"]).key, keys.create("writer", ["write"]).key
    with running(settings, keys_required=True) as server:
        server.client.headers["Authorization"] = f"Bearer {both}"
        server.create("shelf")
        server.upload("shelf", {"a.jpg": jpeg(1)})
        server.wait_for("shelf", "a.jpg")
        del server.client.headers["Authorization"]
        server.reader, server.writer, server.keys = reader, writer, server.local.app.state.access.keys
        yield server


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
def test_nothing_without_a_key(locked, method, path):
    wrong = ({"Authorization": text} for text in ("Bearer lk_wrong_key", "Bearer", "Basic abc", "lk_a_b"))
    for headers in ({}, {"X-API-Key": "x"}, *wrong):
        response = locked.client.request(method, path, headers=headers)
        assert response.status_code == 401, response.text
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert response.json()["type"] == "urn:lookalike:problem:unauthenticated"


@pytest.mark.parametrize(("method", "path"), READS)
def test_reading_needs_the_read_scope(locked, method, path):
    body = {"json": {"id": "a.jpg"}} if method == "POST" else {}
    assert locked.client.request(method, path, headers=_bearer(locked.reader), **body).status_code == 200
    assert (
        locked.client.request(method, path, headers={"X-API-Key": locked.reader}, **body).status_code == 200
    )
    assert locked.client.request(method, path, headers=_bearer(locked.writer), **body).status_code == 403


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_writing_needs_the_write_scope(locked, method, path):
    body = {"json": {} if method == "PUT" else [{"name": "b.jpg"}]} if method in {"PUT", "POST"} else {}
    refused = locked.client.request(method, path, headers=_bearer(locked.reader), **body)
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:lookalike:problem:forbidden"
    allowed = locked.client.request(method, path, headers=_bearer(locked.writer), **body)
    assert allowed.status_code in {200, 201, 204, 404}, allowed.text


def test_deciding_about_duplicates_needs_the_write_scope(locked):
    path, body = "/collections/shelf/duplicates/decisions", {"decision": "keep_all", "ids": ["a", "b"]}
    assert locked.client.post(path, headers=_bearer(locked.reader), json=body).status_code == 403
    assert locked.client.post(path, headers=_bearer(locked.writer), json=body).status_code == 200


def test_health_the_description_and_upload_urls_need_no_key(locked):
    assert locked.client.get("/health").status_code == 200
    assert locked.client.get("/openapi.json").status_code == 200
    asked = locked.client.post(
        "/collections/shelf/uploads", json=[{"name": "b.jpg"}], headers=_bearer(locked.writer)
    )
    assert locked.client.put(asked.json()["uploads"][0]["url"], content=jpeg(2)).status_code == 200


def test_a_revoked_key_is_refused(locked):
    created = locked.keys.create("soon gone", ["read"])
    assert locked.client.get("/collections", headers=_bearer(created.key)).status_code == 200
    locked.keys.revoke(created.info.id)
    assert locked.client.get("/collections", headers=_bearer(created.key)).status_code == 401


def test_with_keys_any_host_name_will_do(locked):
    headers = {**_bearer(locked.reader), "Host": "images.example.com"}
    answer = locked.client.get("/collections/shelf/items/a.jpg", headers=headers)
    assert answer.json()["image_url"] == "http://images.example.com/collections/shelf/images/a.jpg"


def test_the_description_says_which_operations_need_a_key(locked):
    paths = locked.client.get("/openapi.json").json()["paths"]
    unlocked = {
        (method, path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if not operation.get("security")
    }
    assert unlocked == {("get", "/health"), ("put", "/uploads/{token}")}
