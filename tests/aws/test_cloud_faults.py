"""The cloud path under faults: the catalogue ends equal to the bucket, every time.

What could not be processed is in the dead-letter queue, or listed as a rejection; nothing is lost, and
nothing goes round for ever.
"""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fixtures.repetition import seeded
from fixtures.server import eventually

from lookalike.aws.ingest_worker import SLICE_CHANGES
from lookalike.snapshots import current
from tests.aws_emulator.cloud_collection import CloudCollection, picture
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.event_source_mapping import EventSource, batch_of
from tests.aws_emulator.faulty_proxy import Fault, FaultyProxy, Request, paths
from tests.aws_emulator.lambda_process import LambdaProcess
from tests.aws_emulator.templates import FEW_RECEIVES

DONE = {"batchItemFailures": []}
_numbers = itertools.count()


@dataclass
class Scene:
    """A deployment, a process of each function that works, and one of ingest behind a proxy that may fail."""

    cloud: Cloud
    proxy: FaultyProxy
    ingest: LambdaProcess
    builder: LambdaProcess
    shaky: LambdaProcess
    folder: Path

    def shop(self) -> CloudCollection:
        return CloudCollection(self.cloud, f"shop{next(_numbers)}", self.folder)

    def bodies(self) -> list[str]:
        """What the bucket has told since the last time, in order."""
        return self.cloud.bodies("uploads")

    def dead(self) -> list[str]:
        return self.cloud.bodies("uploads-dead")

    def ingest_all(self, bodies: list[str], process: LambdaProcess | None = None) -> None:
        """Hand messages over in batches of ten; all of them must be done."""
        for start in range(0, len(bodies), 10):
            assert (process or self.ingest).invoke(batch_of(bodies[start : start + 10])) == DONE


@pytest.fixture(scope="module")
def scene(tiny_encoder_folder):
    with cloud(*FEW_RECEIVES) as made, FaultyProxy(made.server) as proxy:
        way = {"AWS_ENDPOINT_URL": proxy.url, "LOOKALIKE_S3_ENDPOINT": proxy.url}
        shaky = made.process("ingest", **way)
        found = Scene(
            made, proxy, made.process("ingest"), made.process("builder"), shaky, tiny_encoder_folder
        )
        found.bodies()  # the test event of the notification
        yield found


def _change_much(shop: CloudCollection) -> None:
    """Create, replace and delete, so that the order of events matters."""
    for number in range(6):
        shop.put(f"hat/{number}.jpg", picture(number))
    shop.put("hat/0.jpg", picture(100))
    shop.delete("hat/1.jpg")
    shop.put("hat/1.jpg", picture(101))
    shop.delete("hat/2.jpg")
    first = shop.put("hat/3.jpg", picture(103))
    shop.put("hat/3.jpg", picture(104))
    shop.delete("hat/3.jpg", VersionId=first)
    shop.delete("hat/4.jpg")
    shop.put("hat/4.jpg", picture(4))  # the very same again
    shop.cloud.put(f"{shop.name}/metadata/p.csv", b"file,price\nhat/0.jpg,1\nhat/1.jpg,2\n")
    shop.cloud.put(f"{shop.name}/metadata/p.csv", b"file,price\nhat/0.jpg,3\n")


def _prices(shop: CloudCollection) -> dict[str, object]:
    return {
        item.id: item.attributes["price"]
        for batch in shop.catalogue.scan()
        for item in batch.items
        if "price" in item.attributes
    }


@pytest.mark.parametrize("order", ["twice", "reversed", "shuffled one by one"])
def test_events_in_any_order_and_number(scene, order):
    shop = scene.shop()
    _change_much(shop)
    bodies = scene.bodies()
    assert len(bodies) >= 16
    if order == "twice":
        scene.ingest_all([body for body in bodies for _ in range(2)])
        scene.ingest_all(bodies)
    elif order == "reversed":
        scene.ingest_all(bodies[::-1])  # each deletion before its creation
    else:
        for body in random.Random(seeded(0)).sample(bodies, len(bodies)):
            assert scene.ingest.invoke(batch_of([body])) == DONE
    shop.check()
    assert _prices(shop) == {"hat/0.jpg": 3}


def test_keys_of_all_kinds_and_what_can_never_be_taken_in(scene):
    shop = scene.shop()
    longest = 1_024 - len(shop.key("").encode())
    odd = [
        "a b/c d.jpg",
        "a+b.jpg",
        "ü/ñandú 日本.jpg",
        "100%/50%25.jpg",
        "q?a=b&c=d#e.jpg",
        "it's (1) [2] {3}.jpg",
        " leading and trailing .jpg ",
        "x" * (longest - 4) + ".jpg",
    ]
    for number, name in enumerate(odd):
        shop.put(name, picture(number))
    shop.put("poison.jpg", b"\xff\xd8\xff\xe0 broken")
    shop.put("page.jpg", b"<html>")
    shop.put("empty.jpg", b"")
    scene.cloud.put("nothing-of-ours.txt", b"x")
    scene.cloud.put(f"{shop.name}/images/.hidden.jpg", picture(1))
    scene.cloud.put("no-such-collection/images/1.jpg", picture(1))
    url = scene.cloud.queue("uploads")
    malformed = ["no JSON", "[]", '{"Records": 3}', '{"Records": [{"eventName": "ObjectCreated:Put"}]}']
    for body in malformed:
        scene.cloud.sqs.send_message(QueueUrl=url, MessageBody=body)
    test_event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": scene.cloud.images}
    scene.cloud.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(test_event))
    with EventSource(scene.cloud, "uploads", [scene.ingest], visibility_seconds=0) as uploads:
        uploads.drain()
    rejected = {"poison.jpg": "undecodable", "page.jpg": "unsupported_format", "empty.jpg": "empty"}
    shop.check(rejected=rejected)
    dead = scene.dead()
    waiting = [body for body in dead if "no-such-collection" in body]
    assert sorted(body for body in dead if body not in waiting) == sorted(malformed)
    assert len(waiting) == 1
    _all_can_be_fetched(scene, shop, odd)


def _all_can_be_fetched(scene: Scene, shop: CloudCollection, names: list[str]) -> None:
    query = scene.cloud.process("query")
    client = shop.client(query)
    answer = client.json("POST", f"/collections/{shop.name}/search", {"id": names[0], "limit": 100})
    results = {match["id"]: match["image_url"] for match in answer["results"]}
    assert set(results) == set(names[1:])
    for number, name in list(enumerate(names))[1:]:
        redirect = client.request("GET", results[name])
        assert redirect["statusCode"] == 307, name
        assert httpx.get(redirect["headers"]["location"]).content == picture(number), name
    query.close()


def test_four_workers_at_once(scene):
    shop = scene.shop()
    workers = [scene.ingest, *(scene.cloud.process("ingest") for _ in range(3))]
    chance = random.Random(seeded(3))
    with (
        EventSource(scene.cloud, "uploads", workers, visibility_seconds=1, batch_size=5, window_seconds=0),
        EventSource(scene.cloud, "builds.fifo", [scene.builder], visibility_seconds=1) as builds,
        EventSource(scene.cloud, "uploads", [], visibility_seconds=1) as uploads,
    ):
        for number in range(40):
            name = f"hat/{chance.randrange(20)}.jpg"
            if chance.random() < 0.2:
                shop.delete(name)
            else:
                shop.put(name, picture(number))
        uploads.drain()
        builds.drain()
    shop.check()
    assert scene.dead() == []
    assert scene.cloud.bodies("builds-dead.fifo") == []
    serving = current(shop.artifacts, shop.name)
    assert serving is not None
    for worker in workers[1:]:
        worker.close()


def _some(share: float, *faults: Fault, seed: int = 0):
    """A plan: this share of all requests comes to one of `faults`."""
    chance = random.Random(seeded(seed))

    def plan(_: Request) -> Fault | None:
        return chance.choice(faults) if chance.random() < share else None

    return plan


@pytest.mark.parametrize(
    "faults",
    [
        (Fault("status", 500), Fault("status", 503)),
        (Fault("slow", seconds=0.4),),
        (Fault("cut"),),
    ],
    ids=["errors", "slow", "lost answers"],
)
def test_aws_answers_badly_now_and_then(scene, faults):
    shop = scene.shop()
    _change_much(shop)
    scene.proxy.plan = _some(0.25, *faults)
    before = scene.proxy.injected
    try:
        with EventSource(scene.cloud, "uploads", [scene.shaky], visibility_seconds=1) as uploads:
            uploads.drain()
    finally:
        scene.proxy.plan = _none
    assert scene.proxy.injected > before
    shop.check()
    assert scene.dead() == []
    assert _prices(shop) == {"hat/0.jpg": 3}


def _none(_: Request) -> None:
    return None


def test_one_object_that_cannot_be_read_holds_up_no_other(scene):
    shop = scene.shop()
    shop.put("hat/1.jpg", picture(1))
    shop.put("hat/2.jpg", picture(2))
    bodies = scene.bodies()
    scene.proxy.plan = paths(r"hat/2\.jpg", Fault("status", 503))
    try:
        answer = scene.shaky.invoke(batch_of(bodies))
    finally:
        scene.proxy.plan = _none
    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert set(shop.catalogue.known()) == {"hat/1.jpg"}
    assert scene.shaky.invoke(batch_of(bodies[1:])) == DONE
    shop.check()


def test_a_store_that_hangs_gives_the_messages_back_in_time(scene):
    shop = scene.shop()
    shop.put("hat/1.jpg", picture(1))
    shop.put("hat/2.jpg", picture(2))
    bodies = scene.bodies()
    hurried = scene.cloud.process(
        "ingest", AWS_ENDPOINT_URL=scene.proxy.url, LOOKALIKE_S3_ENDPOINT=scene.proxy.url
    )
    assert hurried.invoke(batch_of([])) == DONE
    scene.proxy.plan = paths("hat", Fault("slow", seconds=15), methods="GET")
    try:
        answer = hurried.invoke(batch_of(bodies), timeout=8)
        assert {entry["itemIdentifier"] for entry in answer["batchItemFailures"]} == {"0", "1"}
        assert hurried.starts == 1, "the function was ended before it gave the messages back"
    finally:
        scene.proxy.plan = _none
    # The same process goes on, though its first attempt may still be under way.
    assert hurried.invoke(batch_of(bodies)) == DONE
    shop.check()
    hurried.close()


def test_what_does_not_fit_into_the_time_is_given_back_unbegun(scene):
    shop = scene.shop()
    count = SLICE_CHANGES + 6
    for number in range(count):
        shop.put(f"hat/{number}.jpg", picture(number))
    bodies = scene.bodies()
    assert len(bodies) == count
    assert scene.shaky.invoke(batch_of([])) == DONE  # the start of the process does not count
    scene.proxy.plan = paths("hat", Fault("slow", seconds=0.6), methods="GET")
    try:
        answer = scene.shaky.invoke(batch_of(bodies), timeout=12)
    finally:
        scene.proxy.plan = _none
    failed = {int(entry["itemIdentifier"]) for entry in answer["batchItemFailures"]}
    assert failed >= set(range(SLICE_CHANGES, count))
    assert scene.ingest.invoke(batch_of([bodies[number] for number in sorted(failed)])) == DONE
    shop.check()


def test_what_fails_for_ever_is_parked(scene):
    shop = scene.shop()
    shop.put("hat/1.jpg", picture(1))
    shop.put("hat/never.jpg", picture(2))
    scene.proxy.plan = paths(r"never\.jpg", Fault("status", 403))
    try:
        with EventSource(scene.cloud, "uploads", [scene.shaky], visibility_seconds=1) as uploads:
            uploads.drain()
    finally:
        scene.proxy.plan = _none
    dead = scene.dead()
    assert [json.loads(body)["Records"][0]["s3"]["object"]["key"] for body in dead] == [
        f"{shop.name}%2Fimages%2Fhat%2Fnever.jpg"
    ]
    assert set(shop.catalogue.known()) == {"hat/1.jpg"}
    scene.ingest_all(dead)  # as after a redrive
    shop.check()


def test_builds_that_fail_are_parked_and_hold_up_no_other_collection(scene):
    broken, sound = scene.shop(), scene.shop()
    for shop in (broken, sound):
        shop.put("hat/1.jpg", picture(1))
        shop.put("hat/2.jpg", picture(2))
    scene.ingest_all(scene.bodies())
    shaky = scene.cloud.process(
        "builder", AWS_ENDPOINT_URL=scene.proxy.url, LOOKALIKE_S3_ENDPOINT=scene.proxy.url
    )
    scene.proxy.plan = paths(f"{broken.name}/snapshots/.*/items", Fault("status", 403), methods="PUT")
    try:
        with EventSource(scene.cloud, "builds.fifo", [shaky], visibility_seconds=1) as builds:
            # The queue looks empty for a moment while a failed message is on its way back into it.
            parked = eventually(lambda: scene.cloud.bodies("builds-dead.fifo"))
            builds.drain()
    finally:
        scene.proxy.plan = _none
    assert [json.loads(body)["collection"] for body in parked] == [broken.name]
    assert current(sound.artifacts, sound.name) is not None
    assert current(broken.artifacts, broken.name) is None
    redriven = batch_of([json.dumps({"collection": broken.name})], "builds.fifo")
    assert scene.builder.invoke(redriven) == DONE
    assert current(broken.artifacts, broken.name) is not None
    shaky.close()
