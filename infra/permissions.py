"""What each function may do. Nothing here needs the CDK, so the table can be read and tested on its own."""

from __future__ import annotations

from infra.config import FunctionName
from infra.grant import Grant
from infra.names import Names
from infra.training_state_machine import JOBS_FOLDER
from lookalike.layout import TRASH_FOLDER

_OBJECTS = "Users and derived files determine object names; the prefix is as narrow as possible."
_LIST = "s3:ListBucket"
"""On the whole bucket: without it S3 returns 403 instead of 404, and no GET satisfies a condition on a
prefix."""


def function_grants(names: Names, function: FunctionName, *, tracing: bool = False) -> list[Grant]:
    """Everything that a function's role allows; `tracing`: it also writes traces."""
    own = {
        "query": _query,
        "ingest": _ingest,
        "builder": _builder,
        "reconcile": _reconcile,
        "register": _register,
        "encode": _encode,
        "publish": _publish,
        "conclude": _conclude,
    }[function]
    return [_logs(names, function), *([TRACES] if tracing else []), *own(names)]


TRACES = Grant(
    ("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    ("*",),
    "X-Ray has no resources to name for writing traces.",
)


def _logs(names: Names, function: FunctionName) -> Grant:
    return Grant(
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        (names.arn("logs", f"log-group:{names.log_group(function)}:*"),),
        "Lambda names the streams of a function's own log group.",
    )


def _query(names: Names) -> list[Grant]:
    return [
        _read_artifacts(names, "keys.json", "encoders/*", "collections/*"),
        _change_artifacts(names, "collections/*"),
        # The trash: a deletion copies there what it deletes, a restore copies it back.
        _read_artifacts(names, f"{TRASH_FOLDER}/*"),
        _change_artifacts(names, f"{TRASH_FOLDER}/*"),
        _read_images(names, "*/images/*", "*/metadata/uploads/*"),
        # A signed URL has the permissions of its signer; deleting a collection deletes its files.
        Grant(
            ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"),
            _images(names, "*/images/*", "*/metadata/*", "*/training/*"),
            _OBJECTS,
        ),
        _ask_for_builds(names),
        Grant(("states:StartExecution",), (names.machine_arn,)),
        _executions(names, "states:StopExecution"),
    ]


def _ingest(names: Names) -> list[Grant]:
    return [
        _consume(names, names.uploads),
        _ask_for_builds(names),
        _read_images(names, "*/images/*", "*/metadata/*"),
        # The exact version that a notification is about.
        Grant(("s3:GetObjectVersion",), _images(names, "*/images/*", "*/metadata/*"), _OBJECTS),
        _read_artifacts(names, "encoders/*", "collections/*"),
        _change_artifacts(names, "collections/*"),
        # A zip file that came too late for its training.
        Grant(("s3:DeleteObject",), _images(names, "*/training/*"), _OBJECTS),
        Grant(("states:StartExecution",), (names.machine_arn,)),
    ]


def _builder(names: Names) -> list[Grant]:
    return [
        _consume(names, names.builds),
        _read_artifacts(names, "encoders/*", "collections/*"),
        _change_artifacts(names, "collections/*"),
    ]


def _reconcile(names: Names) -> list[Grant]:
    return [
        _ask_for_builds(names),
        _read_images(names, "*/images/*", "*/metadata/*"),
        _read_artifacts(names, "encoders/*", "collections/*"),
        _change_artifacts(names, "collections/*"),
    ]


def _register(names: Names) -> list[Grant]:
    return [
        _read_artifacts(names, "encoders/*", "collections/*", f"{JOBS_FOLDER}/*"),
        _write_artifacts(names, "encoders/*", "collections/*"),
    ]


def _encode(names: Names) -> list[Grant]:
    return [
        _read_images(names, "*/images/*"),
        _read_artifacts(names, "encoders/*", "collections/*"),
        # Lance removes files of old versions while it commits.
        _change_artifacts(names, "collections/*"),
    ]


def _publish(names: Names) -> list[Grant]:
    return [
        _read_images(names, "*/images/*"),
        _read_artifacts(names, "encoders/*", "collections/*"),
        _change_artifacts(names, "collections/*"),
    ]


def _conclude(names: Names) -> list[Grant]:
    return [
        _read_artifacts(names, "collections/*"),
        _write_artifacts(names, "collections/*"),
        Grant(("s3:DeleteObject",), _images(names, "*/training/*"), _OBJECTS),
    ]


def _images(names: Names, *paths: str) -> tuple[str, ...]:
    return tuple(names.bucket_arn(names.images, path) for path in paths)


def _read_images(names: Names, *paths: str) -> Grant:
    resources = (names.bucket_arn(names.images), *_images(names, *paths))
    return Grant((_LIST, "s3:GetObject"), resources, _OBJECTS)


def _read_artifacts(names: Names, *paths: str) -> Grant:
    resources = (
        names.bucket_arn(names.artifacts),
        *(names.bucket_arn(names.artifacts, path) for path in paths),
    )
    return Grant((_LIST, "s3:GetObject"), resources, _OBJECTS)


def _write_artifacts(names: Names, *paths: str) -> Grant:
    resources = tuple(names.bucket_arn(names.artifacts, path) for path in paths)
    return Grant(("s3:PutObject", "s3:AbortMultipartUpload"), resources, _OBJECTS)


def _change_artifacts(names: Names, *paths: str) -> Grant:
    resources = tuple(names.bucket_arn(names.artifacts, path) for path in paths)
    return Grant(("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"), resources, _OBJECTS)


def _consume(names: Names, queue: str) -> Grant:
    actions = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
    return Grant(tuple(f"sqs:{action}" for action in actions), (names.arn("sqs", queue),))


def _ask_for_builds(names: Names) -> Grant:
    return Grant(("sqs:SendMessage",), (names.arn("sqs", names.builds),))


def _executions(names: Names, *actions: str) -> Grant:
    return Grant(
        actions,
        (names.arn("states", f"execution:{names.machine}:*"),),
        "An execution is named after its training.",
    )
