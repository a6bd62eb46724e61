"""The encoder of a collection that is created without naming one."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from fixtures.server import add_encoder
from starlette.testclient import TestClient

from lookalike.api.http.access import LoopbackAccess
from lookalike.api.http.app import create_app
from lookalike.encoders import EncoderManifest
from lookalike.encoders.manifest import MANIFEST_FILE, content_id
from lookalike.encoders.registry import DEFAULT_ENCODER
from lookalike.library import Library
from lookalike.settings import Settings


@pytest.fixture
def library(tmp_path):
    return Library(Settings(store=str(tmp_path / "store")), tmp_path / "cache")


@pytest.fixture
def put(library):
    client = TestClient(create_app(library, access=LoopbackAccess()), base_url="http://127.0.0.1")
    return lambda **body: client.put("/collections/food", json=body)


@pytest.fixture
def add(library, tiny_encoder_folder, tmp_path):
    """Adds the tiny encoder under another name; returns its id."""

    def add_named(name, created_at="2026-01-01T00:00:00+00:00"):
        folder = tmp_path / f"{name}-{created_at[:10]}"
        shutil.copytree(tiny_encoder_folder, folder)
        manifest = dataclasses.replace(
            EncoderManifest.read(tiny_encoder_folder), name=name, created_at=created_at
        )
        manifest = dataclasses.replace(manifest, id=content_id(manifest))
        (folder / MANIFEST_FILE).write_bytes(manifest.dump())
        return add_encoder(library.settings, folder)

    return add_named


def test_an_empty_store_has_none(put):
    response = put()
    assert response.status_code == 404
    assert response.json()["type"].endswith(":encoder-not-found")
    assert "lookalike encoders build" in response.json()["fix"]


def test_the_only_encoder_is_used(put, add):
    only = add("first")
    assert put().json()["encoder"] == only


def test_the_encoder_with_the_default_name_comes_first(put, add):
    default = add(DEFAULT_ENCODER, "2025-01-01T00:00:00+00:00")
    add("newer", "2026-01-01T00:00:00+00:00")
    assert put().json()["encoder"] == default


def test_several_others_are_a_conflict_that_names_them(put, add):
    ids = [add("first"), add("second", "2026-02-01T00:00:00+00:00")]
    response = put()
    assert response.status_code == 409
    assert "`encoder`" in response.json()["fix"]
    assert all(each in response.json()["detail"] for each in ids)
    assert put(encoder=ids[0]).status_code == 201
