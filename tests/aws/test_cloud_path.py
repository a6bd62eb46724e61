"""The whole cloud path on one machine: `put_object` → … → matches whose URLs give the uploaded bytes.

Bucket, queues and functions are as the synthesised templates say; the handlers run under awslambdaric.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import httpx
import pytest
from fixtures.server import eventually

from lookalike.snapshots import current
from tests.aws_emulator.cloud_collection import CloudClient, CloudCollection, picture
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.event_source_mapping import EventSource
from tests.aws_emulator.lambda_process import LambdaProcess
from tests.aws_emulator.templates import MORE

ODD = "a b+c/100%25 ü&=#.jpg"
PICTURES = {
    f"{kind}/{number}.jpg": 10 * number + len(kind) for kind in ("hat", "shoe") for number in range(6)
}


@dataclass
class Path:
    """A deployment with one collection, its queues being read, and a client of its API."""

    cloud: Cloud
    shop: CloudCollection
    uploads: EventSource
    builds: EventSource
    client: CloudClient
    ingest: LambdaProcess
    builder: LambdaProcess
    query: LambdaProcess

    def drain(self) -> None:
        self.uploads.drain()
        self.builds.drain()

    def nearest(self, data: bytes) -> str:
        found = self.client.form("/collections/shop/search", data, limit="1")
        return found["results"][0]["id"]

    def ids(self, **search: object) -> list[str]:
        found = self.client.json("POST", "/collections/shop/search", {"limit": 20, **search})
        return [match["id"] for match in found["results"]]


@pytest.fixture(scope="module")
def path(tiny_encoder_folder):
    with cloud(*MORE, refresh_seconds=0.1) as made:
        shop = CloudCollection(made, "shop", tiny_encoder_folder)
        ingest, builder, query = (made.process(name) for name in ("ingest", "builder", "query"))
        with (
            EventSource(made, "uploads", [ingest], visibility_seconds=1) as uploads,
            EventSource(made, "builds.fifo", [builder], visibility_seconds=1) as builds,
        ):
            found = Path(made, shop, uploads, builds, shop.client(query), ingest, builder, query)
            for name, seed in PICTURES.items():
                shop.put(name, picture(seed))
            shop.put(ODD, picture(999))
            rows = "".join(f"{name},{number}.5\n" for number, name in enumerate(PICTURES))
            made.put("shop/metadata/prices.csv", f"file,price\n{rows}".encode())
            found.drain()
            yield found


def test_what_was_uploaded_is_in_the_catalogue_and_a_snapshot_is_built(path):
    path.shop.check()
    serving = current(path.shop.artifacts, "shop")
    assert serving is not None
    assert path.cloud.bodies("uploads-dead") == []
    assert path.cloud.bodies("builds-dead.fifo") == []
    assert path.ids(id="hat/1.jpg", include_self=True)[0] == "hat/1.jpg"


def test_json_search_gives_urls_of_the_very_bytes(path):
    answer = path.client.json("POST", "/collections/shop/search", {"id": "hat/1.jpg", "limit": 20})
    assert answer["snapshot"] == current(path.shop.artifacts, "shop").id
    results = {match["id"]: match for match in answer["results"]}
    assert set(results) == {*PICTURES, ODD} - {"hat/1.jpg"}
    assert results["shoe/0.jpg"]["metadata"] == {"price": 6.5}
    for name in ("shoe/3.jpg", ODD):
        redirect = path.client.request("GET", results[name]["image_url"])
        assert redirect["statusCode"] == 307
        fetched = httpx.get(redirect["headers"]["location"])
        assert fetched.content == picture(PICTURES.get(name, 999))


def test_search_by_a_form_with_a_binary_body(path):
    data = picture(PICTURES["shoe/4.jpg"])
    answer = path.client.form("/collections/shop/search", data, limit="1")
    assert [match["id"] for match in answer["results"]] == ["shoe/4.jpg"]
    assert answer["results"][0]["score"] > 0.99
    wanted = {"category": "hat"}
    filtered = path.client.form("/collections/shop/search", data, filter=json.dumps(wanted), limit="20")
    assert {match["category"] for match in filtered["results"]} == {"hat"}
    assert len(filtered["results"]) == 6


def test_an_upload_through_a_presigned_url_is_found(path):
    asked = [{"name": "bag/new.jpg", "content_type": "image/jpeg", "metadata": {"price": 12}}]
    offer = path.client.json("POST", "/collections/shop/uploads", asked)["uploads"][0]
    assert httpx.put(offer["url"], content=picture(4711), headers=offer["headers"]).status_code == 200
    path.drain()
    # On a busy machine an answer may be of the moment before.
    eventually(lambda: path.client.request("GET", "/collections/shop/items/bag/new.jpg")["statusCode"] == 200)
    item = path.client.json("GET", "/collections/shop/items/bag/new.jpg")
    assert (item["category"], item["metadata"]) == ("bag", {"price": 12})
    assert path.ids(id="bag/new.jpg", include_self=True)[0] == "bag/new.jpg"
    assert path.client.request("DELETE", "/collections/shop/items/bag/new.jpg")["statusCode"] == 204
    path.drain()
    eventually(lambda: "bag/new.jpg" not in path.ids(id="hat/1.jpg"))
    path.shop.check()


def test_what_is_replaced_deleted_and_brought_back_follows(path):
    path.shop.put("hat/5.jpg", picture(5005))
    first = path.shop.put("belt/1.jpg", picture(61))
    second = path.shop.put("belt/1.jpg", picture(62))
    path.shop.put("belt/2.jpg", picture(63))
    path.drain()
    path.shop.check()
    eventually(lambda: path.nearest(picture(5005)) == "hat/5.jpg")
    # The later version goes for good, so that the first is there again; and a deletion is taken back.
    path.shop.delete("belt/1.jpg", VersionId=second)
    path.shop.delete("belt/2.jpg")
    path.drain()
    path.shop.check()
    assert path.shop.catalogue.known(["belt/2.jpg"])["belt/2.jpg"].status == "removed"
    eventually(lambda: path.nearest(picture(61)) == "belt/1.jpg")
    versions = path.cloud.s3.list_object_versions(Bucket=path.cloud.images, Prefix="shop/images/belt/2.jpg")
    path.shop.delete("belt/2.jpg", VersionId=versions["DeleteMarkers"][0]["VersionId"])
    path.shop.delete("belt/1.jpg", VersionId=first)
    path.drain()
    path.shop.check()
    assert set(path.shop.bucket()) >= {"belt/2.jpg"}
    assert "belt/1.jpg" not in path.shop.bucket()


def test_logs_are_json_and_metrics_name_the_collection(path):
    lines = path.ingest.records
    told = [line for line in lines if line.get("message") == "ingested"]
    assert sum(line["Encoded"] for line in told) >= len(PICTURES)
    assert {line["service"] for line in told} == {"ingest"}
    assert all(line["function_request_id"] and line["xray_trace_id"] for line in told)
    ages = [line for line in (*lines, *path.builder.records) if "SnapshotAgeSeconds" in line]
    assert ages
    for line in ages:
        metric = line["_aws"]["CloudWatchMetrics"][0]
        assert (metric["Namespace"], metric["Dimensions"]) == ("Lookalike", [["collection"]])
        assert line["collection"] == "shop"
    assert any(line.get("Builds") == [1.0] for line in path.builder.records)
