"""The data set of a training: images, each with its class.

Unusable images are left out with a note. A source that cannot be used for training raises one error.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lookalike.errors import ImageRejected, InvalidInput
from lookalike.images.sniff import read_header
from lookalike.integrity import UNREADABLE, load_json
from lookalike.text import counted, listed

SplitPart = Literal["train", "validation"]
FORMAT = 1
MIN_PER_LABEL = 2


@dataclass(frozen=True, slots=True)
class Example:
    """One image and its class.

    Attributes:
        id: path below the source's root, with `/`; or the id of an item.
        path: a local file with the image's bytes.
        label: its class.
        product: images of one product are never on both sides of a split; None: not known.
        split: the side that the user's metadata sets.
    """

    id: str
    path: Path
    label: str
    product: str | None = None
    split: SplitPart | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images of two classes or more, each id once.

    Attributes:
        examples: in a fixed order.
        notes: notes for users: what was left out, and how the source was interpreted.

    Raises:
        InvalidInput: fewer than two classes, or an id twice.
    """

    examples: tuple[Example, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        twice = [id_ for id_, count in Counter(example.id for example in self.examples).items() if count > 1]
        if twice:
            raise InvalidInput("two images have the same id", got=listed(twice), expected="unique ids")
        if len(self.labels) < 2:
            raise _too_few_classes(Counter(example.label for example in self.examples))

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, sorted."""
        return tuple(sorted({example.label for example in self.examples}))

    def fingerprint(self, about: object = None) -> str:
        """20 hexadecimal digits that change with the images, their classes, and `about` (as JSON).

        Files are compared by length and time, not read, so it takes seconds for any number of files.
        """
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for example in self.examples:
            status = example.path.stat()
            said = (example.id, example.label, example.product, example.split)
            digest.update(json.dumps((*said, status.st_size, status.st_mtime_ns)).encode())
        return digest.hexdigest()[:20]

    def write(self, path: Path) -> None:
        """Write as JSON lines, atomically: a header with the notes, then one line per image."""
        staged = path.with_name(f"{path.name}.{os.getpid()}.part")
        with staged.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"format": FORMAT, "notes": self.notes}) + "\n")
            for example in self.examples:
                file.write(json.dumps(asdict(example) | {"path": str(example.path)}) + "\n")
        staged.replace(path)

    @classmethod
    def read(cls, path: Path) -> Dataset:
        """Inverse of `write`.

        Raises:
            InvalidInput: the file is something else.
        """
        try:
            with path.open(encoding="utf-8") as file:
                head = load_json(file.readline())
                if head["format"] != FORMAT:
                    raise InvalidInput("unknown format of a data set", got=head["format"], expected=FORMAT)
                examples = tuple(_example(load_json(line)) for line in file)
                return cls(examples, tuple(head["notes"]))
        except UNREADABLE as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput("this is not a data set", got=path, fix="Read the source again.") from error


def trainable(examples: Iterable[Example], notes: Sequence[str] = ()) -> Dataset:
    """The data set of those `examples` whose class has two images or more; notes name the other classes.

    Raises:
        InvalidInput: fewer than two classes are left.
    """
    given = list(examples)
    counts = Counter(example.label for example in given)
    small = sorted(label for label, count in counts.items() if count < MIN_PER_LABEL)
    if len(counts) - len(small) < 2:
        raise _too_few_classes(counts)
    said = list(notes)
    if small:
        said.append(f"{counted(len(small), 'class')} of one image left out: {listed(small)}")
    return Dataset(tuple(e for e in given if counts[e.label] >= MIN_PER_LABEL), tuple(said))


def check_readable(examples: Sequence[Example], rejected: Mapping[str, str]) -> Dataset:
    """`examples` without the images that do not decode.

    Args:
        examples: all of them.
        rejected: id → why, of those that do not decode.

    Raises:
        InvalidInput: none is left, or fewer than two classes with two images.
    """
    left = [example for example in examples if example.id not in rejected]
    if not left:
        raise nothing_readable(len(examples), next(iter(rejected.values()), "no image at all"))
    bad = [f"{example.id} ({rejected[example.id]})" for example in examples if example.id in rejected]
    notes = [f"{len(bad)} of {len(examples)} images cannot be read: {listed(bad)}"] if bad else []
    try:
        return trainable(left, notes)
    except InvalidInput as error:
        if not bad:
            raise
        raise InvalidInput(
            "too few images are left when those that cannot be read are left out",
            got=f"{len(left)} of {len(examples)}; {error.got}",
            expected=error.expected,
            fix=f"The first that cannot be read: {bad[0]}.",
        ) from error


def check_any_opens(examples: Sequence[Example]) -> None:
    """Check that at least one file has the header of an image; reads headers only, and stops at the first.

    Raises:
        InvalidInput: none has.
    """
    reason = "no image at all"
    for example in examples:
        try:
            read_header(example.path.read_bytes())
        except (ImageRejected, OSError) as error:
            reason = f"{example.id}: {error}"
        else:
            return
    raise nothing_readable(len(examples), reason)


def nothing_readable(count: int, reason: str) -> InvalidInput:
    """The error for a source whose every image is damaged."""
    return InvalidInput(
        "none of the images can be read",
        got=f"{counted(count, 'file')}, the last of them {reason.rstrip('.')}",
        expected="JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF",
        fix="Copy the images again from their original location.",
    )


def _example(row: Mapping[str, Any]) -> Example:
    example = Example(**row)
    if not isinstance(example.id, str) or not isinstance(example.label, str):
        raise TypeError("an id or a label is not text")
    return replace(example, path=Path(row["path"]))


def _too_few_classes(counts: Counter[str]) -> InvalidInput:
    big = {label for label, count in counts.items() if count >= MIN_PER_LABEL}
    expected = "two classes or more, each with two images or more"
    if not counts:
        return InvalidInput(
            "no image has a class",
            got="none",
            expected=expected,
            fix="Put the images into one folder per class.",
        )
    if len(counts) == 1:
        ((label, count),) = counts.items()
        return InvalidInput(
            "there is only one class, so there is nothing to distinguish",
            got=f"{label} with {counted(count, 'image')}",
            expected=expected,
            fix="Add a folder for each further class, such as photos/shoes and photos/hats.",
        )
    return InvalidInput(
        "too few classes have two images or more",
        got=f"{len(big)} of {len(counts)} ({listed(sorted(counts))})",
        expected=expected,
        fix="Add images to the classes that have only one, or merge classes.",
    )
