"""One typed, frozen configuration of a deployment, from the CDK's context (`cdk.json`, `-c name=value`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from infra.reading import as_sentences, merged
from lookalike.layout import check_collection_name
from lookalike.types import Metric

Architecture = Literal["x86_64", "arm64"]
AuthMode = Literal["keys", "jwt", "iam"]
Removal = Literal["retain", "destroy"]
FunctionName = Literal["query", "ingest", "builder", "reconcile", "register", "encode", "publish", "conclude"]
FUNCTIONS: tuple[FunctionName, ...] = get_args(FunctionName)

RETENTIONS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)
"""Days that CloudWatch Logs can keep a log."""
HTTP_API_SECONDS = 29
"""An HTTP API gives up after 30 seconds; a query that ends a second earlier can still return the reason."""
SMALL_BATCH = 10
_LOCAL = re.compile(r"http://(localhost|127\.0\.0\.1)(:\d+)?")
_ORIGIN = re.compile(r"https://[a-z0-9.-]+(:\d+)?")
_STRICT = ConfigDict(extra="forbid")


def _spelled(pattern: str, words: str) -> AfterValidator:
    """A text that matches `pattern`; `words` describe it."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {words}")
        return text

    return AfterValidator(check)


def _retention(days: int) -> int:
    if days not in RETENTIONS:
        raise ValueError(f"CloudWatch Logs keeps logs for one of {', '.join(map(str, RETENTIONS))} days")
    return days


def _origin(origin: str) -> str:
    if not (_ORIGIN.fullmatch(origin) or _LOCAL.fullmatch(origin)):
        raise ValueError("an origin is https://host, or http://localhost:port for development; never *")
    return origin


def _tags(tags: dict[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        if key.lower().startswith("aws:") or not 0 < len(key) <= 128 or len(value) > 256:
            raise ValueError(
                f"the tag {key!r} cannot be set: keys have 1 to 128 characters, no `aws:` first, values 256"
            )
    return tags


@dataclass(frozen=True, config=_STRICT)
class FunctionSize:
    """Resources of one function. `concurrency` is reserved; None: shared with the account."""

    memory_mb: Annotated[int, Field(ge=256, le=10_240)]
    timeout_seconds: Annotated[int, Field(ge=1, le=900)]
    storage_mb: Annotated[int, Field(ge=512, le=10_240)]
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None

    @property
    def threads(self) -> int:
        """Encoders that run in parallel: one per whole processor; 1,769 MB give one processor."""
        return max(1, self.memory_mb // 1_769)


@dataclass(frozen=True, config=_STRICT)
class Auth:
    """Who may call: holders of API keys that the application checks, of a JWT, or of IAM credentials."""

    mode: AuthMode = "keys"
    issuer: str | None = None
    audience: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Auth:
        given = bool(self.issuer), bool(self.audience)
        if self.mode == "jwt" and not all(given):
            raise ValueError("auth jwt needs an issuer and an audience")
        if self.mode != "jwt" and any(given):
            raise ValueError(f"issuer and audience belong to auth jwt, not to {self.mode}")
        if self.issuer and not self.issuer.startswith("https://"):
            raise ValueError("the issuer of JWTs is an https:// URL")
        return self


@dataclass(frozen=True, config=_STRICT)
class CollectionSpec:
    """A collection that `make seed` creates: `encoder` is an encoder's name or id, or `default`."""

    encoder: Annotated[str, Field(min_length=1)] = "default"
    metric: Metric = "cosine"


@dataclass(frozen=True, config=_STRICT)
class Ingest:
    """How the uploads queue is read: a batch fills for up to `window_seconds`; `concurrency` batches run in
    parallel. A message, or a request for a build, that failed `max_receives` times becomes a dead letter;
    failed messages are delivered again after 30 to 120 seconds, so 20 of them take over half an hour."""

    batch_size: Annotated[int, Field(ge=1, le=1_000)] = 50
    window_seconds: Annotated[int, Field(ge=0, le=300)] = 1
    concurrency: Annotated[int, Field(ge=2, le=1_000)] = 3
    max_receives: Annotated[int, Field(ge=2, le=100)] = 20

    @model_validator(mode="after")
    def _window(self) -> Ingest:
        if self.batch_size > SMALL_BATCH and self.window_seconds < 1:
            raise ValueError(
                "Lambda takes more than 10 messages at once only with window_seconds of 1 or more"
            )
        return self


@dataclass(frozen=True, config=_STRICT)
class Training:
    """The machine of a training job. Spot is some 60 to 90 % cheaper; a job resumes after an interruption."""

    instance_type: Annotated[str, _spelled(r"ml\.[a-z0-9]+\.[a-z0-9]+", "a type like ml.c5.2xlarge")] = (
        "ml.c5.2xlarge"
    )
    spot: bool = True
    max_hours: Annotated[int, Field(ge=1, le=120)] = 6
    volume_gb: Annotated[int, Field(ge=10, le=1_000)] = 50


@dataclass(frozen=True, config=_STRICT)
class Throttling:
    """Requests per second for the whole API, and the burst limit."""

    rate: Annotated[int, Field(ge=1, le=10_000)] = 50
    burst: Annotated[int, Field(ge=1, le=5_000)] = 100


@dataclass(frozen=True, config=_STRICT)
class Alarms:
    """When to raise an alarm, and the address to notify. Without `email`, alarms only show in CloudWatch.

    Attributes:
        email: who is notified.
        more: also the alarms that locate a fault; each of its metrics costs $0.10 a month.
        monthly_dollars: AWS notifies `email` when the costs of a month reach this sum.
    """

    email: Annotated[str, _spelled(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address")] | None = None
    latency_ms: Annotated[int, Field(ge=1, le=30_000)] = 2_000
    oldest_message_seconds: Annotated[int, Field(ge=60)] = 900
    snapshot_age_seconds: Annotated[int, Field(ge=60)] = 172_800
    more: bool = False
    monthly_dollars: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _notifies(self) -> Alarms:
        if self.monthly_dollars is not None and self.email is None:
            raise ValueError("alarms.monthly_dollars needs an address to notify: alarms.email")
        return self


@dataclass(frozen=True, config=_STRICT)
class Limits:
    """Limits on uploads; see `lookalike.settings.Settings`."""

    max_image_bytes: Annotated[int, Field(ge=1)] = 20 * 1024 * 1024
    max_image_pixels: Annotated[int, Field(ge=1)] = 50_000_000
    max_zip_bytes: Annotated[int, Field(ge=1, le=5 * 1024**3)] = 4 * 1024**3
    url_seconds: Annotated[int, Field(ge=60, le=3_600)] = 900


DEFAULT_SIZES: dict[str, dict[str, int]] = {
    "query": {"memory_mb": 1_769, "timeout_seconds": HTTP_API_SECONDS, "storage_mb": 4_096},
    "ingest": {"memory_mb": 3_008, "timeout_seconds": 120, "storage_mb": 1_024},
    "builder": {"memory_mb": 3_008, "timeout_seconds": 900, "storage_mb": 8_192},
    "reconcile": {"memory_mb": 3_008, "timeout_seconds": 900, "storage_mb": 1_024},
    "register": {"memory_mb": 1_769, "timeout_seconds": 300, "storage_mb": 2_048},
    "encode": {"memory_mb": 3_008, "timeout_seconds": 280, "storage_mb": 1_024},
    "publish": {"memory_mb": 3_008, "timeout_seconds": 900, "storage_mb": 8_192},
    "conclude": {"memory_mb": 512, "timeout_seconds": 60, "storage_mb": 512},
}


@dataclass(frozen=True, config=_STRICT)
class Config:
    """All options of a deployment. `from_context` fills in defaults.

    Raises:
        ValidationError: a value cannot be used; `from_context` turns this into a sentence.
    """

    functions: dict[FunctionName, FunctionSize]
    stage: Annotated[
        str, _spelled(r"[a-z][a-z0-9]{0,11}", "1 to 12 lower-case letters and digits, a letter first")
    ] = "dev"
    account: Annotated[str, _spelled(r"\d{12}", "twelve digits")] | None = None
    region: Annotated[str, _spelled(r"[a-z]{2}(-[a-z]+)+-\d", "a region like eu-west-1")] | None = None
    architecture: Architecture = "x86_64"
    tracing: bool = False
    dashboard: bool = False
    removal: Removal = "retain"
    retention_days: Annotated[int, AfterValidator(_retention)] = 30
    noncurrent_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    refresh_seconds: Annotated[float, Field(gt=0, le=3_600)] = 2.0
    auth: Auth = Auth()
    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    collections: dict[str, CollectionSpec] = Field(default_factory=dict)
    ingest: Ingest = Ingest()
    training: Training = Training()
    throttling: Throttling = Throttling()
    alarms: Alarms = Alarms()
    limits: Limits = Limits()
    tags: Annotated[dict[str, str], Field(max_length=40), AfterValidator(_tags)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Config:
        for name in self.collections:
            check_collection_name(name)
        seconds = self.functions["query"].timeout_seconds
        if seconds > HTTP_API_SECONDS:
            name, most = "functions.query.timeout_seconds", HTTP_API_SECONDS
            raise ValueError(f"{name}: got {seconds}; an HTTP API waits no longer than {most}")
        reserved = self.functions["ingest"].concurrency
        if reserved is not None and reserved < self.ingest.concurrency:
            name, asked = "functions.ingest.concurrency", self.ingest.concurrency
            raise ValueError(f"{name}: got {reserved}; its queue starts {asked} at once (ingest.concurrency)")
        return self

    @property
    def needs_metrics(self) -> bool:
        """Whether anything reads the metrics that the functions emit."""
        return self.dashboard or self.alarms.more

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Config:
        """The configuration that a CDK context describes; keys of the CDK itself are ignored.

        Raises:
            SettingsError: an option is unknown or cannot be used; one sentence for each.
        """
        given = merged({"functions": DEFAULT_SIZES}, context)
        try:
            return TypeAdapter(cls).validate_python(given)
        except ValidationError as error:
            raise as_sentences(error, cls) from error
