"""Damage to stored files: a changed bit never changes an answer, and no reader fails with a foreign error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.photos import write_photos
from fixtures.repetition import seeded, times
from hypothesis import given
from hypothesis import strategies as st

import lookalike
from lookalike.api.item_map import snapshot_positions
from lookalike.api.keys import Keys, parse_keys
from lookalike.aws.build_queue import collection_of
from lookalike.aws.events import NotificationReader
from lookalike.aws.training.artefact import NOTES, Artefact
from lookalike.collection_config import CollectionConfig
from lookalike.encoders import EncoderManifest
from lookalike.errors import Damaged, LookalikeError
from lookalike.integrity import CHECKSUM, convert, load_json, seal
from lookalike.library import Library
from lookalike.snapshots import (
    Pointer,
    Snapshot,
    SnapshotManifest,
    Switch,
    Switches,
    begin_switch,
    read_switches,
    snapshot_folder,
)
from lookalike.training.sources.dataset import Dataset
from lookalike.training_jobs import Training, Trainings

FLIPS = times(60, soak=1_000)
PHOTOS = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folder: Path) -> Path:
    """A store with a calibrated snapshot, a training, an API key and a history of encoders."""
    folder = tmp_path_factory.mktemp("damage")
    write_photos(folder / "photos", PHOTOS)
    library = lookalike.open(str(folder / "store"), cache=folder / "cache")
    library.encoders.add(tiny_encoder_folder)
    shop = library.create_collection("shop")
    shop.add(folder / "photos")
    made = library.build_snapshot("shop")
    assert made.confidence is not None
    assert made.hashes.keys() == {*made.files, *made.side_files}
    Keys(library.artifacts).create("someone")
    Trainings(library.artifacts, "shop").create(Training("", "shop", "collection"))
    begin_switch(library.artifacts, "shop", Switch("publish", "b-1", made.encoder_id, made.id, "better"))
    return folder


def opened(store: Path) -> Library:
    """The library as a new process opens it."""
    return lookalike.open(str(store / "store"), cache=store / "cache")


def artifacts_of(library: Library) -> list[Path]:
    """The files that have a hash or a checksum. Tables of Lance have none; of tokens only the ETag counts."""
    root = library.artifacts.folder
    assert root is not None
    found = [info.path for info in library.artifacts.list()]
    return [root / path for path in sorted(found) if ".lance/" not in path and not path.endswith("/changed")]


def answers(store: Path) -> list[Any]:
    """What users get from a store: each part, or the error of ours in its place."""
    library = opened(store)
    photo = (store / "photos" / "hats" / "0000.jpg").read_bytes()
    asks: list[Callable[[], Any]] = [
        lambda: library.collections.get("shop"),
        lambda: _found(library, image=photo),
        lambda: _found(library, id="shoes/0001.jpg", filter={"price": {"lt": 30}}, k=20),
        lambda: library.collection("shop").item("bags/0002.jpg"),
        lambda: library.encoders.get("tiny").held_out,
        lambda: read_switches(library.artifacts, "shop"),
        lambda: Keys(library.artifacts).list(),
        lambda: Trainings(library.artifacts, "shop").get(_training_id(library)),
        lambda: snapshot_positions(library, _snapshot(library), "shop").tolist(),
    ]
    return [_or_error(ask) for ask in asks]


def _found(library: Library, **query: Any) -> list[Any]:
    matches = library.collection("shop").search(**query).matches
    return [(match.item, match.score, match.confidence) for match in matches]


def _training_id(library: Library) -> str:
    (found,) = library.artifacts.list_folders("collections/shop/trainings")
    return found


def _snapshot(library: Library) -> Snapshot:
    snapshot = library.searcher("shop").state().snapshot
    assert snapshot is not None
    return snapshot


def _or_error(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except LookalikeError as error:
        return error


def test_damage_of_one_bit_never_changes_an_answer(store: Path) -> None:
    """Flips single bits, file by file: each answer is the same as before, or an error of ours."""
    expected = answers(store)
    assert not any(isinstance(each, Exception) for each in expected)
    files = artifacts_of(opened(store))
    kinds = {file.name for file in files}
    assert kinds >= {"collection.json", "current.json", "snapshot.json", "items.arrow", "encoder.json"}
    assert kinds >= {"encoder.tflite", "index.annoy", "encoders.json", "training.json", "keys.json"}
    numbers = np.random.default_rng(seeded(5))
    errors = 0
    for flip in range(FLIPS):
        file = files[flip % len(files)]
        whole = file.read_bytes()
        place, bit = int(numbers.integers(len(whole))), int(numbers.integers(8))
        changed = bytearray(whole)
        changed[place] ^= 1 << bit
        try:
            file.write_bytes(changed)
            for before, after in zip(expected, answers(store), strict=True):
                if isinstance(after, LookalikeError):
                    errors += 1
                else:
                    assert after == before, f"bit {bit} of byte {place} of {file} changed an answer"
        finally:
            file.write_bytes(whole)
    assert errors > FLIPS // 2
    assert answers(store) == expected


def test_another_value_of_the_right_type_is_damage_too() -> None:
    at = "2026-01-01T00:00:00+00:00"
    config, training = (
        CollectionConfig("shop", "tiny-1", created_at=at),
        Training("i", "shop", "zip", created_at=at),
    )
    for data, parse in (
        (config.dump(), lambda data: CollectionConfig.parse(data, "shop")),
        (training.dump(), Training.parse),
    ):
        assert parse(data) in (config, training)
        without = {key: value for key, value in json.loads(data).items() if key != "checksum"}
        assert parse(json.dumps(without).encode()) in (config, training)  # as earlier versions wrote it
        with pytest.raises(Damaged, match="its checksum does not match"):
            parse(data.replace(b"2026", b"2024"))


def test_a_damaged_collection_hurts_no_other_and_can_be_deleted(store: Path) -> None:
    library = opened(store)
    library.create_collection("hurt")
    path = library.artifacts.local_path("collections/hurt/collection.json")
    assert path is not None
    # With the checksum that the next version will write.
    path.write_bytes(seal(json.loads(path.read_bytes())).replace(b"0.95", b"0.15"))
    readable, unreadable = library.collections.all()
    assert [config.name for config in readable] == ["shop"]
    assert list(unreadable) == ["hurt"]
    assert "delete the collection" in str(unreadable["hurt"])
    with pytest.raises(Damaged, match="checksum"):
        library.collection("hurt")
    assert library.collection("shop").search(id="hats/0000.jpg").matches
    library.delete_collection("hurt")
    assert library.collections.names() == ["shop"]


def test_a_damaged_snapshot_is_built_again(store: Path) -> None:
    """The next build notices the damage, without --force: of a file, of the manifest, and of the pointer."""
    library = opened(store)
    for name in ("items.arrow", "index.annoy", "snapshot.json", "current.json"):
        before = library.build_snapshot("shop")
        folder = library.artifacts.local_path(snapshot_folder("shop", before.id))
        assert folder is not None
        path = folder.parents[1] / name if name == "current.json" else folder / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(Damaged, match="snapshot build --force") as refusal:
            opened(store).collection("shop").search(id="hats/0000.jpg")
        assert str(store) not in str(refusal.value), "callers of the API learn no path of the server"
        assert library.build_snapshot("shop").id != before.id
        assert opened(store).collection("shop").search(id="hats/0000.jpg").matches


def test_a_missing_file_of_a_snapshot_is_damage(store: Path) -> None:
    library = opened(store)
    made = library.build_snapshot("shop")
    path = library.artifacts.local_path(f"{snapshot_folder('shop', made.id)}/items.arrow")
    assert path is not None
    path.unlink()
    with pytest.raises(Damaged, match=r"no items\.arrow") as refusal:
        opened(store).collection("shop").search(id="hats/0000.jpg")
    assert str(store) not in str(refusal.value), "callers of the API learn no path of the server"
    library.build_snapshot("shop")
    assert opened(store).collection("shop").search(id="hats/0000.jpg").matches


def test_a_searcher_keeps_its_state_while_the_next_snapshot_is_damaged(store: Path) -> None:
    library = opened(store)
    found = library.collection("shop").search(id="hats/0000.jpg")
    made = opened(store).build_snapshot("shop", force=True)
    folder = library.artifacts.local_path(snapshot_folder("shop", made.id))
    assert folder is not None
    whole = (folder / "items.arrow").read_bytes()
    try:
        (folder / "items.arrow").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        searcher = library.searcher("shop")
        with pytest.raises(Damaged):
            searcher.refresh(force=True)
        again = library.collection("shop").search(id="hats/0000.jpg")
        assert (again.snapshot, again.matches) == (found.snapshot, found.matches)
        assert "damaged" in (searcher.status().problem or "")
    finally:
        (folder / "items.arrow").write_bytes(whole)


# Readers of JSON documents

SAMPLES: dict[str, tuple[Any, Callable[[bytes], Any]]] = {
    "collection.json": (
        json.loads(
            CollectionConfig("shop", "tiny-1", n_trees=3, created_at="2026-01-01T00:00:00+00:00").dump()
        ),
        lambda data: CollectionConfig.parse(data, "shop"),
    ),
    "current.json": (
        json.loads(Pointer("a", "e", "2026-01-01T00:00:00+00:00").followed_by("b", "e").dump()),
        Pointer.parse,
    ),
    "encoders.json": (
        json.loads(Switches((Switch("publish", "b", "a", None, "why", comparison={"a": [1.5]}),)).dump()),
        Switches.parse,
    ),
    "training.json": (json.loads(Training("i", "shop", "zip", notes=("n",)).dump()), Training.parse),
    "keys.json": (
        {
            "format": 1,
            "keys": [
                {"id": "a", "name": "b", "scopes": ["read"], "created_at": "", "salt": "00", "hash": "00"}
            ],
        },
        parse_keys,
    ),
    "message": ({"collection": "shop"}, lambda data: collection_of(data.decode(errors="replace"))),
    "notification": (
        {
            "Records": [
                {
                    "eventName": "ObjectCreated:Put",
                    "eventTime": "2026-01-01T00:00:00.000Z",
                    "s3": {"bucket": {"name": "b"}, "object": {"key": "shop/images/a", "sequencer": "0A"}},
                }
            ]
        },
        lambda data: NotificationReader("s3://b").read(data.decode(errors="replace")),
    ),
}


def _read_notes(folder: Path, data: bytes) -> object:
    (folder / NOTES).write_bytes(data)
    return Artefact(folder).notes


def _read_dataset(folder: Path, head: bytes = b"", data: bytes = b"") -> object:
    """A data set of two classes, with one line in place of its header, or after its images."""
    images = [
        f'{{"id": "{name}", "path": "{name}", "label": "{name[0]}"}}'.encode() for name in ("b/1", "c/1")
    ]
    (folder / "set.jsonl").write_bytes(b"\n".join([head, *images, *([data] if data else [])]))
    return Dataset.read(folder / "set.jsonl")


@pytest.fixture(scope="module")
def readers(
    store: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Any, Callable[[bytes], Any]]]:
    """A document and its reader, by name; each also as earlier versions wrote it, without a checksum."""
    library, folder = opened(store), tmp_path_factory.mktemp("documents")
    manifest = library.build_snapshot("shop")
    encoder = library.encoders.get(manifest.encoder_id)
    found = SAMPLES | {
        "snapshot.json": (json.loads(manifest.dump()), SnapshotManifest.parse),
        "encoder.json": (json.loads(encoder.dump()), EncoderManifest.parse),
        "notes.json": (["a note"], lambda data: _read_notes(folder, data)),
        "notes of a data set": ({"format": 1, "notes": ["n"]}, lambda data: _read_dataset(folder, data)),
        "image of a data set": (
            {"id": "a/1", "path": "a/1", "label": "a"},
            lambda data: _read_dataset(folder, data=data, head=b'{"format": 1, "notes": []}'),
        ),
    }
    older = {
        f"{name}, older": ({field: value for field, value in document.items() if field != CHECKSUM}, parse)
        for name, (document, parse) in found.items()
        if isinstance(document, dict)
    }
    return found | older


ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    10**400,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "\ud800",
    "x" * 5_000,
    [],
    {},
    [[]],
    [None],
    {"": None},
    "2026-13-99",
    [["a"] * 3],
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in pairs:
        yield from _places(each, (*path, name))


def _with(value: Any, path: tuple[Any, ...], wanted: Any) -> Any:
    if not path:
        return wanted
    changed = value.copy()
    changed[path[0]] = _with(value[path[0]], path[1:], wanted)
    return changed


@st.composite
def damage(draw: st.DrawFn, document: Any) -> bytes:
    """The document, damaged in one of the ways that disks, copies and other programs have."""
    data = bytearray(json.dumps(document).encode())
    match draw(st.sampled_from(["cut", "bit", "value", "missing", "deep", "number", "bytes", "empty"])):
        case "cut":
            return bytes(data[: draw(st.integers(0, len(data) - 1))])
        case "bit":
            data[draw(st.integers(0, len(data) - 1))] ^= 1 << draw(st.integers(0, 7))
            return bytes(data)
        case "value":
            path = draw(st.sampled_from(list(_places(document))))
            return json.dumps(_with(document, path, draw(st.sampled_from(ODD_VALUES)))).encode()
        case "missing":
            paths = [path for path in _places(document) if path and isinstance(path[-1], str)]
            text = json.dumps(draw(st.sampled_from(paths))[-1] if paths else "a")
            return bytes(data).replace(text.encode(), b'"other"', 1)
        case "deep":
            return draw(st.sampled_from([b"[", b'{"a":', b'{"format": 1, "x":'])) * 200_000
        case "number":
            return bytes(data).replace(b": 1", b": " + b"9" * draw(st.sampled_from([30, 400, 5_000])), 1)
        case "bytes":
            place = draw(st.integers(0, len(data)))
            return bytes(data[:place]) + draw(st.binary(min_size=1, max_size=8)) + bytes(data[place:])
        case _:
            return draw(st.sampled_from([b"", b"\0", b"null", b"\xff\xfe", b"[]", b"\0" * 64, b"1", b'""']))


@given(data=st.data())
def test_any_damaged_document_is_read_or_refused_with_an_error_of_ours(
    readers: dict[str, tuple[Any, Callable[[bytes], Any]]], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(readers)))
    document, parse = readers[name]
    whole = parse(json.dumps(document).encode())
    try:
        found = parse(data.draw(damage(document)))
    except LookalikeError:
        pass
    else:
        if isinstance(document, dict) and CHECKSUM in document:
            assert found == whole


def test_any_reader_reads_its_own_document(readers: dict[str, tuple[Any, Callable[[bytes], Any]]]) -> None:
    for document, parse in readers.values():
        parse(json.dumps(document).encode())


@pytest.mark.parametrize("text", [b"[" * 200_000, b'{"a":' * 200_000, b"\xff", b"9" * 5_000])
def test_load_json_raises_value_error_alone(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"nested|decode|digits"):
        load_json(text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, True),
        (int, 1.0),
        (str, None),
        (float, "1"),
        (tuple[int, ...], [1, "2"]),
        (dict[str, int], {"a": []}),
        (int | None, "x"),
        (Training, {"id": "a"}),
        (Switch, {"kind": "other"}),
    ],
)
def test_convert_refuses_other_types(kind: Any, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        convert(kind, value)


def test_convert_restores_what_json_turned_into_lists() -> None:
    given_ = Training("a", "b", "zip", notes=("x", "y"), metrics={"loss": 1})
    assert convert(Training, json.loads(json.dumps(asdict(given_)))) == given_
