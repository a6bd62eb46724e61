"""`Collection`: one collection of a `Library`, to search, change, train and evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import InvalidInput, ItemNotFound

if TYPE_CHECKING:
    from lookalike.collections import CollectionConfig
    from lookalike.duplicates import DuplicateGroup
    from lookalike.library.library import Library
    from lookalike.neighbors import Neighbors
    from lookalike.progress import Progress
    from lookalike.publishing import Publication
    from lookalike.search import SearchResult
    from lookalike.sources.indexing import IndexReport
    from lookalike.types import Item


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

    def search(
        self,
        image: str | Path | bytes | None = None,
        *,
        id: str | None = None,
        k: int = 10,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
        min_confidence: float | None = None,
        group_by: str | None = None,
        include_self: bool = False,
    ) -> SearchResult:
        """The items that are most similar to an image, or to an item.

        Args:
            image: a file, or the bytes of one.
            id: of an item of the collection, in place of `image`.
            k: how many matches; fewer come back only when no more exist.
            offset: how many of the best matches to skip.
            filter: conditions on the items' fields, such as `{"category": "shoes", "price": {"lt": 50}}`.
            min_confidence: leave out matches below it; 0 to 1.
            group_by: return only the best match of each value of this field.
            include_self: with `id`, keep that item among the matches.

        Returns:
            The matches, best first: each with its item, score, distance and confidence.

        Raises:
            InvalidInput: neither or both of `image` and `id`; or an option cannot be used. FilterError and
                ImageRejected are kinds of it.
            ItemNotFound: there is no item of this id.
            NotReady: the collection has no items yet.
        """
        from lookalike.filters import parse_filter
        from lookalike.search import Query, QueryPart

        if (image is None) == (id is None):
            raise InvalidInput("a search needs either an image or an id", expected="exactly one of them")
        if image is None:
            part = QueryPart("id", id or "")
        else:
            part = QueryPart("image", image if isinstance(image, bytes) else Path(image).read_bytes())
        query = Query(
            parts=(part,),
            limit=k,
            offset=offset,
            filter=None if filter is None else parse_filter(filter),
            min_confidence=min_confidence,
            group_by=group_by,
            include_self=include_self,
        )
        return self.library.searcher(self.name).search(query)

    def item(self, id: str) -> Item:
        """One item with its metadata. Raises ItemNotFound, with the nearest ids."""
        return self.library.searcher(self.name).item(id)

    def neighbors(self, k: int = 10) -> Iterable[Neighbors]:
        """Every item with its `k` nearest others, one item at a time. Raises InvalidInput, NotReady."""
        from lookalike.neighbors import iter_neighbors

        return iter_neighbors(self.library.searcher(self.name).state(), k)

    def duplicates(self) -> list[DuplicateGroup]:
        """Groups of images that are nearly the same, the largest group first. Raises NotReady."""
        from lookalike.duplicates import find_duplicates

        return find_duplicates(self.library.searcher(self.name).state().view)

    # Changing

    def add(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        category: str | None = None,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Copy images into the collection and index them. What is there already is not read again.

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
        """Delete items: their images, and the metadata that was uploaded with them.

        Returns:
            How many items were deleted.

        Raises:
            ItemNotFound: one of them does not exist; then nothing was deleted.
        """
        from lookalike.layout import image_key, upload_metadata_key

        images = self.library.images
        given = [ids] if isinstance(ids, str) else list(dict.fromkeys(ids))
        for id_ in given:
            if not images.exists(image_key(self.name, id_)):
                raise ItemNotFound("no such item", got=repr(id_))
        keys = []
        for id_ in given:
            keys += [image_key(self.name, id_), upload_metadata_key(self.name, id_)]
        for key in keys:
            images.delete(key)
        self.library.ingestor.observe(self.name, keys)
        self._refresh()
        return len(given)

    # Encoders

    def publish(self, encoder: str, *, force: bool = False, progress: Progress | None = None) -> Publication:
        """Encode the collection with another encoder, and use it if it finds better.

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
        """Let the next search of this object find what was changed through it."""
        searcher = self.library.searcher(self.name)
        if searcher.status().checked_at is not None:
            searcher.refresh(force=True)
