from __future__ import annotations

import itertools

import pytest
from fixtures.server import add_encoder, running

from lookalike.settings import Settings

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory, tiny_encoder_folder):
    """One server for all tests that bring a collection of their own."""
    settings = Settings(store=str(tmp_path_factory.mktemp("store")))
    add_encoder(settings, tiny_encoder_folder)
    with running(settings) as found:
        yield found


@pytest.fixture
def collection(server):
    """The name of a new, empty collection on `server`."""
    name = f"c{next(_numbers)}"
    server.create(name)
    return name
