"""Read the directory of an untrusted zip file (PKWARE's APPNOTE.TXT 6.3.10)."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
END_BYTES, END_64_BYTES, LOCATOR_BYTES = 22, 56, 20
MAX_COMMENT_BYTES = 0xFFFF
UNICODE_PATH = 0x7075
UTF8_FLAG = 0x800


def directory_bytes(file: Path) -> int:
    """Bytes of the directory at its end, which zipfile reads into memory; 0 if not found."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        opened.seek(max(0, size - END_BYTES - MAX_COMMENT_BYTES - LOCATOR_BYTES))
        tail = opened.read()
        at = tail.rfind(END)
        if at < 0 or len(tail) < at + END_BYTES:
            return 0
        (length,) = struct.unpack_from("<I", tail, at + 12)
        locator = tail[max(0, at - LOCATOR_BYTES) : at]
        if length != 0xFFFFFFFF or not locator.startswith(LOCATOR_64):
            return int(length)
        opened.seek(min(size, struct.unpack_from("<Q", locator, 8)[0]))
        record = opened.read(END_64_BYTES)
    if len(record) < END_64_BYTES or not record.startswith(END_64):
        return 0
    return int(struct.unpack_from("<Q", record, 40)[0])


def raw_name(entry: zipfile.ZipInfo) -> str | bytes:
    """The name of an entry if its encoding is known, else its bytes."""
    if entry.flag_bits & UTF8_FLAG:
        return entry.orig_filename
    given = entry.orig_filename.encode("cp437")  # the encoding that zipfile used
    return _unicode_path(entry.extra, given) or given


def _unicode_path(extra: bytes, given: bytes) -> str | None:
    """The UTF-8 name that Info-ZIP stores next to the old one, if it still belongs to that name."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + length]
        if kind == UNICODE_PATH and field[1:5] == struct.pack("<I", zlib.crc32(given)):
            try:
                return field[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
        at += 4 + length
    return None
