"""The steps after a training job, called by the state machine of `infra/training_state_machine.py`.

Each step gets the whole state of the machine. Errors are raised unchanged: the machine retries some by their
name, and `conclude` records the others.
"""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from lookalike.aws.settings import AwsSettings
from lookalike.aws.telemetry import Telemetry
from lookalike.aws.training.artefact import unpack_artefact
from lookalike.aws.training.steps import Pipeline
from lookalike.errors import Incompatible
from lookalike.library import Library
from lookalike.settings import Settings

telemetry = Telemetry()
Event = dict[str, Any]


@lru_cache(maxsize=1)
def library() -> Library:
    """The store of this function, whose environment never changes."""
    return Library(Settings.from_env(os.environ), AwsSettings.from_env(os.environ).cache)


@telemetry.instrumented
def register(event: Event, context: object) -> Event:
    """Register the model artefact as an encoder of the store, and decide whether it may be published."""
    found = library()
    with tempfile.TemporaryDirectory(prefix="artefact-", dir=_scratch(found)) as scratch:
        packed = Path(scratch) / "model.tar.gz"
        found.artifacts.download(_path(found, event["train"]["artefact"]), packed)
        artefact = unpack_artefact(packed, Path(scratch) / "model")
        done = _pipeline(event).register(artefact)
    telemetry.log.info("registered", extra={"encoder": done.encoder_id, "publish": done.publish})
    return {"encoder_id": done.encoder_id, "publish": done.publish, "missing": done.missing}


@telemetry.instrumented
def encode(event: Event, context: object) -> Event:
    """Encode one batch of the distributed map with the new encoder."""
    common = event["BatchInput"]
    count = _pipeline(common).encode(common["encoder_id"], [item["key"] for item in event["Items"]])
    telemetry.log.info("encoded", extra={"items": len(event["Items"]), "missing": count})
    return {"encoded": count}


@telemetry.instrumented
def publish(event: Event, context: object) -> Event:
    """Publish the new encoder, if it is better."""
    done = _pipeline(event).publish(event["register"]["encoder_id"])
    telemetry.log.info("published" if done.published else "not published", extra={"snapshot": done.snapshot})
    return {"published": done.published, "reason": done.reason}


@telemetry.instrumented
def conclude(event: Event, context: object) -> Event:
    """End the training, successful or failed; or record that it waits for a quota."""
    if event.get("waits_for") == "quota":
        return _await_quota(event["training"])
    done = _pipeline(event).conclude(event.get("failed") or {})
    telemetry.log.info("concluded", extra={"reason": done.reason, "alarm": done.alarm})
    return {"alarm": done.alarm, "reason": done.reason}


def _await_quota(event: Event) -> Event:
    waits = int(event.get("quota_wait", {}).get("waits", 0))
    again = _pipeline(event).await_quota(str(event["quota"].get("Cause")), waits)
    telemetry.log.info("waits for a quota", extra={"waits": waits, "again": again})
    return {"waits": waits + 1, "again": again}


def _pipeline(event: Event) -> Pipeline:
    return Pipeline(library(), str(event["collection"]), str(event["training_id"]))


def _scratch(found: Library) -> Path:
    found.cache.mkdir(parents=True, exist_ok=True)
    return found.cache


def _path(found: Library, url: str) -> str:
    """The path below the artifacts root for a URL of SageMaker."""
    root = f"{found.artifacts.url}/"
    if not url.startswith(root):
        raise Incompatible("the model artefact is not in the artifacts bucket", got=url, expected=f"{root}…")
    return url.removeprefix(root)
