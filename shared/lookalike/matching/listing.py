"""The products of one seller: read from a table whose columns are recognised by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lookalike.errors import InvalidInput, MetadataError
from lookalike.metadata import Record, RowProblem, read_records
from lookalike.types import Vectors
from lookalike.words import plain_text, price_of

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "product_id", "item_id", "sku", "asin", "gtin", "ean", "uniq_id", "url", "file"),
    "title": ("title", "name", "product_name", "product_title", "productname", "product", "label"),
    "description": (
        "description",
        "product_description",
        "details",
        "features",
        "specifications",
        "text",
    ),
    "brand": ("brand", "manufacturer", "vendor", "maker"),
    "price": ("price", "sale_price", "selling_price", "current_price", "amount", "cost", "list_price"),
    "image": ("image", "file", "image_path", "image_file", "photo", "picture", "filename"),
}
"""What a column means: the names by which it is recognised, in any case, the most telling first."""
REQUIRED = ("id", "title")


@dataclass(frozen=True)
class Listing:
    """Products of one seller; all sequences have one entry per product.

    Attributes:
        name: for people: the name of the file or the collection.
        ids: unique.
        titles: plain text; "" if a product has none.
        descriptions: plain text, "" likewise.
        brands: plain text, "" likewise.
        prices: (n,) float64, NaN where there is none.
        images: paths of image files, None where there is none.
        vectors: (n, d) float32 of unit length, a row of NaN where a product has no image; None: no images.
        columns: what was recognised: meaning → name of the column.
        problems: rows and cells that were left out.
    """

    name: str
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    descriptions: tuple[str, ...]
    brands: tuple[str, ...]
    prices: np.ndarray
    images: tuple[Path | None, ...] = ()
    vectors: Vectors | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[RowProblem, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def read_listing(path: Path, columns: Mapping[str, str] | None = None) -> Listing:
    """Read a table of products: CSV (comma, semicolon, tab or bar), JSON Lines or Parquet.

    Args:
        path: of the table; paths of images in it are relative to its folder.
        columns: meaning → name of the column, for columns that have other names than those of `COLUMNS`.

    Raises:
        InvalidInput: there is no such file, or no column with titles or ids.
        MetadataError: the file cannot be read, or is empty.
    """
    if not path.is_file():
        raise InvalidInput("no such table", got=str(path), expected="a CSV, JSON Lines or Parquet file")
    problems: list[RowProblem] = []
    records = read_records(path.name, path.read_bytes(), problems)
    if not records:
        raise MetadataError("the table has no rows", got=str(path))
    return listing_of(path.name, records, columns or {}, folder=path.parent, problems=problems)


def listing_of(
    name: str,
    records: Sequence[Record],
    columns: Mapping[str, str],
    *,
    folder: Path | None = None,
    problems: Sequence[RowProblem] = (),
) -> Listing:
    """The products that `records` describe.

    Args:
        name: of the listing, for people.
        records: one for each product.
        columns: meaning → name of the column, as in `read_listing`.
        folder: where the images are; None: there are none.
        problems: found so far.

    Raises:
        InvalidInput: no column with titles or ids, or a column that is not there.
    """
    found = list(problems)
    names = list(dict.fromkeys(column for record in records for column in record.cells))
    chosen = _recognise(name, names, columns)
    kept = _with_unique_ids(records, chosen["id"], found)
    return Listing(
        name=name,
        ids=tuple(_cell(record, chosen["id"]) for record in kept),
        titles=_texts(kept, chosen["title"]),
        descriptions=_texts(kept, chosen.get("description")),
        brands=_texts(kept, chosen.get("brand")),
        prices=_prices(kept, chosen.get("price"), found),
        images=_images(kept, chosen.get("image"), folder) if folder else (),
        columns=chosen,
        problems=tuple(found),
    )


def _recognise(name: str, names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    unknown = sorted(set(given) - set(COLUMNS))
    if unknown:
        raise InvalidInput("unknown meaning of a column", got=unknown[0], expected=", ".join(COLUMNS))
    chosen: dict[str, str] = {}
    spelled = {_compared(one): one for one in reversed(names)}
    for meaning, candidates in COLUMNS.items():
        wanted = given.get(meaning)
        if wanted is not None and wanted not in names:
            raise InvalidInput(
                f"{name} has no such column",
                got=wanted,
                expected="one of " + ", ".join(names[:20]),
            )
        found = wanted or next((spelled[one] for one in candidates if one in spelled), None)
        if found is not None:
            chosen[meaning] = found
    for meaning in REQUIRED:
        if meaning not in chosen:
            raise InvalidInput(
                f"{name}: no column is recognised as the {meaning}",
                got="columns " + ", ".join(names[:20]),
                expected="one of " + ", ".join(COLUMNS[meaning]),
                fix=f"Name it: --column {meaning}=NAME.",
            )
    return chosen


def _compared(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _with_unique_ids(records: Sequence[Record], column: str, problems: list[RowProblem]) -> list[Record]:
    kept: dict[str, Record] = {}
    for record in records:
        own = _cell(record, column)
        if not own:
            problems.append(RowProblem(record.row, "no id; left out"))
        elif own in kept:
            problems.append(RowProblem(record.row, f"id {own} appears twice; the first row is used"))
        else:
            kept[own] = record
    return list(kept.values())


def _cell(record: Record, column: str | None) -> str:
    value = record.cells.get(column) if column else None
    return "" if value is None else str(value).strip()


def _texts(records: Sequence[Record], column: str | None) -> tuple[str, ...]:
    return tuple(plain_text(_cell(record, column)) for record in records)


def _prices(records: Sequence[Record], column: str | None, problems: list[RowProblem]) -> np.ndarray:
    prices = np.full(len(records), np.nan)
    for number, record in enumerate(records):
        value = record.cells.get(column) if column else None
        written = _cell(record, column)
        found = float(value) if isinstance(value, int | float) else price_of(written)
        if found is not None:
            prices[number] = found
        elif written:
            problems.append(RowProblem(record.row, f"{column}: {written[:40]!r} is not a price; left out"))
    return prices


def _images(records: Sequence[Record], column: str | None, folder: Path) -> tuple[Path | None, ...]:
    written = (_cell(record, column) for record in records)
    paths = [folder / name if name and "://" not in name else None for name in written]
    return tuple(path if path is not None and path.is_file() else None for path in paths)
