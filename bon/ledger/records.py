"""Records of a segment, as bytes: how they are framed, and how they are found again.

    magic (4) | length of payload (4) | CRC-32 of all the rest (4) | key (16) | kind (1) | payload

Integers are little-endian. The magic begins with a byte that UTF-8 does not know, so no payload of text
can look like the start of a record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = b"\xffbL1"
KEY_BYTES = 16
MAX_PAYLOAD = 1 << 28
VERDICT, CANDIDATES = 1, 2
COMPRESSED = 0x80
"""Set in the kind of a record whose payload is compressed by zlib, as `compact` does."""

_HEAD = struct.Struct(f"<4sII{KEY_BYTES}sB")
_TAIL = struct.Struct(f"<{KEY_BYTES}sB")
_LENGTH = struct.Struct("<I")


class Record(NamedTuple):
    """A whole record and where it stands."""

    start: int
    end: int
    key: bytes
    kind: int
    payload: bytes


class Gap(NamedTuple):
    """Bytes that are no record: torn off, overwritten, or not ours."""

    start: int
    end: int


def pack(key: bytes, kind: int, payload: bytes) -> bytes:
    """The record as bytes."""
    check = _checksum(len(payload), key, kind, payload)
    return _HEAD.pack(MAGIC, len(payload), check, key, kind) + payload


def read_at(data: bytes, start: int) -> Record | None:
    """The record that begins at `start`, if a whole and undamaged one does."""
    body = start + _HEAD.size
    if body > len(data):
        return None
    magic, length, check, key, kind = _HEAD.unpack_from(data, start)
    end = body + length
    if magic != MAGIC or length > MAX_PAYLOAD or end > len(data):
        return None
    payload = data[body:end]
    if _checksum(length, key, kind, payload) != check:
        return None
    return Record(start, end, key, kind, payload)


def scan(data: bytes, start: int = 0) -> Iterator[Record | Gap]:
    """All records from `start` on, and the gaps between them; after a gap it finds its way again."""
    while start < len(data):
        found: Record | Gap | None = read_at(data, start)
        if found is None:
            found = Gap(start, _next_record(data, start + 1))
        yield found
        start = found.end


def text_of(record: Record) -> bytes:
    """The payload as it was written."""
    return zlib.decompress(record.payload) if record.kind & COMPRESSED else record.payload


def compressed(record: Record) -> bytes:
    """The record as bytes, its payload compressed where that makes it smaller."""
    small = record.payload if record.kind & COMPRESSED else zlib.compress(record.payload, 6)
    if record.kind & COMPRESSED or len(small) >= len(record.payload):
        return pack(record.key, record.kind, record.payload)
    return pack(record.key, record.kind | COMPRESSED, small)


def _next_record(data: bytes, start: int) -> int:
    while (start := data.find(MAGIC, start)) >= 0:
        if read_at(data, start) is not None:
            return start
        start += 1
    return len(data)


def _checksum(length: int, key: bytes, kind: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_TAIL.pack(key, kind), zlib.crc32(_LENGTH.pack(length))))
