"""The demo, step by step.

Environment: `DEMO_IMAGES=FOLDER` uses a folder of your own instead of emoji; `DEMO_SERVE=0` stops before
serving; `LOOKALIKE_STORE` names another store than `demo-store`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lookalike.cli.console import Console
from lookalike.contact_sheet import ContactSheet
from lookalike.demo.emoji import fetch_pictures, lay_out, read_emoji
from lookalike.demo.npm import PackageUnavailable
from lookalike.errors import InvalidInput, LookalikeError
from lookalike.library import Library
from lookalike.search import Query, QueryPart, SearchResult
from lookalike.settings import Settings, cache_folder
from lookalike.sources.indexing import index_folder
from lookalike.sources.scan import Source

STORE = "demo-store"
CACHE = Path(".cache") / "demo"
HOST, PORT = "127.0.0.1", 8000
MATCHES = 5
QUERIES = 3


@dataclass(frozen=True, slots=True)
class Scene:
    """One collection of the demo: the folder of its images, and the queries."""

    collection: str
    folder: Path
    queries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One collection of emoji: Unicode's groups, and the titles of the queries."""

    collection: str
    groups: frozenset[str]
    titles: tuple[str, ...]


CHAPTERS = (
    Chapter("food", frozenset({"Food & Drink"}), ("Red apple", "Wine glass", "Beer mug")),
    Chapter(
        "things",
        frozenset({"Objects", "Travel & Places", "Activities"}),
        ("Automobile", "Guitar", "Blue book"),
    ),
)


def main(environment: Mapping[str, str]) -> int:
    """Run the demo; returns the exit code of the process."""
    console = Console()
    console.note(
        "The demo indexes two collections, searches them and draws the results. It takes half a minute."
    )
    try:
        settings = Settings.from_env({**environment}, store=environment.get("LOOKALIKE_STORE") or STORE)
        library = Library(settings, cache_folder(environment))
        for scene in _scenes(environment.get("DEMO_IMAGES"), console):
            _play(library, scene, console)
        _say_what_next(settings, console)
        if environment.get("DEMO_SERVE") != "0":
            _serve(settings, console)
    except LookalikeError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. Run it again to resume.\n")
        return 130
    return 0


def _scenes(own_folder: str | None, console: Console) -> list[Scene]:
    if own_folder:
        return [_own_scene(Path(own_folder))]
    try:
        pictures = fetch_pictures(CACHE, console.note)
    except PackageUnavailable as error:
        raise PackageUnavailable(
            error.problem,
            got=error.got,
            fix="Use a folder of your own images: DEMO_IMAGES=path/to/photos make demo",
        ) from error
    return [_emoji_scene(chapter, pictures) for chapter in CHAPTERS]


def _emoji_scene(chapter: Chapter, pictures: Path) -> Scene:
    folder = CACHE / chapter.collection
    emoji = read_emoji(chapter.groups)
    lay_out(emoji, pictures, folder)
    files = {one.title: one.file for one in emoji}
    return Scene(chapter.collection, folder, tuple(files[title] for title in chapter.titles))


def _own_scene(folder: Path) -> Scene:
    found = Source.scan(folder).pictures
    if not found:
        raise InvalidInput(
            "DEMO_IMAGES has no images", got=folder, expected="a folder with JPEG, PNG, WebP …"
        )
    return Scene("mine", folder, tuple(found[:: max(1, len(found) // QUERIES)][:QUERIES]))


def _play(library: Library, scene: Scene, console: Console) -> None:
    with console.bars() as progress:
        report = index_folder(library, scene.folder, scene.collection, progress=progress)
    console.say(f"\n{scene.collection}: {report.pictures:,} images, {report.encoded:,} encoded now")
    searcher = library.searcher(scene.collection)
    answers = []
    for item_id in scene.queries:
        query = Query((QueryPart("id", item_id),), limit=MATCHES)
        answers.append((searcher.item(item_id).title or item_id, query, searcher.search(query)))
    _print(console, answers)
    sheet = Path(library.settings.store) / f"{scene.collection}.png"
    drawer = ContactSheet(library.images, library.settings, scene.collection)
    drawer.write_results(sheet, f"{scene.collection}: similar images", answers)
    console.say(f"Contact sheet: {sheet}")


def _print(console: Console, answers: list[tuple[str, Query, SearchResult]]) -> None:
    console.table(
        {"query": "left", "match": "left", "score": "right", "confidence": "right", "category": "left"},
        [
            (
                name if number == 0 else "",
                match.item.title or match.item.id,
                f"{match.score:.3f}",
                None if match.confidence is None else f"{match.confidence:.0%}",
                match.item.category,
            )
            for name, _, result in answers
            for number, match in enumerate(result.matches)
        ],
    )


def _say_what_next(settings: Settings, console: Console) -> None:
    # The command is next to the interpreter unless its folder is on the path.
    command = "lookalike" if shutil.which("lookalike") else str(Path(sys.executable).with_name("lookalike"))
    store = f"--store {settings.store}"
    console.say("\nYour own images next:")
    console.say(f"  {command} index FOLDER --collection mine {store}")
    console.say(f"  {command} search IMAGE --collection mine {store}")


def _serve(settings: Settings, console: Console) -> None:
    from lookalike.local import serve

    def announce(url: str) -> None:
        console.say(f"\nServing on {url} until Ctrl-C. Try: curl {url}/collections")

    serve(settings, HOST, PORT, announce=announce)
