"""All options of a process. Entry points read them from the environment once; core code does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from lookalike.errors import SettingsError

PREFIX = "LOOKALIKE_"
MAX_URL_SECONDS = 3_600
"""A signed URL expires with the credentials that signed it, and those of a role cannot last longer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every option, with its default. The environment variable of `store` is `LOOKALIKE_STORE`, and so on.

    Attributes:
        store: folder, or `s3://bucket/prefix`; has both roots unless they are set separately.
        images: the images root, if it is not `<store>/images`.
        artifacts: the artifacts root, if it is not `<store>/artifacts`.
        s3_endpoint: URL of an S3-compatible service other than Amazon's.
        s3_region: region of the buckets.
        max_image_bytes: larger uploads are rejected.
        max_image_pixels: larger images are rejected by their header.
        max_image_side: longer sides are rejected, in pixels.
        max_zip_bytes: larger training zip files are rejected.
        refresh_seconds: how often a searcher checks for a new snapshot and new rows.
        delta_rows: a delta of fewer rows never triggers a build.
        delta_fraction: a delta of more than this share of the snapshot triggers a build.
        delta_age_seconds: an older delta triggers a build, however small.
        snapshot_grace_seconds: how long a replaced snapshot is kept for running readers.
        threads: encoders that run in parallel in one process.
        max_waiting: requests that may wait for an encoder; further ones are rejected with 429.
        url_seconds: lifetime of signed image and upload URLs; at most `MAX_URL_SECONDS`.
    """

    store: str = "lookalike-store"
    images: str = ""
    artifacts: str = ""
    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    max_image_bytes: int = 20 * 1024 * 1024
    max_image_pixels: int = 50_000_000
    max_image_side: int = 30_000
    max_zip_bytes: int = 4 * 1024 * 1024 * 1024
    refresh_seconds: float = 1.0
    delta_rows: int = 1_000
    delta_fraction: float = 0.1
    delta_age_seconds: float = 86_400.0
    snapshot_grace_seconds: float = 3_600.0
    threads: int = 2
    max_waiting: int = 64
    url_seconds: int = 900

    @property
    def images_url(self) -> str:
        """URL of the images root: what users upload."""
        return self.images or f"{self.store.rstrip('/')}/images"

    @property
    def artifacts_url(self) -> str:
        """URL of the artifacts root: what the system writes."""
        return self.artifacts or f"{self.store.rstrip('/')}/artifacts"

    @classmethod
    def from_env(cls, environment: Mapping[str, str], **overrides: object) -> Settings:
        """Read `LOOKALIKE_*` variables. `overrides` that are not None win.

        Raises:
            SettingsError: a value cannot be parsed, is not positive, or is too large.
        """
        types = get_type_hints(cls)
        values: dict[str, object] = {}
        for option in dataclasses.fields(cls):
            given = overrides.get(option.name)
            if given is None and (text := environment.get(PREFIX + option.name.upper())):
                given = _parse(option.name, text, types[option.name])
            if option.name == "url_seconds" and isinstance(given, int):
                _check_url_seconds(given)
            if given is not None:
                values[option.name] = given
        return cls(**values)  # type: ignore[arg-type]  # each value was parsed to its field's type

    def to_env(self) -> dict[str, str]:
        """Inverse of `from_env`, to pass the same options to another process."""
        return {
            PREFIX + option.name.upper(): str(value)
            for option in dataclasses.fields(self)
            if (value := getattr(self, option.name)) != ""
        }


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Folder for files that can be recreated (XDG base directories)."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lookalike"


def _check_url_seconds(seconds: int) -> None:
    if seconds > MAX_URL_SECONDS:
        raise SettingsError(
            f"{PREFIX}URL_SECONDS is out of range: a signed URL stops working when the credentials of its "
            "signer expire, and only an hour is certain",
            got=seconds,
            expected=f"1 to {MAX_URL_SECONDS}",
        )


def _parse(name: str, text: str, kind: type) -> object:
    try:
        value: object = kind(text)
    except ValueError as error:
        raise SettingsError(
            f"{PREFIX}{name.upper()} cannot be read", got=repr(text), expected=kind.__name__
        ) from error
    if isinstance(value, int | float) and value <= 0:
        raise SettingsError(f"{PREFIX}{name.upper()} is out of range", got=text, expected="more than 0")
    return value
