"""The environment of each function: what `lookalike` and its AWS part read when they start."""

from __future__ import annotations

from dataclasses import replace

from infra.config import Config, FunctionName
from infra.names import NAMESPACE, Names
from lookalike.settings import Settings

CACHE_FOLDER = "/tmp/lookalike"  # noqa: S108  # the only place that a function may write to
ONE_AT_A_TIME = ("query",)
"""Functions that handle one request at a time, so a second encoder would only use memory."""


def environment(config: Config, names: Names, function: FunctionName) -> dict[str, str]:
    """Variables of one function; the runtime adds the credentials of its role."""
    return {
        **_settings(config, names, function),
        **_aws(config, names, function),
        "POWERTOOLS_SERVICE_NAME": function,
        "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_TRACE_DISABLED": str(not config.tracing).lower(),
        # A metric costs $0.30 for each month with data.
        "POWERTOOLS_METRICS_DISABLED": str(not config.needs_metrics).lower(),
    }


def _settings(config: Config, names: Names, function: FunctionName) -> dict[str, str]:
    defaults = Settings()
    settings = replace(
        defaults,
        images=f"s3://{names.images}",
        artifacts=f"s3://{names.artifacts}",
        s3_region=names.region,
        max_image_bytes=config.limits.max_image_bytes,
        max_image_pixels=config.limits.max_image_pixels,
        max_zip_bytes=config.limits.max_zip_bytes,
        url_seconds=config.limits.url_seconds,
        refresh_seconds=config.refresh_seconds,
        threads=1 if function in ONE_AT_A_TIME else config.functions[function].threads,
    )
    variables = settings.to_env()
    # Unset options use the function's own defaults. Both roots are set, so the store is not.
    same = {name for name, value in defaults.to_env().items() if variables.get(name) == value}
    return {name: value for name, value in variables.items() if name not in same - _ALWAYS}


_ALWAYS = {"LOOKALIKE_S3_REGION", "LOOKALIKE_REFRESH_SECONDS", "LOOKALIKE_THREADS"}


def _aws(config: Config, names: Names, function: FunctionName) -> dict[str, str]:
    variables = {"LOOKALIKE_CACHE_FOLDER": CACHE_FOLDER}
    if function == "query":
        variables["LOOKALIKE_AUTH"] = config.auth.mode
    if function in {"query", "ingest"}:
        variables["LOOKALIKE_TRAINING_MACHINE_ARN"] = names.machine_arn
    if function in {"query", "ingest", "reconcile"}:
        variables["LOOKALIKE_BUILD_QUEUE_URL"] = names.queue_url(names.builds)
    return variables


def job_environment(config: Config, names: Names) -> dict[str, str]:
    """Variables of the training container: where images and artifacts are, and the limits on images."""
    settings = _settings(config, names, "encode")
    return {name: value for name, value in settings.items() if name not in _OF_SERVERS}


_OF_SERVERS = {"LOOKALIKE_REFRESH_SECONDS", "LOOKALIKE_THREADS", "LOOKALIKE_URL_SECONDS"}
