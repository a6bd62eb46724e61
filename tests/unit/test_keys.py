from __future__ import annotations

import json
import threading

import pytest

from lookalike.api.keys import KEYS_PATH, SCOPES, Keys
from lookalike.errors import Forbidden, Incompatible, InvalidInput, NotFound, Unauthenticated
from lookalike.storage import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


@pytest.fixture
def keys(store):
    return Keys(store)


def test_a_key_may_do_what_its_scopes_say(keys):
    created = keys.create("shop", ["read"])
    assert keys.check(created.key, "read") == created.info
    with pytest.raises(Forbidden, match=r"got scopes read; expected write"):
        keys.check(created.key, "write")


def test_a_key_has_both_scopes_unless_told_otherwise_and_write_alone_cannot_read(keys):
    both = keys.create("both").key
    writer = keys.create("writer", ["write"]).key
    for scope in SCOPES:
        keys.check(both, scope)
    keys.check(writer, "write")
    with pytest.raises(Forbidden):
        keys.check(writer, "read")


def test_nothing_at_rest_gives_the_key_away(keys, store):
    created = keys.create("shop")
    _, id, secret = created.key.split("_", 2)
    assert len(secret) >= 43  # 256 bits in base64
    kept = store.get(KEYS_PATH).data.decode()
    assert id in kept
    assert secret not in kept
    assert created.key not in kept


def test_equal_secrets_would_have_different_hashes(keys, store):
    keys.create("one")
    keys.create("two")
    one, two = json.loads(store.get(KEYS_PATH).data)["keys"]
    assert one["salt"] != two["salt"]
    assert one["hash"] != two["hash"]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        None,
        "lk",
        "lk_",
        "lk__",
        "nonsense",
        "lk_0123456789ab_wrong",
        "lk___",
        "\ud800",
        "lk_é_ü",
        "_",
        "x" * 10_000,
    ],
)
def test_what_is_no_key_is_refused(keys, wrong):
    keys.create("shop")
    with pytest.raises(Unauthenticated):
        keys.check(wrong, "read")


def test_a_key_with_anything_changed_is_refused(keys):
    key = keys.create("shop").key
    other = keys.create("other").key
    _, id, secret = key.split("_", 2)
    for wrong in (
        f"lk_{id}_{secret[:-1]}",
        f"lk_{id}_{secret}x",
        f"lk_{other.split('_')[1]}_{secret}",
        f"xx_{id}_{secret}",
        f"lk_{id}_{'A' * len(secret)}",
    ):
        with pytest.raises(Unauthenticated):
            keys.check(wrong, "read")


def test_a_revoked_key_is_refused_at_once_and_others_stay(keys):
    gone, kept = keys.create("gone"), keys.create("kept")
    keys.revoke(gone.info.id)
    with pytest.raises(Unauthenticated):
        keys.check(gone.key, "read")
    keys.check(kept.key, "read")
    assert [info.name for info in keys.list()] == ["kept"]
    with pytest.raises(NotFound):
        keys.revoke(gone.info.id)


def test_another_process_sees_changes_after_the_refresh_time(store):
    ours, theirs = Keys(store), Keys(store, refresh_seconds=0)
    created = ours.create("shop")
    theirs.check(created.key, "read")
    ours.revoke(created.info.id)
    with pytest.raises(Unauthenticated):
        theirs.check(created.key, "read")


def test_a_key_that_another_process_made_works_soon(store, monkeypatch):
    monkeypatch.setattr("lookalike.api.keys.NEW_KEY_SECONDS", 0)
    ours = Keys(store, refresh_seconds=3_600)
    assert ours.list() == []
    ours.check(Keys(store).create("new").key, "read")


def test_between_refreshes_the_store_is_not_asked(store):
    keys = Keys(store, refresh_seconds=3_600)
    key = keys.create("shop").key
    store.delete(KEYS_PATH)
    keys.check(key, "read")


def test_keys_made_at_the_same_time_are_all_kept(store):
    failures = []

    def make(number):
        try:
            Keys(store).create(f"key {number}")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert {info.name for info in Keys(store).list()} == {f"key {number}" for number in range(8)}


@pytest.mark.parametrize(
    ("name", "scopes"),
    [("", ["read"]), ("x" * 101, ["read"]), ("a\nb", ["read"]), ("x", []), ("x", ["admin"])],
)
def test_a_key_without_name_or_usable_scopes_is_not_made(keys, name, scopes):
    with pytest.raises(InvalidInput):
        keys.create(name, scopes)
    assert keys.list() == []


@pytest.mark.parametrize(
    "damaged", [b"", b"{}", b"[]", b'{"format": 2, "keys": []}', b'{"format": 1, "keys": [{}]}']
)
def test_a_damaged_file_is_named_and_no_key_is_accepted(store, damaged):
    store.put(KEYS_PATH, damaged)
    with pytest.raises(Incompatible, match=r"keys\.json"):
        Keys(store).check("lk_a_b", "read")
