"""Reads notifications of an S3 bucket: which object was created or removed.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html. They are delivered
at least once and in any order; `sequencer` orders those of one key. Keys are encoded as in an HTML form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_plus

from lookalike.catalogue import normalise_sequencer
from lookalike.catalogue.sequencer import sequencer_of_time
from lookalike.errors import InvalidInput
from lookalike.integrity import load_json

TEST_EVENT = "s3:TestEvent"
CREATED = "ObjectCreated:"
REMOVED = "ObjectRemoved:"
VERSION_REMOVED = "ObjectRemoved:Delete"


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one object.

    Attributes:
        key: relative to the images root.
        kind: it was created; it was removed; or one of its versions was deleted permanently. In the last case
            the previous version may be the newest again, so the reader has to check the bucket.
        sequencer: orders the changes of one key, normalised.
        version_id: the version that was created, in a versioned bucket.
    """

    key: str
    kind: Literal["created", "removed", "version_removed"]
    sequencer: str
    version_id: str | None = None

    @property
    def collection(self) -> str:
        """The first folder of the key."""
        return self.key.partition("/")[0]


@dataclass(slots=True)
class Notification:
    """The content of one message.

    Attributes:
        changes: the changes in it.
        problem: why a part of it could not be read. No retry helps: the message belongs in the dead-letter
            queue.
    """

    changes: list[Change] = field(default_factory=list)
    problem: InvalidInput | None = None


class NotificationReader:
    """Reads messages about one images root.

    Args:
        images_url: `s3://bucket/prefix`; changes below other prefixes are ignored.
    """

    def __init__(self, images_url: str) -> None:
        self._bucket, _, prefix = images_url.removeprefix("s3://").strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    def read(self, body: str) -> Notification:
        """The content of a message's body. The readable part is returned even if the rest is not."""
        found = Notification()
        try:
            records = _records(body)
        except InvalidInput as error:
            found.problem = error
            return found
        for record in records:
            try:
                change = self._change(record)
            except InvalidInput as error:
                found.problem = error
            else:
                found.changes += [change] if change else []
        return found

    def _change(self, record: Mapping[str, Any]) -> Change | None:
        try:
            name = str(record["eventName"]).removeprefix("s3:")
            bucket, entry = str(record["s3"]["bucket"]["name"]), record["s3"]["object"]
            key = unquote_plus(entry["key"], errors="strict")
            sequencer = str(entry.get("sequencer") or "") or sequencer_of_time(str(record["eventTime"]))
            version = entry.get("versionId")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _malformed(f"{type(error).__name__}: {error}") from error
        if bucket != self._bucket:
            raise InvalidInput("a notification comes from another bucket", got=bucket, expected=self._bucket)
        if not key.startswith(self._prefix) or not name.startswith((CREATED, REMOVED)):
            return None
        key = key.removeprefix(self._prefix)
        if name.startswith(CREATED):
            return Change(key, "created", normalise_sequencer(sequencer), version)
        # Without a version id the bucket is not versioned, and a removed object is gone.
        is_version = name == VERSION_REMOVED and version is not None
        return Change(key, "version_removed" if is_version else "removed", normalise_sequencer(sequencer))


def _records(body: str) -> list[Any]:
    try:
        document = load_json(body)
    except ValueError as error:
        raise _malformed(repr(body[:200])) from error
    if isinstance(document, dict) and document.get("Event") == TEST_EVENT:
        return []
    records = document.get("Records") if isinstance(document, dict) else None
    if not isinstance(records, list):
        raise _malformed(repr(body[:200]))
    return records


def _malformed(got: str) -> InvalidInput:
    return InvalidInput("not a notification of S3", got=got, expected="JSON with `Records`")
