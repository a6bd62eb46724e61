"""Compare the images of candidates: in one go, or in several calls of limited duration."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from lookalike.duplicates.candidates import Candidate, Candidates, describe
from lookalike.duplicates.groups import RowPair, components, ordered
from lookalike.duplicates.original import Traces, choose
from lookalike.duplicates.samples import Sample
from lookalike.duplicates.verdict import Verdict, judge
from lookalike.duplicates.verdict_cache import VerdictCache
from lookalike.progress import Progress
from lookalike.search.view import View

UNREADABLE = "an image cannot be read, so they were not compared"
NOT_READ = "the images were not compared"
READERS = 8
"""Threads that read and decode images while others are compared."""
BATCH = 16
"""Pairs whose images are read ahead."""


class Samples(Protocol):
    """Where the images come from. Several threads call it."""

    def get(self, item_id: str) -> Sample | None:
        """The sample of an item; None: its image cannot be read."""


class PairComparison:
    """Compares the images of candidates. Safe to share between threads, of which one works at a time.

    Args:
        view: one state of a collection.
        samples: the images; None: they are not compared.
        candidates: the pairs.
        cache: verdicts of earlier comparisons, and where to keep new ones.

    Attributes:
        verdicts: of each pair that is worth showing, as far as they are known.
        candidates: with the pairs that were added in the course.
    """

    def __init__(
        self,
        view: View,
        samples: Samples | None,
        candidates: Candidates,
        cache: VerdictCache | None = None,
    ) -> None:
        self._view = view
        self._samples = samples
        self._cache = cache
        self._lock = threading.Lock()
        self.candidates = candidates
        self.verdicts: dict[RowPair, Verdict] = {}
        # Pairs of one component together, so that an image is read once.
        place = {row: at for at, rows in enumerate(components(candidates)) for row in rows}
        self._left = sorted(candidates, key=lambda pair: (place[pair[0]], pair), reverse=True)
        self._completed = samples is None

    @property
    def total(self) -> int:
        """Number of pairs; it may grow by a few at the end."""
        return len(self.candidates)

    @property
    def done(self) -> int:
        """Number of compared pairs."""
        return len(self.candidates) - len(self._left)

    @property
    def is_complete(self) -> bool:
        """Whether all pairs were compared."""
        return self._completed and not self._left

    def advance(self, seconds: float | None = None, progress: Progress | None = None) -> None:
        """Compare pairs, for about so many seconds; None: all that are left.

        Each call compares some pairs, however short the time is.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._lock:
            self._take_known()
            with ThreadPoolExecutor(READERS) as pool:
                self._compare(pool, deadline, progress)
                if not self._left and not self._completed:
                    self._add_missing()
                    self._compare(pool, deadline, progress)
            if self._cache is not None:
                self._cache.save()

    def _take_known(self) -> None:
        """What the cache knows needs no images."""
        if self._cache is None:
            return
        left = []
        for pair in self._left:
            known = self._cache.get(*(self._view.item_at(row) for row in pair))
            if known is None:
                left.append(pair)
            else:
                self._note(pair, known)
        self._left = left

    def _compare(self, pool: ThreadPoolExecutor, deadline: float | None, progress: Progress | None) -> None:
        ahead: list[Future[Sample | None]] = []
        while self._left:
            batch = self._left[-BATCH:]
            for future in ahead:
                future.result()
            ahead = self._read_ahead(pool, self._left[-2 * BATCH : -BATCH])
            for pair in reversed(batch):
                self._note(pair, self._judged(pair))
                self._left.pop()
            if progress and self._samples is not None:
                progress("comparing images", self.done, self.total)
            if deadline is not None and time.monotonic() > deadline:
                break
        for future in ahead:
            future.cancel()

    def _read_ahead(self, pool: ThreadPoolExecutor, pairs: Iterable[RowPair]) -> list[Future[Sample | None]]:
        if self._samples is None:
            return []
        ids = {self._view.item_at(row).id for pair in pairs for row in pair}
        return [pool.submit(self._samples.get, id_) for id_ in sorted(ids)]

    def _judged(self, pair: RowPair) -> Verdict:
        if self._samples is None:
            return Verdict("similar", (NOT_READ,))
        a, b = (self._view.item_at(row) for row in pair)
        first, second = self._samples.get(a.id), self._samples.get(b.id)
        if first is None or second is None:
            return Verdict("similar", (UNREADABLE,))
        verdict = judge(first, second)
        if self._cache is not None:
            self._cache.put(a, b, verdict)
        return verdict

    def _note(self, pair: RowPair, verdict: Verdict) -> None:
        shown = _shown(self._view, pair, self.candidates[pair], verdict)
        if shown is not None:
            self.verdicts[pair] = shown

    def _add_missing(self) -> None:
        """Pairs of the image to keep with those that it was not compared with."""
        missing = _missing(self._view, self.verdicts)
        self.candidates |= describe(self._view, missing)
        self._left = sorted(missing, reverse=True)
        self._completed = True
        self._take_known()


def traces_of(verdicts: Mapping[RowPair, Verdict]) -> dict[int, Traces]:
    """Traces of editing of each row that is the same picture as another."""
    found: dict[int, Traces] = {}
    for (one, other), verdict in verdicts.items():
        if verdict.relation == "same":
            for row, traces in ((one, verdict.traces[0]), (other, verdict.traces[1])):
                found[row] = found[row].joined(traces) if row in found else traces
    return found


def _shown(view: View, pair: RowPair, candidate: Candidate, verdict: Verdict) -> Verdict | None:
    """The verdict with what is known about the items. None: it is not worth showing."""
    if verdict.relation != "similar":
        return verdict
    if not candidate.links:
        return None
    a, b = (view.item_at(row) for row in pair)
    if a.product_id is not None and a.product_id == b.product_id:
        return Verdict("variant", ("same product id", *verdict.reasons))
    return verdict


def _missing(view: View, verdicts: Mapping[RowPair, Verdict]) -> set[RowPair]:
    traces = traces_of(verdicts)
    missing: set[RowPair] = set()
    for rows in components(pair for pair, verdict in verdicts.items() if verdict.relation == "same"):
        kept, *rest = choose({row: view.item_at(row) for row in rows}, traces)[0]
        missing |= {ordered(kept, row) for row in rest}
    return missing - set(verdicts)
