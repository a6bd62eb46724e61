"""Publishing and going back, cut short at every write: one encoder serves whole, and a rerun completes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fixtures.frames import NAME, Frames

from lookalike.library import Library
from lookalike.publishing import publish_encoder, rollback
from lookalike.search import Query, QueryPart
from lookalike.settings import Settings
from lookalike.snapshots import current, read_switches
from lookalike.storage import Store

Answer = tuple[str, list[tuple[str, float]]]
MAX_WRITES = 200


class Cut(BaseException):
    """The process ends here."""


@contextmanager
def cut_after(writes: int) -> Iterator[None]:
    """Let so many writes of objects through, and end before the next one."""
    left = writes

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Cut
            left -= 1
            return real(*args, **options)

        return write

    with patch.object(Store, "put", counted(Store.put)), patch.object(Store, "create", counted(Store.create)):
        yield


def answer(frames: Frames) -> Answer:
    result = frames.searcher().search(Query((QueryPart("id", "red/0.jpg"),), limit=100))
    return result.encoder, [(match.item.id, match.score) for match in result.matches]


def go(frames: Frames, target: str) -> None:
    """One step, forward or back."""
    if target == frames.good:
        assert publish_encoder(frames.library, NAME, frames.good).published
    else:
        rollback(frames.library, NAME)


def test_cut_short_at_every_write(tmp_path: Path, tiny_encoder_folder: Path) -> None:
    library = Library(Settings(store=str(tmp_path / "store")), tmp_path / "cache")
    frames = Frames.create(library, tiny_encoder_folder, tmp_path, serving="bad", each=4)
    frames.build()
    expected: dict[str, Answer] = {frames.bad: answer(frames)}
    go(frames, frames.good)
    expected[frames.good] = answer(frames)
    target, writes, cuts = frames.bad, 0, 0
    while True:
        try:
            with cut_after(writes):
                go(frames, target)
            was_cut = False
        except Cut:
            was_cut = True
        assert answer(frames) == expected[answer(frames)[0]]
        assert current(library.artifacts, NAME) is not None
        if was_cut:
            cuts += 1
            if answer(frames)[0] != target or read_switches(library.artifacts, NAME).unfinished:
                go(frames, target)
        assert answer(frames) == expected[target]
        assert library.collections.get(NAME).encoder_id == target
        assert read_switches(library.artifacts, NAME).unfinished is None
        writes += 1
        assert writes < MAX_WRITES
        if not was_cut and target == frames.good:
            break
        # There and back with each number of writes, until neither is cut short.
        if target == frames.bad:
            target, writes = frames.good, writes - 1
        else:
            target = frames.bad
    assert cuts >= 8
    kinds = [switch.kind for switch in read_switches(library.artifacts, NAME).entries]
    assert kinds == [("publish", "rollback")[number % 2] for number in range(len(kinds))]
