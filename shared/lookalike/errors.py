"""Every error that lookalike raises on purpose.

LookalikeError
├── InvalidInput                what the caller sent cannot be right
│   ├── SettingsError           an option or environment variable
│   ├── FilterError             a search filter
│   ├── MetadataError           a metadata file as a whole (a bad row is reported, not raised)
│   ├── UnsupportedMetric       an engine was asked for a metric it does not compute
│   ├── BodyTooLarge            a request body over its byte limit; refused before all of it is read
│   ├── UnsupportedContentType  a request body of a media type that the operation does not take
│   └── ImageRejected           bytes that will never become a vector; carries a `reason` code
│       ├── ImageTooLarge       over the byte or pixel limit
│       └── UnsupportedFormat   not an image format that lookalike reads
├── NotFound
│   ├── ObjectNotFound          a path in the object store
│   ├── CollectionNotFound
│   ├── ItemNotFound
│   ├── EncoderNotFound
│   ├── BackboneNotFound       cannot be loaded: unknown name, empty folder, failed download
│   ├── SnapshotNotFound
│   └── TrainingNotFound
├── Conflict                    somebody else changed it first, or it exists already
├── NotReady                    nothing published to search yet; try again later
├── Busy                        too much work is waiting already; try again later
├── Incompatible                two parts do not fit together; names both sides
├── TrainingCancelled           somebody asked for it; what was computed is kept for the next run
├── EncoderRejected             an exported encoder departs from its original too much
├── AccessDenied
│   ├── Unauthenticated         no key, or an unknown one
│   └── Forbidden               a known key without the needed scope
└── StoreUnavailable            the object store failed in a way that may pass
"""

from __future__ import annotations


class LookalikeError(Exception):
    """Base of all errors here. Its text says what was got, what was expected and what to do.

    Args:
        problem: one sentence, no full stop.
        got: the offending value, as the user would recognise it.
        expected: what would have been accepted.
        fix: what to do now.
    """

    def __init__(
        self, problem: str, *, got: object = None, expected: object = None, fix: str | None = None
    ) -> None:
        self.problem = problem
        self.got = got
        self.expected = expected
        self.fix = fix
        parts = [problem]
        if got is not None:
            parts.append(f"got {got}")
        if expected is not None:
            parts.append(f"expected {expected}")
        text = "; ".join(parts)
        super().__init__(f"{text}. {fix}" if fix else text)


class InvalidInput(LookalikeError, ValueError):
    """What the caller sent cannot be right."""


class SettingsError(InvalidInput):
    """An option or environment variable has a value that cannot be used."""


class FilterError(InvalidInput):
    """A search filter names an unknown field or operator, or compares unlike types."""


class MetadataError(InvalidInput):
    """A metadata file cannot be read at all."""


class UnsupportedMetric(InvalidInput):
    """An index engine was asked for a metric that it does not compute."""


class BodyTooLarge(InvalidInput):
    """A request body is over its byte limit."""


class UnsupportedContentType(InvalidInput):
    """A request body has a media type that the operation does not take."""


class ImageRejected(InvalidInput):
    """Bytes that will never become a vector.

    `reason` is a stable code for machines: `empty`, `unsupported_format`, `undecodable`,
    `too_many_bytes`, `too_many_pixels`, `too_wide`.
    """

    def __init__(
        self,
        reason: str,
        problem: str,
        *,
        got: object = None,
        expected: object = None,
        fix: str | None = None,
    ) -> None:
        self.reason = reason
        super().__init__(problem, got=got, expected=expected, fix=fix)


class ImageTooLarge(ImageRejected):
    """Over the byte, pixel or side limit."""


class UnsupportedFormat(ImageRejected):
    """Not an image format that lookalike reads."""


class NotFound(LookalikeError, LookupError):
    """What was named does not exist."""


class ObjectNotFound(NotFound):
    """No object at this path of the store."""


class CollectionNotFound(NotFound):
    """No collection of this name."""


class ItemNotFound(NotFound):
    """No item of this id in the collection."""


class EncoderNotFound(NotFound):
    """No encoder of this id."""


class BackboneNotFound(NotFound):
    """A backbone cannot be loaded: an unknown name, a folder without a model, a failed download."""


class SnapshotNotFound(NotFound):
    """No snapshot of this id."""


class TrainingNotFound(NotFound):
    """No training of this id, or no such part of it."""


class Conflict(LookalikeError):
    """Somebody else changed it first, or it exists already."""


class NotReady(LookalikeError):
    """Nothing is published to search yet."""


class Busy(LookalikeError):
    """Too much work is waiting already."""


class Incompatible(LookalikeError):
    """Two parts (encoder, index, snapshot, reader) do not fit together."""


class TrainingCancelled(LookalikeError):
    """A training was cancelled."""


class EncoderRejected(LookalikeError):
    """An exported encoder departs from its original by more than the stated bound."""


class AccessDenied(LookalikeError):
    """The caller may not do this."""


class Unauthenticated(AccessDenied):
    """No API key was sent, or an unknown one."""


class Forbidden(AccessDenied):
    """The API key lacks the needed scope."""


class StoreUnavailable(LookalikeError):
    """The object store failed in a way that may pass: a time-out, throttling, a broken connection."""
