"""`kill -9` of a handler after each of its writes: the message comes again, and the same end is reached.

A proxy counts the process's writes to S3 and SQS, and kills it after the n-th one is done and before its
response arrives: for n = 1, 1 + STEP, … until the process completes. `make soak` covers every state between
two writes, `make test` every fourth.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from fixtures.repetition import times

from lookalike.encoders import Encoders
from lookalike.search import Query, QueryPart, Searcher
from lookalike.snapshots import current, list_snapshots, open_snapshot
from tests.aws_emulator.cloud_collection import CloudCollection, picture
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.event_source_mapping import batch_of
from tests.aws_emulator.faulty_proxy import FaultyProxy
from tests.aws_emulator.lambda_process import FunctionError, LambdaProcess

MOST_WRITES = 80
STEP = times(4, soak=1)
DONE = {"batchItemFailures": []}


@dataclass
class Scene:
    """A deployment, a process that is killed, one that is not, and what stands between the former and AWS."""

    cloud: Cloud
    proxy: FaultyProxy
    ingest: LambdaProcess
    builder: LambdaProcess
    folder: object

    def shop(self, name: str) -> CloudCollection:
        return CloudCollection(self.cloud, name, self.folder)

    def victim(self, function: str) -> LambdaProcess:
        """A process of a function that reaches AWS through the proxy."""
        way = {"AWS_ENDPOINT_URL": self.proxy.url, "LOOKALIKE_S3_ENDPOINT": self.proxy.url}
        return self.cloud.process(function, **way)

    def gets_through(self, victim: LambdaProcess, event: dict, writes: int) -> bool:
        """Hand an event over; the process is killed after so many writes. True: it made fewer."""
        self.proxy.writes = 0
        self.proxy.after_write = lambda number: victim.kill() if number == writes else None
        try:
            answer = victim.invoke(event)
        except FunctionError as error:
            answer = error.type
        finally:
            self.proxy.after_write = lambda _: None
        assert answer in (DONE, "Runtime.ExitError"), victim.log
        assert (answer == DONE) == (self.proxy.writes < writes)
        return answer == DONE


@pytest.fixture(scope="module")
def scene(tiny_encoder_folder):
    with cloud() as made, FaultyProxy(made.server) as proxy:
        ingest, builder = made.process("ingest"), made.process("builder")
        yield Scene(made, proxy, ingest, builder, tiny_encoder_folder)


def test_ingest_is_killed_after_each_write(scene):
    victim = scene.victim("ingest")
    writes = 1 - STEP
    through = False
    while not through:
        writes += STEP
        assert writes < MOST_WRITES
        shop = scene.shop(f"ingest{writes}")
        shop.put("hat/1.jpg", picture(1))
        shop.put("hat/2.jpg", picture(2))
        shop.put("hat/poison.jpg", b"no picture")
        shop.put("hat/gone.jpg", picture(3))
        shop.delete("hat/gone.jpg")
        scene.cloud.put(f"{shop.name}/metadata/prices.csv", b"file,price\nhat/1.jpg,7\n")
        event = batch_of(scene.cloud.bodies("uploads"))
        through = scene.gets_through(victim, event, writes)
        if not through:
            _nothing_is_half_done(shop)
            assert scene.ingest.invoke(event) == DONE
        shop.check(rejected={"hat/poison.jpg": "unsupported_format"})
        assert shop.catalogue.item("hat/1.jpg").attributes == {"price": 7}
        asked = [json.loads(body)["collection"] for body in scene.cloud.bodies("builds.fifo")]
        assert shop.name in asked, "the wake-up of the builder is lost"
    assert writes > 10, "the writes were not seen"


def test_builder_is_killed_after_each_write(scene, tmp_path):
    victim = scene.victim("builder")
    writes = 1 - STEP
    through = False
    while not through:
        writes += STEP
        assert writes < MOST_WRITES
        shop = scene.shop(f"build{writes}")
        for number in range(3):
            shop.put(f"hat/{number}.jpg", picture(number))
        assert scene.ingest.invoke(batch_of(scene.cloud.bodies("uploads"))) == DONE
        event = batch_of(scene.cloud.bodies("builds.fifo"), "builds.fifo")
        through = scene.gets_through(victim, event, writes)
        if not through:
            _what_serves_is_whole(shop, tmp_path)
            assert scene.builder.invoke(event) == DONE
        assert _what_serves_is_whole(shop, tmp_path) == 3
        shop.check()
    assert writes > 4, "the writes were not seen"


def _nothing_is_half_done(shop: CloudCollection) -> None:
    """What can be found already is as it is in the bucket."""
    bucket = shop.bucket()
    found = [item.id for batch in shop.catalogue.scan() for item in batch.items]
    rows = shop.catalogue.known(found)
    assert {id_: rows[id_].content_hash for id_ in found} == {id_: bucket[id_] for id_ in found}


def _what_serves_is_whole(shop: CloudCollection, scratch) -> int:
    """A search works, whether or not there is a snapshot yet. Returns the snapshot's size."""
    cache = scratch / shop.name
    searcher = Searcher(shop.artifacts, shop.name, shop.cloud.settings(), Encoders(shop.artifacts), cache)
    answer = searcher.search(Query((QueryPart("id", "hat/1.jpg"),), include_self=True))
    assert {match.item.id for match in answer.matches} == {"hat/0.jpg", "hat/1.jpg", "hat/2.jpg"}
    serving = current(shop.artifacts, shop.name)
    if serving is None:
        return 0
    assert serving in list_snapshots(shop.artifacts, shop.name)
    return open_snapshot(serving, shop.artifacts, cache).size
