"""A warm query costs one conditional GET after the refresh time, none within it, and misses no change.

`pytest tests/aws/test_warm_query.py -s -k costs` prints the requests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest
from fixtures.server import eventually

from lookalike import change_token
from lookalike.api.keys import NEW_KEY_SECONDS, Keys
from lookalike.change_token import token_path
from lookalike.encoders import Encoders
from lookalike.ingest import Ingestor
from lookalike.library import Library
from lookalike.search import Query, QueryPart, Searcher
from lookalike.settings import Settings
from lookalike.storage import Store
from tests.aws_emulator.cloud_collection import CloudClient, CloudCollection, picture
from tests.aws_emulator.deployment import Cloud, cloud
from tests.aws_emulator.event_source_mapping import batch_of
from tests.aws_emulator.http_forwarder import HttpForwarder, Request, Response
from tests.aws_emulator.lambda_process import FunctionError, LambdaProcess
from tests.aws_emulator.request_recorder import Recorder

REFRESH_SECONDS = 0.5
KEYS_SECONDS = 5.0
"""How long `Keys` trusts what it read."""


@dataclass
class Scene:
    """A deployment with a collection, and a query process whose requests are recorded."""

    cloud: Cloud
    shop: CloudCollection
    library: Library
    recorder: Recorder
    query: LambdaProcess
    client: CloudClient

    def take_in(self, *names: str) -> None:
        """Put images into the bucket, and ingest them."""
        for name in names:
            self.shop.put(name, picture(hash(name) % 10_000))
        ingestor = Ingestor(
            self.library.images,
            self.library.artifacts,
            self.library.settings,
            lambda config: self.library.encoders.load(config.encoder_id),
        )
        assert not ingestor.reconcile(self.shop.name).failed

    def ids(self) -> set[str]:
        found = self.client.json("POST", "/collections/shop/search", {"id": "hat/0.jpg", "limit": 100})
        return {match["id"] for match in found["results"]}

    def wait_for(self, ids: set[str]) -> None:
        """Until a search has them: after a refresh, and long before everything is looked at anyway."""
        eventually(lambda: self.ids() == ids, seconds=change_token.FULL_LOOK_SECONDS / 4)

    def cost(self) -> list[str]:
        """The requests of one query."""
        self.recorder.taken()
        self.ids()
        return self.recorder.taken()


@pytest.fixture(scope="module")
def scene(tiny_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with cloud(refresh_seconds=REFRESH_SECONDS) as made:
        recorder = Recorder(made.server)
        shop = CloudCollection(made, "shop", tiny_encoder_folder)
        library = Library(made.settings(delta_rows=1), tmp_path_factory.mktemp("cache"))
        way = {"AWS_ENDPOINT_URL": recorder.url, "LOOKALIKE_S3_ENDPOINT": recorder.url}
        query = made.process("query", **way)
        found = Scene(made, shop, library, recorder, query, shop.client(query))
        found.take_in(*(f"hat/{number}.jpg" for number in range(4)))
        library.build_snapshot("shop")
        yield found
        recorder.forwarder.close()


def test_what_a_warm_query_costs(scene: Scene) -> None:
    cold = scene.cost()
    print("\ncold:", *cold, sep="\n  ")
    assert [request for request in cold if "list" in request], "the recorder sees no listings"
    for pause in (KEYS_SECONDS + 0.5, REFRESH_SECONDS + 0.2):
        time.sleep(pause)
        warm, again = scene.cost(), scene.cost()
        print(f"after {pause:.1f} s:", *warm, sep="\n  ")
        print(f"at once: {again or 'none'}")
        assert warm == [f"GET {token_path('shop')} 304"]
        assert again == []


def test_new_rows_and_snapshots_are_seen_after_one_refresh(scene: Scene) -> None:
    known = scene.ids()
    scene.take_in("belt/new.jpg")
    scene.wait_for(known | {"belt/new.jpg"})
    built = scene.library.build_snapshot("shop").id

    def used() -> str:
        found = scene.client.json("POST", "/collections/shop/search", {"id": "hat/0.jpg"})
        return str(found["snapshot"])

    eventually(lambda: used() == built, seconds=change_token.FULL_LOOK_SECONDS / 4)


def test_a_revoked_key_is_refused_and_a_new_one_taken(scene: Scene) -> None:
    keys = Keys(scene.shop.artifacts)
    created = keys.create("short-lived")
    client = CloudClient(scene.query, created.key)
    time.sleep(NEW_KEY_SECONDS)  # the process may have looked for another key a moment ago
    client.json("POST", "/collections/shop/search", {"id": "hat/0.jpg"})
    keys.revoke(created.info.id)
    time.sleep(KEYS_SECONDS)
    client.json("POST", "/collections/shop/search", {"id": "hat/0.jpg"}, status=401)


def test_strangers_cause_no_request_for_each_name_that_they_try(scene: Scene) -> None:
    scene.ids()
    time.sleep(KEYS_SECONDS + 0.5)
    scene.recorder.taken()
    stranger = CloudClient(scene.query, "lk_000000000000_secret")
    for number in range(5):
        stranger.json("POST", f"/collections/guess{number}/search", {"id": "x"}, status=401)
    assert {request.split()[1] for request in scene.recorder.taken()} <= {"keys.json"}


def test_a_collection_that_was_deleted_and_made_again_is_another_one(scene: Scene) -> None:
    scene.client.json("PUT", "/collections/brief", {}, status=201)
    scene.client.json("POST", "/collections/brief/search", {"id": "x"}, status=503)
    scene.library.delete_collection("brief")
    time.sleep(2 * REFRESH_SECONDS)
    scene.client.json("POST", "/collections/brief/search", {"id": "x"}, status=404)
    scene.client.json("PUT", "/collections/brief", {}, status=201)
    scene.client.json("POST", "/collections/brief/search", {"id": "x"}, status=503)


def test_a_store_without_tokens_works_as_before(scene: Scene) -> None:
    """An earlier version made it, and goes on to write to it."""
    scene.shop.artifacts.delete(token_path("shop"))
    known = scene.ids()
    scene.take_in("belt/older.jpg")
    scene.shop.artifacts.delete(token_path("shop"))  # which the earlier version would not have written
    scene.wait_for(known | {"belt/older.jpg"})
    scene.take_in("belt/newer.jpg")
    scene.wait_for(known | {"belt/older.jpg", "belt/newer.jpg"})


# One searcher, whose requests are interrupted at chosen places


def searcher(scene: Scene, url: str, tmp_path: Path) -> Searcher:
    artifacts = Store(f"s3://{scene.cloud.artifacts}", s3_endpoint=url)
    settings = Settings(refresh_seconds=0.001)
    return Searcher(artifacts, "shop", settings, Encoders(artifacts, tmp_path), tmp_path)


def ids_of(found: Searcher) -> set[str]:
    query = Query((QueryPart("id", "hat/0.jpg"),), limit=100)
    return {match.item.id for match in found.search(query).matches}


@pytest.mark.parametrize("place", ["changed", "items.lance/_versions", "vectors"])
def test_a_commit_while_a_reader_looks_is_not_missed(scene: Scene, tmp_path: Path, place: str) -> None:
    """Wherever it happens between the reader's requests, the next refresh has it."""
    recorder = Recorder(scene.cloud.server)
    reader = searcher(scene, recorder.url, tmp_path)
    reader.refresh(force=True)
    name, committed = f"race/{place.partition('/')[0]}.jpg", []

    def commit(request: Request) -> None:
        if place in unquote(request.path) and not committed:
            committed.append(request.path)
            scene.take_in(name)

    change_token.mark_changed(scene.shop.artifacts, "shop")  # so that the reader looks at everything
    recorder.after = commit
    reader.refresh()
    assert committed
    time.sleep(0.01)
    reader.refresh()
    assert name in ids_of(reader)
    recorder.forwarder.close()


def test_a_writer_killed_before_it_changed_the_token_delays_its_change(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = searcher(scene, scene.cloud.server, tmp_path)
    reader.refresh(force=True)
    known = ids_of(reader)
    writer: list[LambdaProcess] = []

    def kill(request: Request) -> Response | None:
        if request.method == "PUT" and request.path.endswith("/changed"):
            writer[0].kill()
            return None
        return forwarder.forward(request)

    with HttpForwarder(scene.cloud.server) as forwarder:
        forwarder.handle = kill
        way = {"AWS_ENDPOINT_URL": forwarder.url, "LOOKALIKE_S3_ENDPOINT": forwarder.url}
        writer.append(scene.cloud.process("ingest", **way))
        scene.cloud.bodies("uploads")
        scene.shop.put("belt/killed.jpg", picture(321))
        with pytest.raises(FunctionError, match=r"Runtime\.ExitError"):
            writer[0].invoke(batch_of(scene.cloud.bodies("uploads")))
        writer[0].close()
    assert scene.shop.catalogue.item("belt/killed.jpg")
    reader.refresh()
    assert ids_of(reader) == known
    monkeypatch.setattr(change_token, "FULL_LOOK_SECONDS", 0.5)
    eventually(lambda: ids_of(reader) == known | {"belt/killed.jpg"}, seconds=10)
