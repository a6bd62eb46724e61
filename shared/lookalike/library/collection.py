"""`Collection`: one collection of a `Library`, to search, change, train and evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import InvalidInput, ItemNotFound
from lookalike.progress import Progress, as_notes

if TYPE_CHECKING:
    from lookalike.collection_config import CollectionConfig
    from lookalike.duplicates import DuplicateDecisions, DuplicateGroup, Relation
    from lookalike.evaluation import EvaluationReport
    from lookalike.library.library import Library
    from lookalike.neighbors import Neighbors
    from lookalike.publishing import Publication
    from lookalike.search import SearchResult
    from lookalike.sources.indexing import IndexReport
    from lookalike.text_search import TextMode
    from lookalike.training_jobs.records import Publish
    from lookalike.training_jobs.workflow import Outcome
    from lookalike.trash import Trash
    from lookalike.types import Item, Likelihood, RankBy


class Collection:
    """One collection. `Library.collection` returns it.

    Attributes:
        library: the store that it is in.
        name: its name.
    """

    def __init__(self, library: Library, name: str) -> None:
        self.library = library
        self.name = name

    def __repr__(self) -> str:
        return f"Collection({self.name!r})"

    @property
    def config(self) -> CollectionConfig:
        """Its encoder, metric and engine. Raises CollectionNotFound: it was deleted."""
        return self.library.collections.get(self.name)

    # Finding

    def search(  # noqa: PLR0913  # all but the image by name and with defaults
        self,
        image: str | Path | bytes | None = None,
        *,
        id: str | None = None,
        text: str | None = None,
        k: int = 10,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
        min_confidence: float | Likelihood | None = None,
        rank_by: RankBy = "similarity",
        group_by: str | None = None,
        include_self: bool = False,
        mode: TextMode = "auto",
    ) -> SearchResult:
        """The items that are most similar to an image, to an item, or to words.

        Args:
            image: a file, or the bytes of one.
            id: of an item of the collection, instead of `image`.
            text: words, instead of an image or an item, or together with one.
            k: how many matches; fewer are returned only if no more exist.
            offset: how many of the best matches to skip.
            filter: conditions on the items' fields, such as `{"category": "shoes", "price": {"lt": 50}}`.
            min_confidence: leave out matches below it; 0 to 1, or "likely" or "maybe".
            rank_by: "confidence" puts matches of the query's probable category first.
            group_by: return only the best match of each value of this field.
            include_self: with `id`, keep that item among the matches.
            mode: what words alone are compared with: the items' "words", the "meaning" of their images, or
                ("auto") both.

        Returns:
            The matches, best first: each with its item, score, distance and confidence.

        Raises:
            InvalidInput: no query is given, or both `image` and `id`; or an option cannot be used.
                FilterError and ImageRejected are kinds of it.
            ItemNotFound: there is no item of this id.
            NotReady: the collection has no items yet.
        """
        from lookalike.filters import parse_filter
        from lookalike.search import Query, QueryPart

        if image is not None and id is not None:
            raise InvalidInput("a search takes an image or an id, not both", expected="one of them")
        parts = [] if text is None else [QueryPart("text", text)]
        if id is not None:
            parts.append(QueryPart("id", id))
        if image is not None:
            parts.append(QueryPart("image", image if isinstance(image, bytes) else Path(image).read_bytes()))
        query = Query(
            parts=tuple(parts),
            limit=k,
            offset=offset,
            filter=None if filter is None else parse_filter(filter),
            min_confidence=min_confidence,
            rank_by=rank_by,
            group_by=group_by,
            include_self=include_self,
            mode=mode,
        )
        return self.library.searcher(self.name).search(query)

    def item(self, id: str) -> Item:
        """One item with its metadata. Raises ItemNotFound, with the nearest ids."""
        return self.library.searcher(self.name).item(id)

    def neighbors(self, k: int = 10) -> Iterable[Neighbors]:
        """Every item with its `k` nearest others, one item at a time. Raises InvalidInput, NotReady."""
        from lookalike.neighbors import iter_neighbors

        return iter_neighbors(self.library.searcher(self.name).state(), k)

    def duplicates(
        self,
        *,
        relations: Iterable[Relation] = ("same", "variant", "similar"),
        min_score: float | None = 0.95,
        max_hash_distance: int | None = 31,
        progress: Progress | None = None,
    ) -> list[DuplicateGroup]:
        """Groups of the same picture, variants, and similar images; see `compare_items`. Raises NotReady."""
        from lookalike.duplicates import SampleReader, VerdictCache, compare_items

        library = self.library
        compared = compare_items(
            library.searcher(self.name).state().view,
            SampleReader.of(library.images, library.settings, self.name),
            min_score=min_score,
            max_hash_distance=max_hash_distance,
            cache=VerdictCache(library.artifacts, self.name),
            progress=progress,
        )
        return compared.groups(self.duplicate_decisions.read().pairs(), relations)

    @property
    def duplicate_decisions(self) -> DuplicateDecisions:
        """What people decided about duplicates; a decided pair is no longer in any group."""
        from lookalike.duplicates import DuplicateDecisions

        return DuplicateDecisions(self.library.artifacts, self.name)

    # Changing

    def add(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        category: str | None = None,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Copy images into the collection and index them. Existing images are not read again.

        Args:
            paths: files and folders. A file becomes the item of its name. In a folder, the first folder
                below it is the category, and CSV, JSONL and Parquet files at its top are metadata.
            category: a folder of the collection to put all of them in.
            progress: called while images are indexed.

        Raises:
            InvalidInput: a path does not exist, or its name cannot be an id.
            CollectionNotFound: the collection was deleted.
        """
        from lookalike.sources.indexing import index_paths

        given = [paths] if isinstance(paths, str | Path) else paths
        report = index_paths(
            self.library, [Path(path) for path in given], self.name, category=category, progress=progress
        )
        self._refresh()
        return report

    def remove(self, ids: str | Iterable[str]) -> int:
        """Move items to the trash: their images, and the metadata that was uploaded with them.

        They stay there for 30 days; see `restore`.

        Returns:
            How many items were deleted.

        Raises:
            ItemNotFound: one of them does not exist; then nothing was deleted.
        """
        from lookalike.layout import image_key

        images = self.library.images
        given = [ids] if isinstance(ids, str) else list(dict.fromkeys(ids))
        for id_ in given:
            if not images.exists(image_key(self.name, id_)):
                raise ItemNotFound("no such item", got=repr(id_))
        self.library.ingestor.observe(self.name, self.trash.move(given))
        self._refresh()
        return len(given)

    @property
    def trash(self) -> Trash:
        """The items that were deleted in the last 30 days."""
        return self.library.trash(self.name)

    def restore(self, ids: str | Iterable[str], *, replace: bool = False) -> int:
        """Move items back from the trash, and index them.

        Args:
            ids: of deleted items.
            replace: items that have these ids now go to the trash in their place.

        Returns:
            How many items were restored.

        Raises:
            ItemNotFound: one of them is not in the trash; then nothing was restored.
            Conflict: an item has one of these ids now, and `replace` is not given; nothing was restored.
        """
        given = [ids] if isinstance(ids, str) else list(dict.fromkeys(ids))
        self.library.ingestor.observe(self.name, self.trash.restore(given, replace=replace))
        self._refresh()
        return len(given)

    # Encoders

    def train(
        self,
        source: str | Path | None = None,
        *,
        label: str | None = None,
        publish: Publish = "if_better",
        report: Path | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Outcome:
        """Train an encoder on this collection's categories, compare it, and use it if it is better.

        The training runs in a child process, so this one never loads TensorFlow. Called again after a crash
        with the same arguments, it resumes.

        Args:
            source: a folder or zip file to train on instead, with one folder per class.
            label: metadata field whose values are the classes; None: the category.
            publish: use the new encoder "if_better", "always" or "never".
            report: where to write an HTML report.
            progress: called while the training runs.
            options: fields of `TrainingOptions`, for example `epochs=20` or `last_stages=True`.

        Returns:
            The encoder (`trained.manifest.id`), its comparison with the one in use, whether it is used
            now (`publication`) and why (`reason`).

        Raises:
            InvalidInput: nothing can be learned from the source, or an option cannot be used.
            Incompatible: TensorFlow is not installed.
        """
        from lookalike.training.options import TrainingOptions
        from lookalike.training_jobs.folders import TrainingFolders
        from lookalike.training_jobs.progress_sinks import CallbackSink
        from lookalike.training_jobs.workflow import TrainingRequest, Workflow

        chosen = TrainingOptions.from_json(options)
        request = TrainingRequest(
            chosen,
            files=None if source is None else lambda: Path(source),
            items_of=self.name if source is None else None,
            label=label,
            target=self.name,
            publish=publish,
        )
        folders = TrainingFolders.in_cache(self.library.cache, chosen, report)
        outcome = Workflow(self.library, request, CallbackSink(progress)).run(folders)
        self._refresh()
        return outcome

    def evaluate(
        self,
        encoders: Sequence[str] = (),
        *,
        label: str | None = None,
        precision_target: float = 0.92,
        progress: Progress | None = None,
    ) -> EvaluationReport:
        """Measure how well encoders find items of the same category, on this collection's own images.

        Args:
            encoders: ids or names; the others are compared with the first. None given: the collection's own.
            label: metadata field whose values are the classes; None: the category.
            precision_target: the precision for which to find a threshold.
            progress: called while images are encoded.

        Returns:
            Recall, precision and thresholds of each encoder, with 95 % intervals, and the split that they are
            measured on: images that a training held out if there are any, else leave-one-out.

        Raises:
            EncoderNotFound: there is no such encoder.
            InvalidInput: fewer than two categories have two images, or no item has the field `label`.
        """
        from lookalike.evaluation.compare_encoders import evaluate_encoders, from_collection

        images = from_collection(self.library, self.name, None, label)
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if progress:
                progress("encoding", done, len(images))

        report, _ = evaluate_encoders(
            self.library.encoders,
            list(encoders) or [self.config.encoder_id],
            images,
            title=f"Retrieval quality: {self.name}",
            precision_target=precision_target,
            advance=advance,
            progress=as_notes(progress),
        )
        return report

    def publish(self, encoder: str, *, force: bool = False, progress: Progress | None = None) -> Publication:
        """Encode the collection with another encoder, and use it if it is better.

        Args:
            encoder: id or name of an encoder of the store.
            force: use it even if it is not better or cannot be compared.
            progress: called while items are encoded.

        Raises:
            EncoderNotFound: there is no such encoder.
            Conflict: another encoder is being published in this collection.
            InvalidInput: the encoders cannot be compared, and `force` is not given.
        """
        from lookalike.publishing import publish_encoder

        done = publish_encoder(self.library, self.name, encoder, force=force, progress=progress)
        self._refresh()
        return done

    def rollback(self, *, progress: Progress | None = None) -> Publication:
        """Use the previous encoder again, with the snapshot that it had. Raises Conflict: there is none."""
        from lookalike.publishing import rollback

        done = rollback(self.library, self.name, progress=progress)
        self._refresh()
        return done

    def _refresh(self) -> None:
        """Make the next search through this object see the changes made through it."""
        searcher = self.library.searcher(self.name)
        if searcher.status().checked_at is not None:
            searcher.refresh(force=True)
