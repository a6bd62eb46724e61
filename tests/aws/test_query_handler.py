"""The query function under awslambdaric: who may call it, what does not fit the gateway, what it keeps."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from fixtures.server import eventually

from lookalike.aws.build_queue import BuildQueue
from lookalike.aws.gateway import MAX_PAYLOAD_BYTES, MAX_PICTURE_BYTES
from lookalike.encoders import Encoders
from lookalike.ingest import Ingestor
from lookalike.library import Library
from lookalike.snapshots import current
from lookalike.storage import Store
from tests.aws_emulator import api_gateway
from tests.aws_emulator.api_gateway import json_of
from tests.aws_emulator.cloud_collection import CloudClient, CloudCollection, picture
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.lambda_process import LambdaProcess
from tests.aws_emulator.xray_daemon import TraceDaemon

HEAVY = ("tensorflow", "keras", "boto3", "botocore.session", "aws_xray_sdk", "lance", "pandas")
SEARCH = "/collections/shop/search"


@dataclass
class Scene:
    """A deployment with a small collection in a snapshot, a query process and a client of it."""

    cloud: Cloud
    shop: CloudCollection
    query: LambdaProcess
    client: CloudClient

    def follow(self) -> None:
        """Take in what is in the bucket, and build a snapshot if that is due."""
        settings = self.cloud.settings(delta_rows=1)
        encoders = Encoders(self.shop.artifacts)
        ingestor = Ingestor(
            Store.images(settings),
            self.shop.artifacts,
            settings,
            lambda config: encoders.load(config.encoder_id),
        )
        assert not ingestor.reconcile(self.shop.name).failed

    def wait_until_followed(self, item_id: str) -> None:
        """Until the process knows that the item has no metadata any more."""
        eventually(lambda: not self.client.json("GET", f"/collections/shop/items/{item_id}")["metadata"])

    def snapshot(self) -> str:
        """What the process serves now."""
        return self.client.json("POST", SEARCH, {"id": "hat/1.jpg"})["snapshot"]

    def build(self) -> str:
        return self.library.build_snapshot(self.shop.name).id

    @property
    def library(self) -> Library:
        return Library(self.cloud.settings(), self.cache)

    @property
    def cache(self) -> Path:
        return Path(self.query._environment["LOOKALIKE_CACHE_FOLDER"])


@pytest.fixture(scope="module")
def scene(tiny_encoder_folder):
    with cloud(refresh_seconds=0.1) as made:
        shop = CloudCollection(made, "shop", tiny_encoder_folder)
        for number in range(6):
            shop.put(f"hat/{number}.jpg", picture(number))
        query = made.process("query")
        found = Scene(made, shop, query, shop.client(query))
        found.follow()
        found.build()
        yield found


def test_nothing_heavy_is_imported_on_the_search_path(scene):
    command = (sys.executable, "-X", "importtime", "-m", "awslambdaric")
    environment = scene.cloud.environment("query") | {"LOOKALIKE_CACHE_FOLDER": str(scene.cache / "other")}
    with LambdaProcess("lambdas.query.handler.handler", environment, command=command) as process:
        client = scene.shop.client(process)
        assert client.form(SEARCH, picture(3), limit="1")["results"][0]["id"] == "hat/3.jpg"
        imported = {
            line.rsplit("|", 1)[1].strip() for line in process.log.splitlines() if line.count("|") == 2
        }
    assert "lookalike.search.searcher" in imported
    assert sorted(imported & set(HEAVY)) == []


def test_a_request_has_one_id_in_answer_error_and_log(scene):
    event = api_gateway.json_request("POST", SEARCH, {"id": "hat/1.jpg"})
    gateway_id = event["requestContext"]["requestId"]
    refused = scene.query.invoke(event)
    problem = json_of(refused, 401)
    assert problem["request_id"] == refused["headers"]["x-request-id"] == gateway_id
    assert refused["headers"]["content-type"] == "application/problem+json"
    assert refused["isBase64Encoded"] is False
    assert [line["status"] for line in scene.query.records if line.get("request_id") == gateway_id] == [401]
    own = scene.client.request("GET", "/health", headers={"x-request-id": "my-id-1"})
    assert own["headers"]["x-request-id"] == "my-id-1"


def test_what_nobody_foresaw_is_logged_under_the_id_of_the_request(scene):
    path = "collections/broken/current.json"
    CloudCollection(scene.cloud, "broken", Path(scene.shop.encoder_folder))
    scene.shop.artifacts.put(path, b'{"format": 99}')
    event = api_gateway.json_request("POST", "/collections/broken/search", {"id": "x"})
    answer = scene.query.invoke(event | {"headers": event["headers"] | scene.client.headers})
    problem = json_of(answer, 500)
    logged = [line for line in scene.query.records if line.get("request_id") == problem["request_id"]]
    assert any(line["level"] == "ERROR" and "exception" in line for line in logged)
    assert "current.json" not in problem["detail"]


def test_api_gateway_may_have_let_the_caller_in(scene):
    with scene.cloud.process("query", LOOKALIKE_AUTH="jwt") as process:

        def ask(method: str, path: str, said: dict | None, content: object = None) -> int:
            event = api_gateway.json_request(method, path, content, authorizer=said)
            return process.invoke(event)["statusCode"]

        def token(scope: str) -> dict:
            return {"jwt": {"claims": {"iss": "https://issuer", "scope": scope}, "scopes": None}}

        search, body = ("POST", SEARCH), {"id": "hat/1.jpg"}
        assert ask("GET", "/health", None) == 200
        assert ask(*search, None, body) == 401
        assert ask(*search, {"iam": {"userArn": "arn:aws:iam::1:user/x"}}, body) == 401
        assert ask(*search, token("openid lookalike/write"), body) == 403
        assert ask(*search, token("openid lookalike/read"), body) == 200
        assert ask("POST", "/collections/shop/uploads", token("read"), [{"name": "a.jpg"}]) == 403
        assert ask("POST", "/collections/shop/uploads", token("read write"), [{"name": "a.jpg"}]) == 200
    with scene.cloud.process("query", LOOKALIKE_AUTH="iam") as process:
        caller = {
            "iam": {"accessKey": "AKIA", "accountId": "123456789012", "userArn": "arn:aws:iam::1:user/x"}
        }
        event = api_gateway.json_request("POST", SEARCH, {"id": "hat/1.jpg"})
        assert process.invoke(event)["statusCode"] == 401
        event = api_gateway.json_request("POST", SEARCH, {"id": "hat/1.jpg"}, authorizer=caller)
        assert process.invoke(event)["statusCode"] == 200


def test_a_picture_that_does_not_fit_is_refused_with_the_way_round(scene):
    large = b"\xff\xd8\xff" + os.urandom(MAX_PICTURE_BYTES + 80_000)
    event = api_gateway.form_request(SEARCH, large, {}, headers=scene.client.headers)
    assert len(json.dumps(event)) <= MAX_PAYLOAD_BYTES, "Lambda itself would have refused it"
    problem = json_of(scene.query.invoke(event), 413)
    assert "POST /collections/{collection}/uploads" in problem["fix"]


def test_an_answer_that_does_not_fit_says_to_ask_for_less(scene):
    # Quotes are escaped in the body, and once more where Lambda takes the body as a string.
    texts = {f"text{column}": "\"'" * 4_990 for column in range(60)}
    rows = [json.dumps({"file": f"hat/{number}.jpg", **texts}) for number in range(6)]
    scene.cloud.put("shop/metadata/long.jsonl", "\n".join(rows).encode())
    scene.follow()
    whole = {"id": "hat/1.jpg", "limit": 6}
    eventually(lambda: scene.client.search("shop", whole)["statusCode"] == 413)
    problem = scene.client.json("POST", SEARCH, whole, status=413)
    assert problem["type"] == "urn:lookalike:problem:answer-too-large"
    assert "limit" in problem["fix"]
    assert len(scene.client.json("POST", SEARCH, {"id": "hat/1.jpg", "limit": 1})["results"]) == 1
    scene.cloud.delete("shop/metadata/long.jsonl")
    scene.follow()
    scene.wait_until_followed("hat/1.jpg")


def test_only_what_serves_is_kept_on_disk(scene):
    scene.client.form(SEARCH, picture(3))
    folder = scene.cache / "snapshots" / "shop"
    for number in (20, 21):
        scene.shop.put(f"hat/{number}.jpg", picture(number))
        scene.follow()
        newest = scene.build()
        eventually(lambda wanted=newest: scene.snapshot() == wanted)
        assert [entry.name for entry in folder.iterdir()] == [newest]
    assert {entry.name for entry in (scene.cache / "encoders").iterdir()} == {scene.shop.encoder.id}


def test_an_encoder_that_nobody_holds_leaves_the_disk(scene, tmp_path):
    encoders = Encoders(scene.shop.artifacts, tmp_path)
    folder = tmp_path / "encoders" / scene.shop.encoder.id
    held = encoders.load(scene.shop.encoder.id)
    encoders.forget_unused()
    assert list(folder.iterdir()), "an encoder that is held was removed"
    del held
    gc.collect()
    encoders.forget_unused()
    assert not folder.exists()
    assert encoders.load(scene.shop.encoder.id).manifest == scene.shop.encoder


def test_frozen_between_two_requests_it_wakes_up_with_the_news(scene):
    scene.client.json("POST", SEARCH, {"id": "hat/1.jpg"})
    assert scene.query.pid is not None
    os.kill(scene.query.pid, signal.SIGSTOP)
    scene.shop.put("hat/30.jpg", picture(30))
    scene.follow()
    os.kill(scene.query.pid, signal.SIGCONT)
    # A search that comes after a pause waits for news, though not for ever.
    eventually(lambda: scene.client.request("GET", "/collections/shop/items/hat/30.jpg")["statusCode"] == 200)


def test_a_trace_tells_where_the_time_went(scene):
    with TraceDaemon() as daemon:
        with scene.cloud.process("query", AWS_XRAY_DAEMON_ADDRESS=daemon.address) as process:
            event = api_gateway.form_request(SEARCH, picture(3), {}, headers=scene.client.headers)
            assert process.invoke(event)["statusCode"] == 200
        time.sleep(0.5)
        spans = {span["name"]: span for span in daemon.spans}
    wanted = {"## handler", "read pointer", "download snapshot", "load encoder", "encode", "find"}
    assert wanted <= set(spans)
    assert len({span["trace_id"] for span in daemon.spans}) == 1
    assert spans["## handler"]["annotations"]["ColdStart"] is True
    assert all(span["start_time"] <= span["end_time"] for span in daemon.spans)


def test_builds_are_asked_for_once_for_each_state(scene):
    queue = BuildQueue("https://sqs.us-east-1.amazonaws.com/1/lookalike-dev-builds.fifo", scene.cloud.sqs)
    scene.cloud.bodies("builds.fifo")
    for _ in range(3):
        queue.request(scene.library.staleness("shop"))
    scene.shop.put("hat/40.jpg", picture(40))
    scene.follow()
    queue.request(scene.library.staleness("shop"))
    queue.request_check(scene.library.collections.get("shop"))
    asked = scene.cloud.bodies("builds.fifo")
    assert [json.loads(body) for body in asked] == 3 * [{"collection": "shop"}]


def test_another_engine_is_built_when_it_is_asked_for(scene):
    url = scene.cloud.queue("builds.fifo")
    with scene.cloud.process("query", LOOKALIKE_BUILD_QUEUE_URL=url) as process:
        client = scene.shop.client(process)
        scene.cloud.bodies("builds.fifo")
        assert client.json("PUT", "/collections/shop", {"engine": "exact"})["engine"] == "exact"
    assert [json.loads(body) for body in scene.cloud.bodies("builds.fifo")] == [{"collection": "shop"}]
    assert scene.library.staleness("shop").needs_build
    serving = current(scene.shop.artifacts, "shop")
    assert serving is not None
