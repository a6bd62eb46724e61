"""API keys: shown once when they are created, stored as keyed hashes in `keys.json` of the artifacts root.

A key is 256 random bits. It cannot be guessed at any hashing speed, so one HMAC-SHA256 with its own salt is
enough and takes microseconds (NIST SP 800-63B §5.1.2.2 requires an approved one-way function for secrets of
at least 112 bits; slow hashes are for passwords that people remember).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import get_args

from lookalike.change_token import ChangeTokens, Sighting, mark_all_changed
from lookalike.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    ObjectNotFound,
    Unauthenticated,
)
from lookalike.integrity import convert, reading, seal, unseal
from lookalike.storage import Store
from lookalike.types import Scope

KEYS_PATH = "keys.json"
FORMAT = 1
SCOPES: tuple[Scope, ...] = get_args(Scope)
SECRET_BYTES = 32
NEW_KEY_SECONDS = 0.5
"""Minimum interval between key reloads caused by unknown keys, which may be new."""
SWAP_ATTEMPTS = 20
MAX_NAME_CHARACTERS = 100
_PREFIX = "lk"
_DAMAGE_FIX = "Restore it from a backup, or delete it and create the keys again."
_FIX = "Create a key with `lookalike keys create`."


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """The public data of a key: everything except the key itself."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: str


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key. `key` is not stored; it can be read only now."""

    key: str
    info: KeyInfo


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: str
    salt: str
    hash: str

    def has(self, secret: str) -> bool:
        """Whether it has this secret, compared in constant time."""
        return hmac.compare_digest(_hash(secret, self.salt), self.hash)

    @property
    def info(self) -> KeyInfo:
        return KeyInfo(self.id, self.name, self.scopes, self.created_at)


# Compared if no key has the given id, so that the check takes as long as for a wrong secret.
_UNKNOWN = _Record("", "", (), "", "00" * 16, "00" * 32)


class Keys:
    """The API keys of one artifacts root. Safe to share between threads.

    A key that another process created works after `NEW_KEY_SECONDS`. A key that it revoked is rejected after
    `refresh_seconds` at most.

    Args:
        artifacts: the artifacts store.
        refresh_seconds: see above.
        tokens: show whether the keys changed, where a collection is named; None: the keys are read again.
    """

    def __init__(
        self, artifacts: Store, *, refresh_seconds: float = 5.0, tokens: ChangeTokens | None = None
    ) -> None:
        self._artifacts = artifacts
        self._tokens = tokens
        self._sightings: dict[str, Sighting] = {}
        self._refresh_seconds = refresh_seconds
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}
        self._etag: str | None = None
        self._read_at = float("-inf")

    def create(self, name: str, scopes: Sequence[Scope] = SCOPES) -> CreatedKey:
        """Create a key with these scopes. `write` does not include `read`.

        Raises:
            InvalidInput: the name or the scopes are missing, or a scope is unknown.
            StoreUnavailable: the store failed.
        """
        if not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
            raise InvalidInput("a key needs a name", got=repr(name), expected="1 to 100 printable characters")
        if not scopes or set(scopes) - set(SCOPES):
            raise InvalidInput(
                "a key needs scopes", got=", ".join(scopes) or "none", expected="read, write or both"
            )
        secret = secrets.token_urlsafe(SECRET_BYTES)
        salt = secrets.token_hex(16)
        record = _Record(
            id=secrets.token_hex(6),
            name=name,
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            salt=salt,
            hash=_hash(secret, salt),
        )
        self._change(lambda records: records | {record.id: record})
        return CreatedKey(f"{_PREFIX}_{record.id}_{secret}", record.info)

    def list(self) -> list[KeyInfo]:
        """All valid keys, oldest first."""
        records = self._refresh(older_than=0).values()
        return sorted((record.info for record in records), key=lambda info: (info.created_at, info.id))

    def revoke(self, id: str) -> KeyInfo:
        """Revoke the key of this id. Raises NotFound."""
        found = self._refresh(older_than=0).get(id)
        if found is None:
            raise NotFound("no API key has this id", got=id, fix="`lookalike keys list` shows the ids.")
        self._change(lambda records: {other: record for other, record in records.items() if other != id})
        return found.info

    def check(self, key: str | None, scope: Scope, *, collection: str | None = None) -> KeyInfo:
        """The data of `key`, if it has the scope.

        Args:
            key: as the caller sent it.
            scope: what the caller wants to do.
            collection: with which collection, if it is known. Then the keys are only read again if the
                collection's change token has changed.

        Raises:
            Unauthenticated: the key is missing or unknown.
            Forbidden: the key lacks `scope`.
        """
        if not key:
            raise Unauthenticated(
                "this operation needs an API key", expected="Authorization: Bearer <key>", fix=_FIX
            )
        prefix, _, rest = key.partition("_")
        id, _, secret = rest.partition("_")
        records = self._current(id, secret, collection)
        record = records.get(id) or self._refresh(older_than=NEW_KEY_SECONDS).get(id, _UNKNOWN)
        if not record.has(secret) or prefix != _PREFIX or record is _UNKNOWN:
            raise Unauthenticated("unknown API key", fix=_FIX)
        if scope not in record.scopes:
            raise Forbidden(
                "the API key lacks the scope", got=f"scopes {', '.join(record.scopes)}", expected=scope
            )
        return record.info

    def _current(self, id: str, secret: str, collection: str | None) -> dict[str, _Record]:
        """The keys as they were `refresh_seconds` ago, or later."""
        is_first = self._read_at == float("-inf")
        is_recent = time.monotonic() - self._read_at < self._refresh_seconds
        # Callers without a key must not cause a request for each name that they try.
        may_look = is_first or self._records.get(id, _UNKNOWN).has(secret)
        if self._tokens is None or collection is None or is_recent or not may_look:
            return self._refresh()
        now = self._tokens.look(collection, max_age=self._refresh_seconds)
        before = self._sightings.get(collection)
        if before is not None and before.is_unchanged(now):
            return self._records
        records = self._refresh(older_than=0)
        if now.token is not None:
            self._sightings[collection] = now  # read before the keys
        return records

    def _refresh(self, *, older_than: float | None = None) -> dict[str, _Record]:
        """The keys, reloaded if they are older than `older_than` seconds (by default `refresh_seconds`)."""
        with self._lock:
            now = time.monotonic()
            if now - self._read_at >= (self._refresh_seconds if older_than is None else older_than):
                try:
                    if blob := self._artifacts.get_if_changed(KEYS_PATH, self._etag):
                        self._records, self._etag = parse_keys(blob.data), blob.etag
                except ObjectNotFound:
                    self._records, self._etag = {}, None
                self._read_at = now
            return self._records

    def _change(self, change: Callable[[dict[str, _Record]], dict[str, _Record]]) -> None:
        for _ in range(SWAP_ATTEMPTS):
            records = self._refresh(older_than=0)
            if self._artifacts.replace(KEYS_PATH, _render(change(records)), etag=self._etag):
                self._refresh(older_than=0)
                mark_all_changed(self._artifacts)
                return
        raise Conflict("other processes kept changing the API keys", fix="Try again.")


def _hash(secret: str, salt: str) -> str:
    return hmac.new(bytes.fromhex(salt), secret.encode(errors="replace"), hashlib.sha256).hexdigest()


def _render(records: dict[str, _Record]) -> bytes:
    keys = [asdict(record) for record in records.values()]
    return seal({"format": FORMAT, "keys": keys})


def parse_keys(data: bytes) -> dict[str, _Record]:
    """The records in the bytes of `keys.json`, by id. Raises Damaged, or Incompatible for another format."""
    document = unseal(data, KEYS_PATH, format=FORMAT, known={"format", "keys"}, fix=_DAMAGE_FIX)
    with reading(KEYS_PATH, _DAMAGE_FIX):
        records = convert(tuple[_Record, ...], document["keys"])
        for record in records:
            bytes.fromhex(record.salt), bytes.fromhex(record.hash)
        return {record.id: record for record in records}
