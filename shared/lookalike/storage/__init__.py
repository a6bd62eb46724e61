"""One object store by URL: a folder, or `s3://bucket/prefix`."""

from lookalike.storage.objects import Blob, ObjectInfo
from lookalike.storage.store import Store

__all__ = ["Blob", "ObjectInfo", "Store"]
