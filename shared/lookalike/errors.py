"""The errors that lookalike raises on purpose.

LookalikeError
├── InvalidInput                the caller's input is invalid
│   ├── SettingsError           an option or environment variable
│   ├── FilterError             a search filter
│   ├── MetadataError           a metadata file as a whole (a bad row is only reported)
│   ├── UnsupportedMetric       the engine does not support the metric
│   ├── BodyTooLarge            a request body over its limit; rejected before it is read completely
│   ├── UnsupportedContentType  a media type that the operation does not accept
│   └── ImageRejected           an image that can never be indexed; has a `reason` code
│       ├── ImageTooLarge       over the byte or pixel limit
│       └── UnsupportedFormat   not a supported image format
├── NotFound
│   ├── ObjectNotFound          a path in the object store
│   ├── CollectionNotFound
│   ├── ItemNotFound
│   ├── EncoderNotFound
│   ├── BackboneNotFound       cannot be loaded: unknown name, empty folder, failed download
│   ├── SnapshotNotFound
│   └── TrainingNotFound
├── Conflict                    another process changed it first, or it already exists
├── NotReady                    nothing to search yet; try again later
├── Busy                        too many requests are waiting; try again later
├── Incompatible                two parts do not fit together; the message names both
│   └── Damaged                 a stored file is not what was written
├── TrainingCancelled           a user cancelled it; computed features are kept for the next run
├── EncoderRejected             an exported encoder differs too much from its original
├── AccessDenied
│   ├── Unauthenticated         no key, or an unknown one
│   └── Forbidden               a known key without the needed scope
└── StoreUnavailable            the object store failed temporarily
"""

from __future__ import annotations


class LookalikeError(Exception):
    """Base of all errors. The message says what was wrong, what was expected and what to do.

    Args:
        problem: one sentence, no full stop.
        got: the invalid value, as the user knows it.
        expected: what is valid.
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
    """The caller's input is invalid."""


class SettingsError(InvalidInput):
    """An option or environment variable has an invalid value."""


class FilterError(InvalidInput):
    """A search filter names an unknown field or operator, or compares values of different types."""


class MetadataError(InvalidInput):
    """A metadata file cannot be read at all."""


class UnsupportedMetric(InvalidInput):
    """The engine does not support the metric."""


class BodyTooLarge(InvalidInput):
    """A request body is over its byte limit."""


class UnsupportedContentType(InvalidInput):
    """The operation does not accept the media type of the request body."""


class ImageRejected(InvalidInput):
    """An image that can never be indexed.

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
    """Not a supported image format."""


class NotFound(LookalikeError, LookupError):
    """The named thing does not exist."""


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
    """No training of this id, or it has no log or report."""


class Conflict(LookalikeError):
    """Another process changed it first, or it already exists."""


class NotReady(LookalikeError):
    """There is nothing to search yet."""


class Busy(LookalikeError):
    """Too many requests are waiting."""


class Incompatible(LookalikeError):
    """Two parts (encoder, index, snapshot, reader) do not fit together."""


class Damaged(Incompatible):
    """A stored file is not what was written: its checksum does not match, or it cannot be parsed."""


class TrainingCancelled(LookalikeError):
    """A training was cancelled."""


class EncoderRejected(LookalikeError):
    """An exported encoder differs from its original by more than the bound."""


class AccessDenied(LookalikeError):
    """The caller is not allowed to do this."""


class Unauthenticated(AccessDenied):
    """No API key was sent, or an unknown one."""


class Forbidden(AccessDenied):
    """The API key lacks the needed scope."""


class StoreUnavailable(LookalikeError):
    """The object store failed temporarily: a time-out, throttling, a broken connection."""
