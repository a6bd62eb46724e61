"""One rule for item ids at every entry point: index, a watched folder, uploads and S3 events.

Each legal name becomes an item that is found, shown and deleted, and that a CSV row describes. Each other
name is left out alone.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unicodedata import normalize
from urllib.parse import quote, quote_plus

import pytest
from fixtures.server import Running, add_encoder, jpeg, running

from lookalike.aws.events import NotificationReader
from lookalike.aws.ingest_worker import IngestWorker
from lookalike.aws.queue import Message
from lookalike.catalogue import ItemRow
from lookalike.cli import main
from lookalike.collection_config import CollectionConfig, Collections
from lookalike.encoders import Encoder
from lookalike.errors import InvalidInput
from lookalike.ingest import Ingestor
from lookalike.layout import check_item_id, image_key, is_ingested, item_id_problem, metadata_key
from lookalike.library import Library
from lookalike.settings import Settings
from lookalike.storage import Store
from lookalike.training_jobs.runner import NoTrainingRunner
from lookalike.types import ObjectEvent

PATIENCE_SECONDS = 120.0

LEGAL = [
    "plain.jpg",
    "Screenshot 2024-01-01 at 9.41.00\u202fAM.png",
    "Snimek v\u00a013.05.png",
    "\u5199\u771f\u3000\u6771\u4eac.jpg",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.jpg",
    "family-\U0001f469\u200d\U0001f467.jpg",
    "\u200eIMG-2024.jpg",
    "\u202ereversed.jpg",
    " lead.jpg",
    "trail.jpg ",
    "folder /x.jpg",
    " a / b .jpg",
    "a\\b.jpg",
    "a\\..\\c.jpg",
    "shirt.jpg#2",
    "#1",
    "x.jpg.part",
    "x.jpg.lock",
    "slash%2Fno.jpg",
    "50%.jpg",
    "%41%zz.jpg",
    "what?.jpg",
    "st*r.jpg",
    "a:b.jpg",
    "quote'double\".jpg",
    "comma,semi;.jpg",
    "<b>&amp;.jpg",
    "dot.",
    "twins/Case.jpg",
    "twins/case.jpg",
    "images/inside.jpg",
    "metadata/inside.jpg",
    "deep/" * 40 + "x.jpg",
    "cafe\u0301.jpg",
    "u\u0308ber/na\u0308chste \u00e9.jpg",
    "\ud55c\uae00.jpg",
    "\u1112\u1161\u11ab.jpg",
    "\ufeffbom.jpg",
    "line\u2028separator.jpg",
    "\u00e9" * 125 + ".jpg",
    "no-suffix",
]
ILLEGAL = [
    "line\nbreak.jpg",
    "tab\t.jpg",
    "delete\x7f.jpg",
    "next-line\x85.jpg",
    ".hidden.jpg",
    ".folder/x.jpg",
    "/".join(["x" * 200] * 6),
]
NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")
NO_PATHS = ["", ".", "..", "a//b", "a/../b", "./a", "/a", "a/", NOT_UTF8]


def id_of(name: str) -> str:
    return normalize("NFC", name)


def picture(name: str) -> bytes:
    return jpeg(LEGAL.index(name) if name in LEGAL else 99)


def table_of(names: list[str]) -> bytes:
    """A CSV file that gives each name a title. It has the names in NFD, and has to match all the same."""
    target = io.StringIO()
    rows = csv.writer(target)
    rows.writerow(["file", "title"])
    rows.writerows([normalize("NFD", name), f"title {LEGAL.index(name)}"] for name in names)
    return target.getvalue().encode()


def write_all(folder: Path) -> None:
    for name in [*LEGAL, *ILLEGAL, NOT_UTF8]:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(name))


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def ids_in(server: Running, collection: str) -> set[str]:
    found: set[str] = set()
    offset = 0  # not the number of ids: a page of a newer snapshot may repeat some
    while True:
        page = server.client.get(f"/collections/{collection}/neighbors?limit=100&offset={offset}").json()
        if not page["items"]:
            return found
        found |= {entry["id"] for entry in page["items"]}
        offset += len(page["items"])


def check_collection(server: Running, collection: str) -> None:
    """Every legal name is an item, and nothing else is; each is found, shown and deleted."""
    wanted = {id_of(name) for name in LEGAL}
    eventually(lambda: ids_in(server, collection) >= wanted)
    assert ids_in(server, collection) == wanted
    base = f"/collections/{collection}"

    def title(name: str) -> Any:
        return (
            server.client.get(f"{base}/items/{quote(id_of(name), safe='')}").json()["metadata"].get("title")
        )

    for name in LEGAL:
        path = quote(id_of(name), safe="")
        eventually(lambda name=name: title(name) == f"title {LEGAL.index(name)}")  # type: ignore[misc]
        assert server.client.get(f"{base}/images/{path}").content == picture(name), ascii(name)
        assert server.client.get(f"{base}/thumbnails/{path}").status_code == 200, ascii(name)
        found = server.client.post(
            f"{base}/search", json={"id": id_of(name), "include_self": True, "limit": 1}
        )
        assert [match["id"] for match in found.json()["results"]] == [id_of(name)]

    def delete(name: str) -> tuple[int, int]:
        path = quote(id_of(name), safe="")
        deleted = server.client.delete(f"{base}/items/{path}").status_code
        return deleted, server.client.get(f"{base}/images/{path}").status_code

    with ThreadPoolExecutor(8) as pool:  # deletions that come together are committed together
        for name, statuses in zip(LEGAL, pool.map(delete, LEGAL), strict=True):
            assert statuses == (204, 404), ascii(name)
    eventually(lambda: not ids_in(server, collection))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path) -> Iterator[Running]:
    settings = Settings(store=str(tmp_path_factory.mktemp("names")))
    add_encoder(settings, tiny_encoder_folder)
    with running(settings) as found:
        yield found


@pytest.mark.parametrize("name", LEGAL)
def test_a_legal_id(name: str) -> None:
    assert check_item_id(name) == id_of(name)
    assert is_ingested(image_key("shop", name))


@pytest.mark.parametrize("name", [*ILLEGAL, *NO_PATHS])
def test_an_id_that_cannot_be(name: str) -> None:
    assert item_id_problem(name)
    with pytest.raises(InvalidInput, match="cannot be an item's id"):
        check_item_id(name)
    assert not is_ingested(f"shop/images/{name}")


def test_the_longest_id() -> None:
    room = 1_024 - len("shop/images/")
    assert item_id_problem("\u00e9" * (room // 2), "shop") is None
    assert "too long" in (item_id_problem("\u00e9" * (room // 2 + 1), "shop") or "")


def test_index_takes_all(server: Running, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_all(tmp_path / "source")
    (tmp_path / "source" / "titles.csv").write_bytes(table_of(LEGAL))
    store = server.local.settings.store
    source = str(tmp_path / "source")
    assert main(["index", source, "-c", "indexed", "--encoder", "tiny", "--json", "--store", store]) == 0
    captured = capfd.readouterr()
    report = json.loads(captured.out)
    assert (report["pictures"], report["encoded"], report["failed"]) == (len(LEGAL), len(LEGAL), [])
    assert "caf\\xe9.jpg" in captured.err
    assert "line\\nbreak.jpg" in captured.err
    assert main(["index", source, "-c", "indexed", "--json", "--store", store]) == 0
    again = json.loads(capfd.readouterr().out)
    assert (again["copied"], again["encoded"], again["unchanged"]) == (0, 0, len(LEGAL))
    check_collection(server, "indexed")


def test_the_watcher_takes_all(server: Running) -> None:
    server.create("watched")
    folder = server.images / "watched"
    (folder / "metadata").mkdir(parents=True)
    write_all(folder / "images")
    (folder / "metadata" / "titles.csv").write_bytes(table_of(LEGAL))
    check_collection(server, "watched")
    # The watch goes on after the names that it could not report.
    (folder / "images" / "later.jpg").write_bytes(picture("plain.jpg"))
    eventually(lambda: ids_in(server, "watched") == {"later.jpg"})


def test_uploads_take_all(server: Running) -> None:
    server.create("uploaded")
    asked = [{"name": name, "metadata": {"title": f"title {LEGAL.index(name)}"}} for name in LEGAL]
    response = server.client.post("/collections/uploaded/uploads", json=asked)
    assert response.status_code == 200, response.text
    for name, offer in zip(LEGAL, response.json()["uploads"], strict=True):
        assert offer["id"] == id_of(name)
        done = server.client.put(offer["url"], content=picture(name), headers=offer["headers"])
        assert done.status_code == 200, done.text
    for name in [*ILLEGAL, *NO_PATHS]:
        content = json.dumps([{"name": name}]).encode()
        response = server.client.post(
            "/collections/uploaded/uploads", content=content, headers={"Content-Type": "application/json"}
        )
        assert 400 <= response.status_code < 500, ascii(name)
    check_collection(server, "uploaded")


def test_s3_events_take_all(s3_endpoint: str, s3_bucket: str, tiny_encoder: Encoder) -> None:
    import boto3

    settings = Settings(store=f"s3://{s3_bucket}/some/prefix", s3_endpoint=s3_endpoint)
    images, artifacts = Store.images(settings), Store.artifacts(settings)
    Collections(artifacts).create(CollectionConfig("shop", tiny_encoder.manifest.id))
    ingestor = Ingestor(images, artifacts, settings, lambda _: tiny_encoder)
    catalogue = ingestor.catalogue("shop")
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    reader = NotificationReader(settings.images_url)
    prefix = "some/prefix/images/"

    def events(kind: str, keys: list[str], number: int) -> list[ObjectEvent]:
        records = [
            {
                "eventName": f"Object{kind}",
                "s3": {
                    "bucket": {"name": s3_bucket},
                    "object": {"key": quote_plus(prefix + key), "sequencer": f"{number:04x}"},
                },
            }
            for key in keys
        ]
        found = reader.read(json.dumps({"Records": records}))
        assert found.problem is None
        changes = [change for change in found.changes if change.kind != "version_removed"]
        return [
            ObjectEvent(one.collection, one.key, one.kind, one.sequencer)  # type: ignore[arg-type]
            for one in changes
        ]

    keys = [f"shop/images/{name}" for name in LEGAL]
    bad = [f"shop/images/{name}" for name in ILLEGAL if "x" * 200 not in name]
    for key, name in zip(keys, LEGAL, strict=True):
        client.put_object(Bucket=s3_bucket, Key=prefix + key, Body=picture(name))
    titles = metadata_key("shop", "titles.csv")
    client.put_object(Bucket=s3_bucket, Key=prefix + titles, Body=table_of(LEGAL))
    report = ingestor.apply(events("Created:Put", [*keys, *bad, titles], 1))
    assert (report.encoded, report.metadata_files, report.failed) == (len(LEGAL), 1, [])
    assert {key for key, _ in report.skipped} == {key for key in bad if "/." not in key}
    shown = {item.id: item.title for batch in catalogue.scan() for item in batch.items}
    assert shown == {id_of(name): f"title {number}" for number, name in enumerate(LEGAL)}
    assert ingestor.reconcile("shop").changed == 0
    for name in LEGAL:
        key = image_key("shop", id_of(name))
        assert images.get(key).data == picture(name), ascii(name)
        with urllib.request.urlopen(images.sign("GET", key, 60)) as answer:
            assert answer.read() == picture(name), ascii(name)
        images.delete(key)
    assert list(images.list("shop/images")) == []
    report = ingestor.apply(events("Removed:Delete", keys, 2))
    assert (report.removed, report.failed) == (len(LEGAL), [])
    assert [item.id for batch in catalogue.scan() for item in batch.items] == []


def test_removing_one_spelling_on_s3_keeps_the_item_of_the_other(
    s3_endpoint: str, s3_bucket: str, tmp_path: Path, tiny_encoder_folder: Path
) -> None:
    """Two objects of one id, in NFC and in NFD: the item is gone only when both are."""
    import boto3

    settings = Settings(store=f"s3://{s3_bucket}/some/prefix", s3_endpoint=s3_endpoint)
    library = Library(settings, tmp_path / "cache")
    library.encoders.add(tiny_encoder_folder)
    library.create_collection("shop")
    worker = IngestWorker(library, trainer=NoTrainingRunner(), builds=None)
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    prefix, composed, split = "some/prefix/images/shop/images/", "caf\u00e9.jpg", "cafe\u0301.jpg"

    def deliver(event: str, name: str, number: int) -> None:
        place = {"bucket": {"name": s3_bucket}, "object": {"key": quote_plus(prefix + name)}}
        place["object"]["sequencer"] = f"{number:04x}"
        body = json.dumps({"Records": [{"eventName": f"Object{event}", "s3": place}]})
        assert worker.work([Message("1", body)], lambda: 60.0).reasons == {}

    def items() -> list[str]:
        return [item.id for batch in library.catalogue("shop").scan() for item in batch.items]

    for number, name in enumerate((composed, split), start=1):
        client.put_object(Bucket=s3_bucket, Key=prefix + name, Body=picture("plain.jpg"))
        deliver("Created:Put", name, number)
    assert items() == [composed]
    for number, (name, left) in enumerate(((split, [composed]), (composed, [])), start=3):
        client.delete_object(Bucket=s3_bucket, Key=prefix + name)
        deliver("Removed:Delete", name, number)
        assert items() == left


def test_a_key_that_no_item_can_have_does_not_stop_a_reconcile(
    s3_endpoint: str, s3_bucket: str, tiny_encoder: Encoder
) -> None:
    import boto3

    settings = Settings(store=f"s3://{s3_bucket}/some/prefix", s3_endpoint=s3_endpoint)
    artifacts = Store.artifacts(settings)
    Collections(artifacts).create(CollectionConfig("shop", tiny_encoder.manifest.id))
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    for name in ("a.jpg", "b//c.jpg", "z.jpg"):
        key = f"some/prefix/images/shop/images/{name}"
        client.put_object(Bucket=s3_bucket, Key=key, Body=picture("plain.jpg"))
    ingestor = Ingestor(Store.images(settings), artifacts, settings, lambda _: tiny_encoder)
    report = ingestor.reconcile("shop")
    assert (report.encoded, report.failed) == (2, [])
    assert [key for key, _ in report.skipped] == ["shop/images/b//c.jpg"]


def test_a_row_of_an_earlier_version_gets_its_nfc_id(tmp_path: Path, tiny_encoder: Encoder) -> None:
    settings = Settings(store=str(tmp_path / "store"))
    images, artifacts = Store.images(settings), Store.artifacts(settings)
    Collections(artifacts).create(CollectionConfig("shop", tiny_encoder.manifest.id))
    ingestor = Ingestor(images, artifacts, settings, lambda _: tiny_encoder)
    catalogue = ingestor.catalogue("shop")
    there, gone = "cafe\u0301.jpg", "u\u0308.jpg"
    file = tmp_path / "store" / "images" / "shop" / "images" / there
    file.parent.mkdir(parents=True)
    file.write_bytes(picture("plain.jpg"))
    catalogue.put_items([ItemRow(name, "00ff", etag="old") for name in (there, gone)])
    assert ingestor.reconcile("shop").failed == []
    live = {id_ for id_, row in catalogue.known().items() if row.status == "live"}
    assert live == {id_of(there)}
    assert ingestor.reconcile("shop").changed == 0
