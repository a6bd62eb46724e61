"""Every function does its work with the role that its template gives it: nothing is missing, or left over.

Functions run under awslambdaric behind a proxy that enforces their roles (see `aws_emulator/iam_proxy.py`).
"""

from __future__ import annotations

import json
import shutil
import tarfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixtures.server import eventually

from infra.config import FUNCTIONS
from lookalike.encoders import EncoderManifest
from lookalike.encoders.manifest import content_id
from lookalike.snapshots import current
from tests.aws_emulator.cloud_collection import CloudClient, CloudCollection, picture
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.event_source_mapping import EventSource
from tests.aws_emulator.iam_proxy import IamProxy

PICTURES = {
    f"{kind}/{number}.jpg": 10 * number + len(kind) for kind in ("hat", "shoe") for number in range(4)
}
PATIENCE_SECONDS = 60
HERE = "/collections/shop"
# Granted, and not needed when all goes well.
RARELY = {
    "s3:AbortMultipartUpload": "a large upload that is broken off",
    "xray:PutTraceSegments": "Lambda's own daemon sends them",
    "xray:PutTelemetryRecords": "Lambda's own daemon sends them",
    "logs:CreateLogStream": "Lambda itself writes the log",
    "logs:PutLogEvents": "Lambda itself writes the log",
    "sqs:ReceiveMessage": "the event source mapping, with the function's role",
    "sqs:DeleteMessage": "the event source mapping, with the function's role",
    "sqs:ChangeMessageVisibility": "the event source mapping, with the function's role",
    "sqs:GetQueueAttributes": "the event source mapping, with the function's role",
}


LATER = {
    "builder": {"s3:DeleteObject"},  # snapshots that nobody reads any more go after an hour
    "reconcile": {"s3:DeleteObject"},  # Lance removes files of old versions while it commits
    "encode": {"s3:DeleteObject"},  # Lance removes files of old versions while it commits
    "publish": {"s3:DeleteObject"},  # a snapshot that lost a race goes again
    "conclude": {"s3:ListBucket"},  # so that a record that is gone is missing, and not forbidden
}


@dataclass
class Guarded:
    """A deployment whose functions have their roles and no more."""

    cloud: Cloud
    proxy: IamProxy
    shop: CloudCollection
    client: CloudClient
    uploads: EventSource
    builds: EventSource

    def drain(self) -> None:
        self.uploads.drain()
        self.builds.drain()


@pytest.fixture(scope="module")
def guarded(tiny_encoder_folder: Path):
    with cloud(refresh_seconds=0.1) as made, IamProxy(made) as proxy:
        shop = CloudCollection(made, "shop", tiny_encoder_folder)
        ingest, builder, query = (proxy.process(name) for name in ("ingest", "builder", "query"))
        with (
            EventSource(made, "uploads", [ingest], visibility_seconds=1) as uploads,
            EventSource(made, "builds.fifo", [builder], visibility_seconds=1) as builds,
        ):
            found = Guarded(made, proxy, shop, shop.client(query), uploads, builds)
            for name, seed in PICTURES.items():
                shop.put(name, picture(seed))
            found.drain()
            yield found


def test_uploads_and_builds(guarded: Guarded) -> None:
    guarded.cloud.put("shop/metadata/prices.csv", b"file,price\nhat/1.jpg,3.5\n")
    guarded.shop.put("hat/broken.jpg", b"no picture")
    guarded.shop.delete("shoe/3.jpg")
    guarded.drain()
    guarded.shop.check(rejected={"hat/broken.jpg": "unsupported_format"})
    assert current(guarded.shop.artifacts, "shop") is not None
    assert guarded.cloud.bodies("uploads-dead") == []
    assert guarded.proxy.refused == []


def test_the_very_version_is_read(guarded: Guarded) -> None:
    """S3 names the version of a new object, which the server here does not."""
    version = guarded.shop.put("hat/2.jpg", picture(2222))
    told = notification(guarded, "hat/2.jpg", "00FE" + 12 * "F", versionId=version)
    guarded.cloud.sqs.send_message(QueueUrl=guarded.cloud.queue("uploads"), MessageBody=told)
    guarded.drain()
    guarded.shop.check(rejected={"hat/broken.jpg": "unsupported_format"})
    assert guarded.proxy.refused == []


def notification(guarded: Guarded, item_id: str, sequencer: str, **more: str) -> str:
    """What S3 tells of a picture that was put into the bucket."""
    about = {"key": guarded.shop.key(item_id), "sequencer": sequencer, **more}
    record = {"eventName": "ObjectCreated:Put", "eventTime": "2026-01-01T00:00:00.000Z"}
    return json.dumps(
        {"Records": [{**record, "s3": {"bucket": {"name": guarded.cloud.images}, "object": about}}]}
    )


def test_searches(guarded: Guarded) -> None:
    found = guarded.client.json("POST", f"{HERE}/search", {"id": "hat/1.jpg", "limit": 3})["results"]
    assert len(found) == 3
    # A signed URL lends the query function's rights.
    redirect = guarded.client.request("GET", found[0]["image_url"])
    assert httpx.get(redirect["headers"]["location"]).content == picture(PICTURES[found[0]["id"]])
    assert guarded.client.form(f"{HERE}/search", picture(999))["results"]
    for path in ("/collections", HERE, f"{HERE}/rejections", f"{HERE}/duplicates", f"{HERE}/items/hat/1.jpg"):
        guarded.client.json("GET", path)
    guarded.client.json("GET", "/collections/nowhere", status=404)
    guarded.client.json("GET", f"{HERE}/items/no/such.jpg", status=404)
    assert guarded.proxy.refused == []


def test_uploads_through_the_api(guarded: Guarded) -> None:
    asked = {"name": "hat/new.jpg", "content_type": "image/jpeg", "metadata": {"price": 2}}
    (upload,) = guarded.client.json("POST", f"{HERE}/uploads", [asked])["uploads"]
    put = httpx.put(upload["url"], content=picture(77), headers=upload["headers"])
    assert put.status_code == 200, put.text
    guarded.drain()
    item = f"{HERE}/items/hat/new.jpg"
    deadline = time.monotonic() + PATIENCE_SECONDS  # an answer may be of the moment before
    while guarded.client.request("GET", item)["statusCode"] != 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert guarded.client.json("GET", item)["metadata"] == {"price": 2}
    answer = guarded.client.request("DELETE", f"{HERE}/items/hat/new.jpg")
    assert answer["statusCode"] == 204, answer
    guarded.drain()
    assert guarded.proxy.refused == []
    _restore_from_the_trash(guarded, item)


def _restore_from_the_trash(guarded: Guarded, item: str) -> None:
    _wait_for_status(guarded, item, 404)
    deleted = guarded.client.json("GET", f"{HERE}/trash")["items"]
    assert [each["id"] for each in deleted] == ["hat/new.jpg"]
    restored = guarded.client.json("POST", f"{HERE}/trash/restore", {"ids": ["hat/new.jpg"]})
    assert restored == {"restored": 1}
    guarded.drain()
    _wait_for_status(guarded, item, 200)
    assert guarded.client.json("GET", item)["metadata"] == {"price": 2}
    assert guarded.client.request("DELETE", item)["statusCode"] == 204
    assert guarded.client.request("DELETE", f"{HERE}/trash")["statusCode"] == 204
    assert guarded.client.json("GET", f"{HERE}/trash")["items"] == []
    guarded.drain()
    assert guarded.proxy.refused == []


def _wait_for_status(guarded: Guarded, path: str, status: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while guarded.client.request("GET", path)["statusCode"] != status and time.monotonic() < deadline:
        time.sleep(0.2)


def test_collections_come_and_go(guarded: Guarded) -> None:
    guarded.client.json("PUT", "/collections/other", {}, status=201)
    guarded.cloud.put("other/images/a/1.jpg", picture(5))
    guarded.drain()
    assert guarded.client.request("DELETE", "/collections/other")["statusCode"] == 204
    guarded.drain()
    # What is told of a collection that is gone with all its objects is no reason for an alarm.
    assert guarded.cloud.bodies("uploads-dead") == []
    assert guarded.proxy.refused == []


def test_trainings_are_asked_for_and_cancelled(guarded: Guarded) -> None:
    asked = guarded.client.json("POST", f"{HERE}/trainings", {"source": "zip"}, 202)
    put = httpx.put(asked["upload"]["url"], content=b"PK", headers=asked["upload"]["headers"])
    assert put.status_code == 200, put.text
    guarded.drain()  # ingest starts the execution
    training_id = asked["training"]["id"]
    assert guarded.client.json("GET", f"{HERE}/trainings/{training_id}")["status"] == "queued"
    assert guarded.client.request("DELETE", f"{HERE}/trainings/{training_id}")["statusCode"] in {
        200,
        202,
        204,
    }
    # A file that comes after the end is of no use to anybody.
    key = f"shop/training/{training_id}.zip"
    guarded.cloud.put(key, b"PK")
    guarded.drain()
    assert guarded.cloud.s3.list_objects_v2(Bucket=guarded.cloud.images, Prefix=key)["KeyCount"] == 0
    assert guarded.cloud.bodies("uploads-dead") == []
    assert guarded.proxy.refused == []


def test_what_no_event_told_of_is_repaired_once_a_day(guarded: Guarded) -> None:
    with guarded.uploads.paused():
        guarded.shop.put("hat/lost.jpg", picture(4711))
        eventually(lambda: guarded.cloud.bodies("uploads"))  # the event was there, and is lost now
    repaired = guarded.proxy.process("reconcile", LOOKALIKE_DELTA_AGE_SECONDS="0.001").invoke({})
    assert repaired == {"later": []}
    builds = "arn:aws:sqs:us-east-1:123456789012:lookalike-dev-builds.fifo"
    # Whatever waited for a day gets into a snapshot, too, without an upload.
    assert ("sqs:SendMessage", builds) in guarded.proxy.used["reconcile"]
    guarded.shop.check(rejected={"hat/broken.jpg": "unsupported_format"})
    assert guarded.proxy.refused == []


def test_the_steps_of_a_training(guarded: Guarded, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    asked = guarded.client.json(
        "POST", f"{HERE}/trainings", {"source": "collection", "publish": "always"}, 202
    )
    known: dict[str, Any] = {"collection": "shop", "training_id": asked["training"]["id"]}
    known["train"] = {"artefact": _artefact(guarded, _another(tiny_encoder_folder, tmp_path), tmp_path)}
    known["register"] = guarded.proxy.process("register").invoke(known)
    assert known["register"]["publish"] is True
    batch = {**known, "encoder_id": known["register"]["encoder_id"]}
    keys = [{"key": guarded.shop.key(name)} for name in guarded.shop.bucket()]
    encoded = guarded.proxy.process("encode").invoke({"BatchInput": batch, "Items": keys})
    assert encoded["encoded"] == known["register"]["missing"] > 0
    published = guarded.proxy.process("publish").invoke(known)
    assert published["published"] is True, published
    concluded = guarded.proxy.process("conclude").invoke(known)
    assert concluded["alarm"] is False
    serving = current(guarded.shop.artifacts, "shop")
    assert serving is not None
    assert serving.encoder_id == known["register"]["encoder_id"]
    assert guarded.proxy.refused == []


def _another(folder: Path, below: Path) -> Path:
    """The same encoder under another name, which makes it another one."""
    copy = Path(shutil.copytree(folder, below / "encoder"))
    renamed = replace(EncoderManifest.read(folder), name="trained")
    (copy / "encoder.json").write_bytes(replace(renamed, id=content_id(renamed)).dump())
    return copy


def _artefact(guarded: Guarded, encoder: Path, folder: Path) -> str:
    (folder / "result.json").write_text('{"metrics": {}}', "utf-8")
    (folder / "notes.json").write_text("[]", "utf-8")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(encoder, "encoder")
        archive.add(folder / "result.json", "result.json")
        archive.add(folder / "notes.json", "notes.json")
    key = "training-jobs/job/output/model.tar.gz"
    guarded.cloud.s3.upload_file(str(folder / "model.tar.gz"), guarded.cloud.artifacts, key)
    return f"s3://{guarded.cloud.artifacts}/{key}"


def test_what_is_granted_is_used(guarded: Guarded) -> None:
    """Runs last: after all of the above, an action that no function needed is one too many."""
    unused = {}
    for function in FUNCTIONS:
        granted = {action for actions, _ in guarded.proxy.statements[function] for action in actions}
        used = {action for action, _ in guarded.proxy.used[function]}
        unused[function] = granted - used - set(RARELY) - LATER.get(function, set())
    assert {function: actions for function, actions in unused.items() if actions} == {}


def test_the_proxy_refuses_what_a_role_does_not_allow(guarded: Guarded) -> None:
    """With the builder's role, ingest cannot read pictures, and gives its messages back."""
    stranger = guarded.proxy.process("ingest", role="builder")
    body = notification(guarded, "hat/1.jpg", "00FF" + 12 * "F")
    message = {"messageId": "1", "body": body, "attributes": {}}
    answer = stranger.invoke({"Records": [message]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    refused = [each for each in guarded.proxy.refused if each.startswith("builder may not s3:GetObject arn:")]
    guarded.proxy.refused.clear()
    assert refused
    assert "images/hat/1.jpg" in refused[0]
