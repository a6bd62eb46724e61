"""Cost of reading an image, by format and size: `python -m bench.images`.

One thread. `decode` is bytes → upright sRGB at the scale that a 224-px encoder needs; `input` is that → the
encoder's input; `hash` is the perceptual hash. `peak MB` is what one decode adds to a fresh process. Photos
come from LOOKALIKE_DATA; larger sizes are enlarged from them, so they have less detail than a camera's.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from PIL import Image

from lookalike.images import DecodedImage, ImageLimits, Preprocess, decode, model_input, perceptual_hash
from lookalike.settings import Settings

DATA = Path(os.environ.get("LOOKALIKE_DATA", "../shared/data"))
LIMITS = ImageLimits.from_settings(Settings())
PREPROCESS = Preprocess()
PHOTOS = 12
ROUNDS = 7
# Title, longer side in pixels (0: as it is), format, and how it is saved.
ROWS: tuple[tuple[str, int, str, dict[str, object]], ...] = (
    ("JPEG, 256 px", 0, "JPEG", {"quality": 85}),
    ("JPEG, 640 px", 640, "JPEG", {"quality": 85}),
    ("JPEG, 640 px, progressive", 640, "JPEG", {"quality": 85, "progressive": True}),
    ("PNG, 640 px", 640, "PNG", {}),
    ("WebP, 640 px", 640, "WEBP", {"method": 2}),
    ("AVIF, 640 px", 640, "AVIF", {"speed": 9}),
    ("JPEG, 12 megapixels", 4_000, "JPEG", {"quality": 85}),
)


def files(side: int, kind: str, options: dict[str, object]) -> list[bytes]:
    """Some photos, re-saved at a size."""
    made = []
    for path in islice(sorted((DATA / "clothing").rglob("*.jpg")), 0, None, 300):
        with Image.open(path) as opened:
            photo = opened.convert("RGB")
        if side:
            scale = side / max(photo.size)
            photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
        target = io.BytesIO()
        photo.save(target, kind, **options)
        made.append(target.getvalue())
    return made[:PHOTOS]


def milliseconds(work: Callable[[], object], count: int) -> float:
    """Median over rounds of the mean over `count` items."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        rounds.append((time.perf_counter() - start) * 1_000 / count)
    return statistics.median(rounds)


def measure(data: Sequence[bytes]) -> tuple[float, float, float]:
    """Milliseconds to decode, to make the input, and to hash."""

    def decoded() -> list[DecodedImage]:
        return [decode(file, LIMITS, min_side=PREPROCESS.min_side) for file in data]

    images = decoded()
    return (
        milliseconds(decoded, len(data)),
        milliseconds(lambda: [model_input(image, PREPROCESS) for image in images], len(data)),
        milliseconds(lambda: [perceptual_hash(image) for image in images], len(data)),
    )


def peak_megabytes(data: bytes) -> float:
    """What decoding one file adds to the peak of a fresh process (Linux only)."""
    code = (
        "import sys, lookalike.images as images, lookalike.settings as settings\n"
        "def peak(): return int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]) / 1024\n"
        "limits = images.ImageLimits.from_settings(settings.Settings())\n"
        "data, before = sys.stdin.buffer.read(), peak()\n"
        "images.decode(data, limits, min_side=images.Preprocess().min_side)\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    return float(done.stdout)


def main() -> int:
    """Print the table."""
    if not (DATA / "clothing").is_dir():
        print(f"no photos at {DATA / 'clothing'}: set LOOKALIKE_DATA")
        return 0
    print(f"{'':28} {'decode ms':>10} {'input ms':>9} {'both ms':>8} {'hash ms':>8} {'peak MB':>8}")
    for title, side, kind, options in ROWS:
        data = files(side, kind, options)
        decoding, preparing, hashing = measure(data)
        both = decoding + preparing
        print(
            f"{title:28} {decoding:10.2f} {preparing:9.2f} {both:8.2f} {hashing:8.2f} "
            f"{peak_megabytes(data[0]):8.0f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
