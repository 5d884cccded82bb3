"""Rows to files, in input order, whatever order they come in."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import math
import pickle
import tempfile
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from bon.datasets.files import ENDINGS, format_of, pyarrow
from bon.types import BonError

HELD_BYTES = 8 << 20
"""Early rows beyond this are spilled to a file without a name, not held."""
_BATCH = 1000
_ABSENT = -1


class Sink(ABC):
    """Takes rows one after another."""

    @abstractmethod
    def write(self, row: Mapping[str, Any]) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Finish the file; the stream below is closed by whoever opened it."""

    def abandon(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of what waits on disk."""


class OrderedWriter:
    """Writes rows in the order of their positions, each as soon as all before it are there.

    To a stream as JSON lines, or to any other sink. Rows that come early wait in memory up to
    `HELD_BYTES`, then in a temporary file in `spill`.
    """

    def __init__(self, to: IO[bytes] | Sink, spill: Path | None = None) -> None:
        self._sink = to if isinstance(to, Sink) else JsonLines(to)
        self._next = 0
        self._held: dict[int, bytes] = {}
        self._bytes = 0
        self._spill = _Spill(spill)

    def write(self, position: int, row: Mapping[str, Any]) -> None:
        """Take the row for this place in the output, counted from 0."""
        self._place(position, row)

    def skip(self, position: int) -> None:
        """Leave this place empty."""
        self._place(position, None)

    def finish(self) -> None:
        """Write what is there although rows before it never came, and finish the file."""
        for position in sorted([*self._held, *self._spill.positions(self._next)]):
            self._put(self._take(position))
        self._sink.close()
        self.abandon()

    def abandon(self) -> None:
        """Let go of what waits on disk."""
        self._sink.abandon()
        self._spill.close()

    def _place(self, position: int, row: Mapping[str, Any] | None) -> None:
        if position != self._next:
            data = pickle.dumps(row, pickle.HIGHEST_PROTOCOL)
            if self._bytes + len(data) > HELD_BYTES:
                self._spill.put(position, data, self._next)
            else:
                self._held[position] = data
                self._bytes += len(data)
            return
        self._put(row)
        self._next += 1
        while self._next in self._held or self._spill.has(self._next):
            self._put(self._take(self._next))
            self._next += 1

    def _take(self, position: int) -> Mapping[str, Any] | None:
        data = self._held.pop(position, None)
        if data is None:
            data = self._spill.take(position)
        else:
            self._bytes -= len(data)
        row: Mapping[str, Any] | None = pickle.loads(data)  # our own, from a file without a name
        return row

    def _put(self, row: Mapping[str, Any] | None) -> None:
        if row is not None:
            self._sink.write(row)


class _Spill:
    """Rows on disk, found by position: 8 bytes of memory for each place between first and last."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._offsets = array("q")
        self._base = 0
        self._count = 0

    def put(self, position: int, data: bytes, first: int) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        if self._count == 0:
            self._file.truncate(0)
            self._offsets, self._base = array("q"), first
        elif first - self._base > len(self._offsets) // 2:
            del self._offsets[: first - self._base]
            self._base = first
        missing = position - self._base + 1 - len(self._offsets)
        if missing > 0:
            self._offsets.extend([_ABSENT] * missing)
        self._offsets[position - self._base] = self._file.seek(0, io.SEEK_END)
        self._file.write(len(data).to_bytes(8, "little") + data)
        self._count += 1

    def has(self, position: int) -> bool:
        at = position - self._base
        return self._count > 0 and 0 <= at < len(self._offsets) and self._offsets[at] != _ABSENT

    def take(self, position: int) -> bytes:
        assert self._file is not None
        at = position - self._base
        self._file.seek(self._offsets[at])
        data = self._file.read(int.from_bytes(self._file.read(8), "little"))
        self._offsets[at] = _ABSENT
        self._count -= 1
        return data

    def positions(self, first: int) -> list[int]:
        ahead = range(first, self._base + len(self._offsets))
        return [position for position in ahead if self.has(position)]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


# --- formats ------------------------------------------------------------------------------------


class JsonLines(Sink):
    """A JSON object a line, on its way to the disk when the call returns."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, row: Mapping[str, Any]) -> None:
        self._stream.write(dump(row) + b"\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class JsonArray(Sink):
    """One JSON array, an object a line in it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._before = b"[\n"

    def write(self, row: Mapping[str, Any]) -> None:
        self._stream.write(self._before + dump(row))
        self._before = b",\n"

    def close(self) -> None:
        self._stream.write(b"\n]\n" if self._before == b",\n" else b"[]\n")


class _Spooled(Sink):
    """Rows that wait on disk until all are there, for formats that must know every column first."""

    def __init__(self, stream: IO[bytes], spill: Path | None) -> None:
        self._stream = stream
        self._spool = tempfile.TemporaryFile(dir=spill)  # noqa: SIM115
        self._batch: list[Mapping[str, Any]] = []
        self._columns: dict[str, None] = {}

    def write(self, row: Mapping[str, Any]) -> None:
        self._columns.update(dict.fromkeys(row))
        self._batch.append(row)
        if len(self._batch) >= _BATCH:
            self._flush()

    def abandon(self) -> None:
        self._spool.close()

    def _flush(self) -> None:
        pickle.dump(self._batch, self._spool, pickle.HIGHEST_PROTOCOL)
        self._batch = []

    def _batches(self) -> Iterator[list[Mapping[str, Any]]]:
        self._flush()
        end = self._spool.tell()
        self._spool.seek(0)
        while self._spool.tell() < end:
            yield pickle.load(self._spool)  # our own, from a file without a name


class Csv(_Spooled):
    """A table with a header; whatever is neither text nor number is JSON in its cell."""

    def __init__(self, stream: IO[bytes], spill: Path | None, delimiter: str) -> None:
        super().__init__(stream, spill)
        self._delimiter = delimiter

    def close(self) -> None:
        text = io.TextIOWrapper(self._stream, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, delimiter=self._delimiter)
        writer.writerow(self._columns)
        for batch in self._batches():
            for row in batch:
                writer.writerow([_cell(row.get(column)) for column in self._columns])
        text.detach()


class Parquet(_Spooled):
    """A Parquet file. A column whose values are of no one type holds them as JSON text."""

    def close(self) -> None:
        pa = pyarrow("Parquet")
        import pyarrow.parquet as pq

        types: dict[str, Any] = {name: pa.null() for name in self._columns}
        for batch in self._batches():
            for name, known in types.items():
                if known is not None:
                    types[name] = _common_type(known, [row.get(name) for row in batch])
        schema = pa.schema([(n, pa.string() if t is None else t) for n, t in types.items()])
        with pq.ParquetWriter(self._stream, schema, compression="zstd") as writer:
            for batch in self._batches():
                columns = [
                    pa.array([_as_json(row.get(n)) for row in batch], pa.string())
                    if t is None
                    else pa.array([row.get(n) for row in batch], t)
                    for n, t in types.items()
                ]
                if batch:
                    writer.write_table(pa.table(columns, schema=schema))


def sink_for(path: Path, stream: IO[bytes], spill: Path | None = None) -> Sink:
    """The sink for the format that the path's ending names, on an open stream that compresses already.

    JSON lines where there is no ending (such as /dev/null); `BonError` where it names no format.
    """
    ending, compression = format_of(path)
    if ending in (".jsonl", ".ndjson") or not (path.suffix or compression):
        return JsonLines(stream)
    if ending == ".json":
        return JsonArray(stream)
    if ending in (".csv", ".tsv"):
        return Csv(stream, spill, "\t" if ending == ".tsv" else ",")
    if ending == ".parquet" and not compression:
        pyarrow("Parquet")
        return Parquet(stream, spill)
    known = ", ".join(e for e in ENDINGS if e not in (".parquet", ".arrow"))
    raise BonError(
        f"cannot tell the format of {path}: end its name in .parquet, or in one of {known},"
        " which .gz or .zst may follow"
    )


def compressing(path: Path, stream: IO[bytes]) -> IO[bytes]:
    """`stream`, compressed as the path's ending says; close it to finish, before `stream`."""
    _, compression = format_of(path)
    if compression == ".gz":
        # no name and no time in it: the same rows give the same bytes
        return gzip.GzipFile("", "wb", 6, stream, mtime=0)  # type: ignore[return-value]
    if compression == ".zst":
        pa = pyarrow("zstd")
        compressed: IO[bytes] = pa.CompressedOutputStream(_Kept(stream), "zstd")
        return compressed
    return stream


class _Kept(io.RawIOBase):
    """A stream that stays open when what writes to it is closed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._to = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._to.write(data)
        return len(data)


# --- values -------------------------------------------------------------------------------------


def dump(value: Any) -> bytes:
    """JSON of anything a row may hold: times as ISO 8601, bytes as base64, other things as text."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # an integer beyond 64 bits, a lone surrogate
        return json.dumps(_finite(value), default=_plain, allow_nan=False).encode()


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for, as orjson writes it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _as_json(value: Any) -> str | None:
    return None if value is None else dump(value).decode()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return value if type(value) in (int, float) else _as_json(value)


def _common_type(known: Any, values: list[Any]) -> Any:
    """The type that holds what was there and these values; None where there is none."""
    pa = pyarrow("Parquet")
    try:
        found = pa.array(values).type
        if _has_empty_struct(found):
            return None
        schemas = [pa.schema([("", known)]), pa.schema([("", found)])]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowException, OverflowError):
        return None


def _has_empty_struct(kind: Any) -> bool:
    """A struct without fields, which Parquet cannot hold."""
    pa = pyarrow("Parquet")
    if pa.types.is_struct(kind):
        return kind.num_fields == 0 or any(_has_empty_struct(field.type) for field in kind)
    return pa.types.is_list(kind) and _has_empty_struct(kind.value_type)
