"""How the page is served: complete, small, cacheable, and under a strict content security policy."""

from __future__ import annotations

import re
from pathlib import Path

import lookalike.api
from lookalike.api.http.access import KeyAccess
from lookalike.api.http.app import create_app
from lookalike.api.keys import Keys
from lookalike.api.page import compact, page_files, security_policy
from lookalike.aws.gateway import Gateway
from lookalike.storage import Store
from tests.aws_emulator import api_gateway

BUDGET_BYTES = 120_000
COMMENT_LINES = re.compile(r"^ *(//.*|/\*\*(?:.|\n)*?\*/)$", re.MULTILINE)
TEXT = re.compile(r"\"[^\"\n]*\"|`[^`\n]*`|'[^'\n]*'")


def test_scripts_and_styles_fit_the_budget():
    sizes = {name: len(file.data) for name, file in page_files().items() if name.endswith((".js", ".css"))}
    assert len(sizes) > 10
    assert sum(sizes.values()) <= BUDGET_BYTES, sizes


def test_scripts_are_served_without_comments_and_indentation():
    for file in sorted(Path(lookalike.api.__file__).with_name("web").glob("*.*s")):
        text, served = file.read_text("utf-8"), page_files()[file.name].data.decode()
        assert text.count("\n") == served.count("\n"), "an error names the line of the source"
        assert not re.search(r"`[^`\n]*\n[^`]*`(?=[,;)\s])", re.sub(r"`[^`\n]*`", "", text)), (
            "a text of lines"
        )
        wanted = COMMENT_LINES.sub("", text)
        assert re.sub(r"\s+", "", wanted) == re.sub(r"\s+", "", served), file.name
        assert "\n " not in served


def test_compacting_keeps_every_text():
    for file in sorted(Path(lookalike.api.__file__).with_name("web").glob("*.js")):
        written = COMMENT_LINES.sub("", file.read_text("utf-8"))
        served = page_files()[file.name].data.decode()
        texts = TEXT.findall(written)
        assert texts == TEXT.findall(served), file.name
        assert texts, file.name
    line = 'const a = { b: "x = { y }, z" } ; // not touched\nif (a ? b : c) d("e , f", g => h);'
    assert compact("any.js", line.encode()).decode() == (
        'const a = { b: "x = { y }, z" } ; // not touched\nif(a?b:c)d("e , f",g=>h);'
    )
    assert compact("any.css", b"a, b { margin: 0 1px; }").decode() == "a,b{margin: 0 1px;}"


def test_the_start_page_names_its_version_and_is_revalidated(server):
    answer = server.client.get("/")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:href|src)="(web/[0-9a-f]{16}/[a-z.]+)"', answer.text)
    assert len(named) == 3
    for path in named:
        file = server.client.get(f"/{path}")
        assert file.status_code == 200, path
        assert "immutable" in file.headers["cache-control"]
        again = server.client.get(f"/{path}", headers={"If-None-Match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    etag = answer.headers["etag"]
    assert server.client.get("/", headers={"If-None-Match": etag}).status_code == 304
    assert server.client.head("/").status_code == 200


def test_an_unknown_file_is_a_problem_document(server):
    for path in ("/web/0/nothing.js", "/web/0/..%2Fapp.py", "/web/0/__init__.py"):
        answer = server.client.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_policy_blocks_foreign_scripts_and_requests(server):
    policy = server.client.get("/").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy


def test_the_policy_allows_the_upload_bucket(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    images = Store("s3://pictures", s3_endpoint="http://127.0.0.1:9", s3_region="eu-west-1")
    assert "connect-src 'self' http://127.0.0.1:9;" in security_policy(images)


def test_no_file_names_another_server():
    for name, file in page_files().items():
        text = file.data.decode().replace("http://www.w3.org/2000/svg", "")
        for word in ("http://", "https://", "innerHTML", "eval("):
            assert word not in text, (name, word)


def test_the_query_function_serves_the_page(server):
    gateway = Gateway(
        create_app(server.local.library, access=KeyAccess(Keys(server.local.library.artifacts)))
    )
    start = gateway.answer(api_gateway.request("GET", "/"), None)
    assert start["statusCode"] == 200
    assert not start["isBase64Encoded"]
    script = re.search(r'src="(web/[^"]+)"', start["body"])
    assert script is not None
    answer = gateway.answer(api_gateway.request("GET", f"/{script[1]}"), None)
    assert answer["headers"]["content-type"].startswith("text/javascript")
    assert "import" in answer["body"]
    refused = gateway.answer(api_gateway.request("GET", "/collections"), None)
    assert refused["statusCode"] == 401
