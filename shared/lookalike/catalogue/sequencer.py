"""Sequencers: strings that order the events of one object.

Amazon S3 sends one with each event and says how to compare two: right-pad the shorter with zeros, then
compare as text (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
The catalogue keeps them padded to one width, so that a plain `>` in a condition is right.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from lookalike.errors import InvalidInput

WIDTH = 32
_HEX = re.compile(r"[0-9a-f]{1,32}")


def normalise_sequencer(sequencer: str) -> str:
    """Pad to 32 lower-case hexadecimal digits. Two events are in order if their results are, as text.

    Raises:
        InvalidInput: not 1 to 32 hexadecimal digits.
    """
    text = sequencer.lower()
    if not _HEX.fullmatch(text):
        raise InvalidInput(
            "this cannot order events", got=repr(sequencer), expected=f"1 to {WIDTH} hexadecimal digits"
        )
    return text.ljust(WIDTH, "0")


def sequencer_after(known: str | None) -> str:
    """A repair sequencer: just greater than `known` (None: no row), less than that of any later event.

    Events have at most 18 digits; the 14 digits after them have room for 7e16 repairs between two events.
    """
    last = int(normalise_sequencer(known), 16) if known else 0
    return f"{last + 1:0{WIDTH}x}"


def sequencer_of_time(text: str) -> str:
    """A sequencer for a notification that has none: from its ISO 8601 time.

    Amazon's begin with the seconds since 1970 in hexadecimal, and so does this one.

    Raises:
        ValueError: `text` is not such a time.
    """
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"00{int(moment.timestamp()):08X}{(moment.microsecond << 32) // 1_000_000:08X}"
