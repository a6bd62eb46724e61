"""Telemetry of functions: JSON logs, metrics in the embedded metric format, traces.

Powertools reads the service's name from `POWERTOOLS_SERVICE_NAME` and the level from `POWERTOOLS_LOG_LEVEL`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from lookalike import timing
from lookalike.aws.traces import DaemonProvider

if TYPE_CHECKING:
    from lookalike.ingest import IngestReport

NAMESPACE = "Lookalike"
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Telemetry:
    """The logger, metrics and tracer of one function."""

    def __init__(self) -> None:
        self.log = Logger()
        provider = DaemonProvider()
        self.tracer = Tracer(provider=provider, auto_patch=False)
        timing.listen(provider.tell)
        library = logging.getLogger("lookalike")
        library.handlers = [self.log.registered_handler]
        library.setLevel(self.log.log_level)
        library.propagate = False  # the runtime's own handler would repeat each line

    def instrumented(self, handler: Handler) -> Handler:
        """Wrap `handler`: each log line has the invocation's id, and the trace has a span."""
        traced = self.tracer.capture_lambda_handler(capture_response=False)(handler)
        return self.log.inject_lambda_context(clear_state=True)(traced)  # type: ignore[no-any-return]

    def count(self, values: Mapping[str, float], **dimensions: str) -> None:
        """Put metrics into the log; names that end in `Seconds` or `Milliseconds` are times."""
        # No service dimension: alarms use exactly the dimensions that are given here.
        metrics = EphemeralMetrics(namespace=NAMESPACE, service="")
        for dimension, of in dimensions.items():
            metrics.add_dimension(dimension, of)
        for name, value in values.items():
            metrics.add_metric(name, _unit(name), value)
        if values:
            metrics.flush_metrics()


def ingest_metrics(report: IngestReport) -> dict[str, float]:
    """The CloudWatch metrics of an ingest, by name."""
    return {
        "Encoded": report.encoded,
        "Reused": report.reused,
        "Removed": report.removed,
        "Rejected": report.rejected,
        "Unchanged": report.unchanged + report.missing + report.ignored,
        "MetadataRows": report.metadata_rows,
        "Failed": len(report.failed),
    }


def _unit(name: str) -> MetricUnit:
    if name.endswith("Milliseconds"):
        return MetricUnit.Milliseconds
    return MetricUnit.Seconds if name.endswith("Seconds") else MetricUnit.Count
