"""What the API refuses, and how it says so."""

from __future__ import annotations

import base64
import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest
from fixtures.server import add_encoder, eventually, jpeg, running

from lookalike.settings import Settings

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def shelf(server):
    server.create("shelf")
    server.upload("shelf", {"red/one.jpg": jpeg(1), "two.jpg": jpeg(2)}, **{"two.jpg": {"price": 5}})
    server.wait_for("shelf", "red/one.jpg", "two.jpg")
    return "/collections/shelf"


def problem(response: httpx.Response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    document = response.json()
    assert document["status"] == status
    assert document["type"] == f"urn:lookalike:problem:{code}"
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == response.headers["x-request-id"]
    return document


# What is not there


def test_an_unknown_collection_names_the_nearest(server, shelf):
    found = problem(server.client.get("/collections/shelv"), 404, "collection-not-found")
    assert found["fix"] == "Did you mean shelf?"


def test_an_unknown_item_names_the_nearest(server, shelf):
    for response in (
        server.client.get(f"{shelf}/items/red/on.jpg"),
        server.client.post(f"{shelf}/search", json={"id": "red/on.jpg"}),
        server.client.get(f"{shelf}/items/red/on.jpg/similar"),
    ):
        assert "red/one.jpg" in problem(response, 404, "item-not-found")["fix"]


def test_an_unknown_encoder_names_the_nearest(server):
    found = problem(
        server.client.put("/collections/new", json={"encoder": "tinny"}), 404, "encoder-not-found"
    )
    assert "tiny-" in found["fix"]
    assert server.client.get("/collections/new").status_code == 404


def test_an_empty_collection_is_not_ready_and_says_when_to_try_again(server, collection):
    response = server.client.post(f"/collections/{collection}/search", json={"id": "a"})
    problem(response, 503, "not-ready")
    assert int(response.headers["retry-after"]) > 0


def test_unknown_paths_and_methods(server, shelf):
    problem(server.client.get("/nowhere"), 404, "not-found")
    problem(server.client.get("/collections/"), 404, "not-found")
    response = server.client.patch(shelf)
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"]


# Invalid requests


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"limit": 3},
        {"id": "two.jpg", "text": "red"},
        {"id": "two.jpg", "image": "aGk="},
        {"id": "two.jpg", "query": [{"id": "two.jpg"}]},
        {"query": [{"id": "two.jpg", "text": "red"}]},
        {"query": [{"weight": 2}]},
    ],
)
def test_exactly_one_thing_to_look_like(server, shelf, body):
    found = problem(server.client.post(f"{shelf}/search", json=body), 422, "invalid-request")
    assert "exactly one of" in found["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", 0),
        ("limit", 101),
        ("limit", "5"),
        ("limit", 2.5),
        ("limit", 10**30),
        ("offset", -1),
        ("offset", 10_001),
        ("min_confidence", 1.1),
        ("min_confidence", True),
        ("group_by", ""),
        ("group_by", 3),
        ("include_self", "yes"),
        ("filter", "category"),
        ("filter", []),
        ("nonsense", 1),
        ("vector", [1.0]),
        ("image_url", "http://127.0.0.1/"),
    ],
)
def test_a_field_that_is_out_of_range_of_another_type_or_unknown(server, shelf, field, value):
    response = server.client.post(f"{shelf}/search", json={"id": "two.jpg", field: value})
    found = problem(response, 422, "invalid-request")
    assert [entry["pointer"] for entry in found["errors"]] == [f"body/{field}"]


@pytest.mark.parametrize("params", [{"limit": "x"}, {"limit": 0}, {"nonsense": 1}, {"min_confidence": "nan"}])
def test_query_parameters_are_checked_like_fields(server, shelf, params):
    problem(server.client.get(f"{shelf}/items/two.jpg/similar", params=params), 422, "invalid-request")


@pytest.mark.parametrize(
    "query",
    [
        [],
        [{"id": "two.jpg"}] * 9,
        [{"id": "two.jpg", "weight": 0}],
        [{"id": "two.jpg", "weight": 1e9}],
        [{"id": "two.jpg", "weight": "1"}],
        [{"id": "two.jpg", "extra": 1}],
        "two.jpg",
        {"id": "two.jpg"},
    ],
)
def test_a_mix_that_cannot_be(server, shelf, query):
    problem(server.client.post(f"{shelf}/search", json={"query": query}), 422, "invalid-request")


@pytest.mark.parametrize(
    "filter_",
    [
        {"pricee": 3},
        {"price": {"above": 3}},
        {"price": {"gte": "cheap"}},
        {"any": {}},
        {"not": 3},
        {"price": {}},
        {"price": {"in": 3}},
        {"not": {"not": {"price": {"gt": [1]}}}},
    ],
)
def test_a_bad_filter(server, shelf, filter_):
    body = {"id": "two.jpg", "filter": filter_}
    problem(server.client.post(f"{shelf}/search", json=body), 400, "bad-filter")


def test_an_unknown_field_of_a_filter_names_the_nearest(server, shelf):
    body = {"id": "two.jpg", "filter": {"prize": 3}}
    assert "price" in problem(server.client.post(f"{shelf}/search", json=body), 400, "bad-filter")["fix"]


def test_grouping_by_an_unknown_field(server, shelf):
    body = {"id": "two.jpg", "group_by": "prize"}
    problem(server.client.post(f"{shelf}/search", json=body), 400, "bad-filter")


def test_what_a_collection_cannot_answer_yet(server, shelf):
    body = {"text": "red shoes", "mode": "meaning"}
    text = problem(server.client.post(f"{shelf}/search", json=body), 400, "invalid-input")
    assert "meaning of words" in text["detail"]
    body = {"id": "two.jpg", "min_confidence": 0.5}
    assert (
        "confidence"
        in problem(server.client.post(f"{shelf}/search", json=body), 400, "invalid-input")["detail"]
    )


@pytest.mark.parametrize("image", ["no base64!", "aGk", "====", "é", "data:image/png;base64,aGk=", " aGk="])
def test_bad_base64(server, shelf, image):
    for body in ({"image": image}, {"query": [{"image": image}]}):
        problem(server.client.post(f"{shelf}/search", json=body), 422, "invalid-request")


def test_bytes_that_are_not_an_image_are_rejected_with_a_reason(server, shelf):
    for data, reason in ((b"hello", "unsupported_format"), (jpeg(1)[:600], "undecodable"), (b"", "empty")):
        response = server.client.post(f"{shelf}/search", files={"image": ("x.jpg", data)})
        assert problem(response, 422, "image-rejected")["reason"] == reason


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"id": NaN}',
        b'{"id": "two.jpg", "min_confidence": Infinity}',
        b'{"id": "\\ud800"}',
        b'{"id": "two.jpg"} trailing',
        b"[" * 100_000,
        b'{"id": ' + b"1" * 5_000 + b"}x",
    ],
)
def test_what_is_not_json(server, shelf, content):
    headers = {"Content-Type": "application/json"}
    response = server.client.post(f"{shelf}/search", content=content, headers=headers)
    problem(response, 400, "invalid-input")


@pytest.mark.parametrize("content", [b"null", b"[]", b'"id"', b"3"])
def test_json_that_is_no_object(server, shelf, content):
    headers = {"Content-Type": "application/json"}
    problem(server.client.post(f"{shelf}/search", content=content, headers=headers), 422, "invalid-request")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "image/jpeg", "application/x-www-form-urlencoded", "", "x"]
)
def test_a_body_of_another_type(server, shelf, content_type):
    for method, path in (("POST", f"{shelf}/search"), ("POST", f"{shelf}/uploads"), ("PUT", shelf)):
        response = server.client.request(method, path, content=b"{}", headers={"Content-Type": content_type})
        problem(response, 415, "unsupported-content-type")


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=b", b"garbage"),
        (
            "multipart/form-data; boundary=b; charset=nonsense",
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
        ),
        (
            "multipart/form-data; boundary=b; charset=base64",
            b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\n\xff\r\n--b--',
        ),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n--b--"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\ncut',
        ),
    ],
)
def test_a_damaged_form(server, shelf, content_type, content):
    response = server.client.post(f"{shelf}/search", content=content, headers={"Content-Type": content_type})
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == PROBLEM


def test_forms_with_a_field_twice_a_file_elsewhere_or_bad_json(server, shelf):
    def post(files):
        return server.client.post(f"{shelf}/search", files=files)

    text = (None, "two.jpg")
    problem(post([("id", text), ("id", text)]), 400, "invalid-input")
    problem(post([("id", ("x.jpg", b"x"))]), 400, "invalid-input")
    problem(post([("image", ("x.jpg", jpeg(1))), ("image", (None, "aGk="))]), 400, "invalid-input")
    problem(post([("id", text), ("filter", (None, "{"))]), 400, "invalid-input")
    problem(post([("id", text), ("limit", (None, "many"))]), 422, "invalid-request")
    problem(post([("id", text), ("nonsense", (None, "1"))]), 422, "invalid-request")
    problem(post([(f"f{number}", text) for number in range(40)]), 400, "invalid-input")


@pytest.mark.parametrize(
    "body",
    [
        {"metric": "hamming"},
        {"engine": "magic"},
        {"n_trees": 0},
        {"dimensions": -1},
        {"recall_target": 0},
        {"recall_target": 1.5},
        {"unknown": 1},
        {"encoder": ""},
    ],
)
def test_a_collection_that_cannot_be(server, body):
    problem(server.client.put("/collections/never", json=body), 422, "invalid-request")
    assert server.client.get("/collections/never").status_code == 404


def test_options_that_do_not_go_together(server):
    body = {"engine": "faiss", "metric": "l1"}
    problem(server.client.put("/collections/never", json=body), 422, "unsupported-metric")
    body = {"engine": "exact", "n_trees": 10}
    problem(server.client.put("/collections/never", json=body), 400, "invalid-input")
    assert server.client.get("/collections/never").status_code == 404


@pytest.mark.parametrize(
    "name", ["Shoes", "-shoes", "a" * 64, "sho_es", "sho.es", "%2e%2e", "a%0a", "%00", "é"]
)
def test_a_name_that_cannot_be_a_collections(server, name):
    problem(server.client.put(f"/collections/{name}", json={}), 422, "invalid-request")


# Uploads

CLIMBING = [
    "../x.jpg",
    "a/../../x.jpg",
    "/etc/passwd",
    "a//b.jpg",
    "./a.jpg",
    "a/.",
    "..",
    ".",
]
HIDDEN = [".hidden.jpg", "a/.staging/b.jpg", ".a.part", "a/.b.lock"]
UNSPELLABLE = [
    "a\nb.jpg",
    "a\x00.jpg",
    "a\x85.jpg",
    "x" * 256,
    "é" * 128,
    "/".join(["x" * 200] * 5) + "/" + "a" * 8,
]


@pytest.mark.parametrize("name", CLIMBING + HIDDEN + UNSPELLABLE)
def test_a_name_that_cannot_be_an_items(server, shelf, name):
    asked = [{"name": "fine.jpg", "metadata": {"a": 1}}, {"name": name}]
    problem(server.client.post(f"{shelf}/uploads", json=asked), 400, "invalid-input")
    assert not (server.images / "shelf" / "metadata" / "uploads" / "fine.jpg.jsonl").exists()


@pytest.mark.parametrize(
    "path", ["..%2F..%2Fcollection.json", "%2e%2e/%2e%2e/keys.json", "a%00b", "%2Fetc%2Fpasswd", "a%7Fb"]
)
def test_paths_that_climb_are_refused_wherever_an_id_goes(server, shelf, path):
    for method in ("GET", "DELETE"):
        for below in ("items", "images"):
            if (method, below) == ("DELETE", "images"):
                continue
            response = _raw(server.url, f"{method} {shelf}/{below}/{path} HTTP/1.1")
            assert response.startswith(b"HTTP/1.1 400"), response[:300]
            assert b"invalid-input" in response


def test_links_do_not_lead_out_of_a_collection(server, shelf, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(jpeg(9))
    (server.images / "shelf" / "images" / "link").symlink_to(tmp_path)
    assert server.client.get(f"{shelf}/images/link/secret.jpg").status_code == 404
    assert server.client.delete(f"{shelf}/items/link/secret.jpg").status_code == 404
    assert (tmp_path / "secret.jpg").exists()


@pytest.mark.parametrize(
    "asked",
    [
        [],
        {},
        [{}],
        [{"name": ""}],
        [{"name": "a.jpg", "content_type": "text/html"}],
        [{"name": "a.jpg", "extra": 1}],
        [{"name": "a.jpg", "metadata": {"nested": {}}}],
        [{"name": "a.jpg", "metadata": [1]}],
        [{"name": f"{number}.jpg"} for number in range(101)],
    ],
)
def test_invalid_upload_requests(server, shelf, asked):
    problem(server.client.post(f"{shelf}/uploads", json=asked), 422, "invalid-request")


@pytest.mark.parametrize(
    "metadata", [{"file": "b.jpg"}, {"ID": "b.jpg"}, {" ": 1}, {"k" * 201: 1}, {"k": "v" * 10_001}]
)
def test_metadata_that_cannot_be_kept(server, shelf, metadata):
    asked = [{"name": "a.jpg", "metadata": metadata}]
    problem(server.client.post(f"{shelf}/uploads", json=asked), 400, "invalid-input")


def test_the_same_name_twice(server, shelf):
    problem(server.client.post(f"{shelf}/uploads", json=[{"name": "a.jpg"}] * 2), 400, "invalid-input")


def _upload_url(server, name: str) -> str:
    return server.client.post("/collections/shelf/uploads", json=[{"name": name}]).json()["uploads"][0]["url"]


def test_an_upload_url_lets_one_write_that_object_only(server, shelf):
    url = _upload_url(server, "token.jpg")
    token = urlsplit(url).path.rpartition("/")[2]
    payload, _, mac = token.partition(".")
    other = urlsplit(_upload_url(server, "other.jpg")).path.rpartition("/")[2].partition(".")[0]
    for wrong in (
        payload,
        f"{payload}.",
        f"{payload}.{mac[:-2]}AA",
        f"{other}.{mac}",
        "x",
        "é",
        "a.b.c",
    ):
        problem(server.client.put(f"/uploads/{wrong}", content=jpeg(1)), 403, "forbidden")
    assert not (server.images / "shelf" / "images" / "token.jpg").exists()


def test_an_upload_url_runs_out(tmp_path, tiny_encoder_folder):
    settings = Settings(store=str(tmp_path), url_seconds=-1)
    add_encoder(settings, tiny_encoder_folder)
    with running(settings) as server:
        server.create("shelf")
        found = problem(server.client.put(_upload_url(server, "a.jpg"), content=jpeg(1)), 403, "forbidden")
        assert "expired" in found["detail"]


def test_an_upload_to_a_collection_that_is_gone(server):
    server.create("gone")
    url = server.client.post("/collections/gone/uploads", json=[{"name": "a.jpg"}]).json()["uploads"][0][
        "url"
    ]
    server.client.delete("/collections/gone")
    problem(server.client.put(url, content=jpeg(1)), 404, "collection-not-found")
    assert not (server.images / "gone").exists()


def test_a_file_cannot_take_the_place_of_a_folder_nor_lie_in_a_file(server, shelf):
    for name in ("red", "two.jpg/inside.jpg"):
        problem(server.client.put(_upload_url(server, name), content=jpeg(1)), 409, "conflict")
    assert server.item("shelf", "red/one.jpg")
    assert server.item("shelf", "two.jpg")


# Too much


@pytest.fixture(scope="module")
def strict(tmp_path_factory, tiny_encoder_folder):
    """A server that accepts small images and two requests at a time."""
    store = tmp_path_factory.mktemp("strict")
    settings = Settings(store=str(store), max_image_bytes=20_000, threads=1, max_waiting=1)
    add_encoder(settings, tiny_encoder_folder)
    with running(settings) as server:
        server.create("shelf")
        server.upload("shelf", {"one.jpg": jpeg(1)})
        server.wait_for("shelf", "one.jpg")
        yield server


def _raw(url: str, head: str, body: bytes = b"", *, close: bool = True) -> bytes:
    """Send a request by hand, read the whole answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        ending = "\r\nConnection: close\r\n\r\n" if close else "\r\n\r\n"
        connection.sendall(f"{head}\r\nHost: {parts.netloc}{ending}".encode() + body)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
        return answer


def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(strict):
    url = urlsplit(_upload_url(strict, "big.jpg")).path
    for head in (
        f"PUT {url} HTTP/1.1",
        "POST /collections/shelf/search HTTP/1.1\r\nContent-Type: application/json",
    ):
        # Nothing of the body is ever sent; a server that waited for it would not answer.
        answer = _raw(strict.url, f"{head}\r\nContent-Length: 99999999")
        assert answer.startswith(b"HTTP/1.1 413"), answer[:200]
        assert b"body-too-large" in answer


def test_a_body_of_unknown_length_is_cut_off(strict):
    def endless():
        while True:
            yield b"x" * 10_000

    url = _upload_url(strict, "big.jpg")
    for method, target, kind in (
        ("PUT", url, "image/jpeg"),
        ("POST", "/collections/shelf/search", "application/json"),
        ("POST", "/collections/shelf/search", "multipart/form-data; boundary=b"),
    ):
        response = strict.client.request(method, target, content=endless(), headers={"Content-Type": kind})
        assert response.status_code in ({413} if "boundary" not in kind else {400, 413}), response.text
    folder = strict.images / "shelf"
    assert not (folder / "images" / "big.jpg").exists()
    assert not list(folder.rglob("*.part"))


def test_an_image_over_the_limit_is_refused_everywhere(strict):
    big = jpeg(3, 600)
    assert 20_000 < len(big) < 80_000
    body = {"image": base64.b64encode(big).decode()}
    response = strict.client.post("/collections/shelf/search", json=body)
    assert response.status_code == 413
    response = strict.client.post("/collections/shelf/search", files={"image": ("x.jpg", big)})
    assert response.status_code == 413
    response = strict.client.put(_upload_url(strict, "big.jpg"), content=big)
    problem(response, 413, "body-too-large")


def test_more_requests_than_there_is_room_for_are_told_to_come_again(strict):
    parts = urlsplit(strict.url)
    head = (
        f"POST /collections/shelf/search HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    ).encode()
    held = []

    def one_more() -> httpx.Response | None:
        # A request whose body does not end takes a place; one that comes too late is refused itself.
        held.append(socket.create_connection((parts.hostname, parts.port), timeout=30))
        held[-1].sendall(head)
        found = strict.client.post("/collections/shelf/search", json={"id": "one.jpg"})
        return found if found.status_code == 429 else None

    try:
        response = eventually(one_more)
        problem(response, 429, "busy")
        assert int(response.headers["retry-after"]) > 0
    finally:
        for connection in held:
            connection.close()
    search = {"id": "one.jpg"}
    eventually(lambda: strict.client.post("/collections/shelf/search", json=search).status_code == 200)


# Who asks


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[", "10.0.0.1"]
)
def test_a_server_without_keys_answers_to_its_own_names_only(server, host):
    response = server.client.get("/collections", headers={"Host": host})
    problem(response, 403, "forbidden")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1234", "127.0.0.1", "127.8.8.8:1", "[::1]:8000", "x.localhost"]
)
def test_the_names_of_this_machine(server, host):
    assert server.client.get("/collections", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://", "["]
)
def test_pages_from_elsewhere_may_not_use_a_server_without_keys(server, shelf, origin):
    for method, path in (
        ("GET", "/collections"),
        ("POST", f"{shelf}/search"),
        ("DELETE", f"{shelf}/items/two.jpg"),
    ):
        problem(server.client.request(method, path, headers={"Origin": origin}), 403, "forbidden")
    assert server.item("shelf", "two.jpg")


def test_no_response_allows_another_origin(server, shelf):
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "DELETE"}
    for response in (
        server.client.get("/collections", headers=headers),
        server.client.options(f"{shelf}/items/two.jpg", headers=headers),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


# What every answer has


def test_every_answer_names_its_request(server, shelf):
    for path in ("/health", "/nowhere", f"{shelf}/items/no", "/openapi.json"):
        first, second = server.client.get(path), server.client.get(path)
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        chosen = server.client.get(path, headers={"X-Request-Id": "abc-123"})
        assert chosen.headers["x-request-id"] == "abc-123"
        unsafe = server.client.get(path, headers={"X-Request-Id": "a b<script>" * 10})
        assert "<" not in unsafe.headers["x-request-id"]


def test_an_unexpected_error_is_a_problem_without_details(server, shelf, monkeypatch):
    def fail(*_):
        raise RuntimeError("secret path /etc/x")

    monkeypatch.setattr(server.local.library.collections, "names", fail)
    response = server.client.get("/collections", headers={"X-Request-Id": "here"})
    found = problem(response, 500, "internal")
    assert "secret" not in json.dumps(found)
    assert found["request_id"] == "here"
