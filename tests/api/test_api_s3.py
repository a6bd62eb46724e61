"""The API over S3, emulated by a local server: images and uploads use presigned URLs of the bucket."""

from __future__ import annotations

import httpx
import pytest
from fixtures.server import add_encoder, jpeg, running

from lookalike.encoders import Encoders
from lookalike.ingest import Ingestor
from lookalike.settings import Settings
from lookalike.storage import Store
from tests.aws_emulator.moto_server import moto_server


@pytest.fixture(scope="module")
def settings():
    import boto3

    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with moto_server() as endpoint:
            boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(
                Bucket="lookalike"
            )
            yield Settings(store="s3://lookalike/main", s3_endpoint=endpoint)


@pytest.fixture(scope="module")
def client(settings, tiny_encoder_folder):
    add_encoder(settings, tiny_encoder_folder)
    with running(settings) as server:
        yield server.client


def test_ask_put_ingest_search_and_fetch(client, settings):
    assert client.put("/collections/food", json={"engine": "exact"}).status_code == 201
    asked = [{"name": "a b/ü.jpg", "metadata": {"price": 3}}, {"name": "two.jpg"}]
    offers = client.post("/collections/food/uploads", json=asked).json()["uploads"]
    pictures = {"a b/ü.jpg": jpeg(1), "two.jpg": jpeg(2)}
    for offer in offers:
        assert offer["url"].startswith(settings.s3_endpoint)
        done = httpx.put(offer["url"], content=pictures[offer["id"]], headers=offer["headers"])
        assert done.status_code == 200
    encoders = Encoders(Store.artifacts(settings))
    ingestor = Ingestor(
        Store.images(settings),
        Store.artifacts(settings),
        settings,
        lambda config: encoders.load(config.encoder_id),
    )
    assert ingestor.reconcile("food").encoded == 2

    answer = client.post("/collections/food/search", json={"id": "two.jpg"}).json()
    assert [result["id"] for result in answer["results"]] == ["a b/ü.jpg"]
    assert answer["results"][0]["metadata"] == {"price": 3}
    redirect = client.get(answer["results"][0]["image_url"])
    assert redirect.status_code == 307
    assert httpx.get(redirect.headers["location"]).content == pictures["a b/ü.jpg"]

    assert client.delete("/collections/food/items/two.jpg").status_code == 204
    assert client.delete("/collections/food/items/two.jpg").status_code == 404
    assert [info.path for info in Store.images(settings).list("food/images")] == ["food/images/a b/ü.jpg"]
    assert client.delete("/collections/food").status_code == 204
    assert not list(Store.images(settings).list("food"))
    assert client.get("/collections/food").status_code == 404


def test_a_server_over_s3_takes_no_uploads_itself(client):
    assert client.put("/uploads/x", content=b"x").status_code == 404
    assert not [path for path in client.get("/openapi.json").json()["paths"] if path.startswith("/uploads")]
