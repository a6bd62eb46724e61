"""A whole query, warm: from the bytes of a 640-px JPEG to JSON: `python -m bench.query [--items 100000]`.

The request goes through the real app in this process, one at a time, with one thread for the encoder; the
vectors are synthetic, of the default encoder's dimension, and the encoder is the real one. The parts are
measured by themselves on the same photos; `the rest` is what HTTP, validation and threads add to them.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.growth import put
from bench.stage import add_default_encoder, multipart, photos, post, query_jpeg
from bench.vectors import embedding_like
from lookalike.api.http.access import LoopbackAccess
from lookalike.api.http.app import create_app
from lookalike.api.search_models import SearchResponse
from lookalike.catalogue import Catalogue
from lookalike.collection_config import CollectionConfig, Collections
from lookalike.encoders import EncoderManifest
from lookalike.images import ImageLimits, decode, model_input
from lookalike.library import Library
from lookalike.search import Query, QueryPart
from lookalike.settings import Settings
from lookalike.snapshots import build_snapshot
from lookalike.storage import Store
from lookalike.types import Vectors

NAME = "bench"
PHOTOS = 20
WARM_UP = 2
ROUNDS = 15
TARGET_MS = 15.0


def stage(settings: Settings, manifest: EncoderManifest, vectors: Vectors, scratch: Path) -> None:
    """A collection with a snapshot of `vectors`."""
    artifacts = Store.artifacts(settings)
    config = CollectionConfig(NAME, manifest.id)
    Collections(artifacts).create(config)
    catalogue = Catalogue(artifacts, NAME, manifest.id, manifest.dimension)
    for start in range(0, len(vectors), 5_000):
        put(catalogue, start, vectors[start : start + 5_000])
    built = build_snapshot(artifacts, config, catalogue, work_dir=scratch)
    assert built.index is not None
    print(
        f"engine {config.engine}, {built.index.parameters}, recall@10 {built.index.measured['recall']:.3f}\n"
    )


Step = tuple[Callable[[Any], object], list[Any]]
"""What to time, and the inputs to time it on."""


def timed(steps: dict[str, Step]) -> dict[str, list[float]]:
    """Milliseconds of each call. The steps alternate, so that other load on the machine affects all of
    them."""
    took: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(WARM_UP + ROUNDS):
        for name, (work, inputs) in steps.items():
            for given in inputs:
                started = time.perf_counter()
                work(given)
                if number >= WARM_UP:
                    took[name].append((time.perf_counter() - started) * 1e3)
    return took


def parts(library: Library, queries: list[bytes]) -> dict[str, Step]:
    """The steps of a query by themselves."""
    searcher = library.searcher(NAME)
    encoder = searcher.state().encoder.get()
    limits = ImageLimits.from_settings(library.settings)
    preprocess = encoder.manifest.preprocess

    def decoded(data: bytes) -> Any:
        return model_input(decode(data, limits, min_side=preprocess.min_side), preprocess)

    pixels = [decoded(data) for data in queries]
    encoded = [Query(parts=(QueryPart("vector", encoder.encode_one(each)),)) for each in pixels]
    answers = [searcher.search(query) for query in encoded]
    return {
        "decode": (decoded, queries),
        "encode": (encoder.encode_one, pixels),
        "index, items, confidence": (searcher.search, encoded),
        "serialise": (
            lambda answer: SearchResponse.of(answer, "http://localhost").model_dump_json(),
            answers,
        ),
    }


def wholes(app: Any, queries: list[bytes], loop: asyncio.AbstractEventLoop) -> dict[str, Step]:
    """Whole requests, as a form and as JSON."""
    path = f"/collections/{NAME}/search"
    texts = [json.dumps({"image": base64.b64encode(data).decode()}).encode() for data in queries]

    def ask(body: bytes, content_type: str) -> None:
        status, answer = loop.run_until_complete(post(app, path, body, content_type))
        assert status == 200, answer[:500]

    return {
        "whole, form": (lambda form: ask(*form), [multipart(data) for data in queries]),
        "whole, JSON": (lambda text: ask(text, "application/json"), texts),
    }


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    items: int = parser.parse_args(argv).items
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        settings = Settings(store=str(scratch / "store"), threads=1)
        found = photos(scratch / "photos")
        manifest = add_default_encoder(settings, found)
        print(f"{items:,} items × {manifest.dimension}, encoder {manifest.id} {manifest.default_precision}")
        stage(settings, manifest, embedding_like(items, manifest.dimension), scratch / "work")
        library = Library(settings, scratch / "cache")
        chosen = np.linspace(0, len(found) - 1, PHOTOS).astype(int)
        queries = [query_jpeg(found[number]) for number in chosen]
        with asyncio.Runner() as runner:
            app = create_app(library, access=LoopbackAccess())
            rows = timed(wholes(app, queries, runner.get_loop()) | parts(library, queries))
        medians = {name: statistics.median(took) for name, took in rows.items()}
        steps = ("decode", "encode", "index, items, confidence", "serialise")
        print(f"{'step':26} {'median ms':>9} {'p95 ms':>8}")
        for name, took in rows.items():
            print(f"{name:26} {medians[name]:9.2f} {np.percentile(took, 95):8.2f}")
        print(f"{'the rest, form':26} {medians['whole, form'] - sum(medians[step] for step in steps):9.2f}")
        whole = medians["whole, form"]
        print(f"\ntarget: ≤ {TARGET_MS:.0f} ms median; as a form {whole:.1f} ms")
        ratio = whole / medians["encode"]
        print(f"whole query ÷ one encoding, which hardly depends on the machine: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
