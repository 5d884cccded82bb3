"""Rows from files of any common format, one at a time.

| ending                  | read as                                                             |
| ----------------------- | ------------------------------------------------------------------- |
| .jsonl, or unknown      | a JSON object a line; blank lines are skipped                       |
| .json                   | an array of objects, one object, or several one after another       |
| .csv, .tsv              | a table with a header                                               |
| .parquet, .arrow        | a table, by pyarrow (the extra `data`)                              |
| .gz, .zst after it      | the same, compressed (zstd by pyarrow)                              |
| a folder                | what Hugging Face `save_to_disk` wrote, else all such files in it   |
| a glob such as `x/*.gz` | all files it matches, by name                                       |
| `-`                     | standard input, as .jsonl                                           |
"""

from __future__ import annotations

import csv
import fnmatch
import glob
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import orjson

from bon.types import BonError

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
COMPRESSIONS = (".gz", ".zst")
_TABLE_ROWS = 256
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands in the input."""

    line: int
    """Its line, or its place among the rows where the format has no lines, from 1."""
    data: Mapping[str, Any]
    file: str = ""
    as_text: bool = False
    """Whether the format knows nothing but text, so that lists are written as JSON (CSV)."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that gave no prompt, and why."""

    line: int
    reason: str
    file: str = field(default="", compare=False)


def read_rows(path: str) -> Iterator[Row | BadRow]:
    """All rows of a file, a folder, a glob or standard input (`-`), bad ones in their places.

    Raises `BonError` where something cannot be read at all, or pyarrow is needed and not there.
    """
    if path == "-":
        yield from _json_lines(sys.stdin.buffer, "")
        return
    for file in input_files(path):
        try:
            yield from _read(file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BonError(f"cannot read {file}: damaged or cut off ({error})") from error
        except OSError as error:
            raise BonError(f"cannot read {file}: {error.strerror or error}") from error


def input_files(path: str) -> list[Path]:
    """The files that a path, a folder or a glob stands for. Raises `BonError` where there is none."""
    target = Path(path).expanduser()
    if target.is_dir():
        files = _hugging_face(target) or sorted(
            file
            for file in target.rglob("*")
            if format_of(file)[0] and file.is_file() and not _is_ours_or_hidden(file, target)
        )
    elif target.exists() or not glob.has_magic(path):
        return [target]
    else:
        found = glob.glob(str(target), recursive=True)  # noqa: PTH207 - absolute patterns too
        files = sorted(file for file in map(Path, found) if file.is_file())
    if not files:
        raise BonError(f"cannot read {path}: there are no data files ({', '.join(ENDINGS)})")
    return files


def keep_apart(source: str | None, output: str | None) -> None:
    """Raise `BonError` where reading `source` would read `output`, now or once it is there."""
    if source is None or source == "-" or output is None:
        return
    file, target = (Path(path).expanduser().resolve() for path in (output, source))
    if target.is_dir():
        inside = file.is_relative_to(target) and not _is_ours_or_hidden(file, target)
        read = inside and bool(format_of(file)[0])
    elif target.exists():
        read = file.exists() and file.samefile(target)
    elif "**" in source:  # told a little too often: it is taken for any text
        read = fnmatch.fnmatchcase(str(file), str(target))
    else:
        read = glob.has_magic(source) and file.match(str(target))
    if read:
        raise BonError(f"{output} would be read as a part of {source}: write to another place")


def format_of(path: Path) -> tuple[str, str]:
    """The ending that says the format ("" where unknown) and the one that says the compression."""
    compression = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""
    ending = (path.with_suffix("") if compression else path).suffix.lower()
    return (ending if ending in ENDINGS else ""), compression


def pyarrow(need: str) -> Any:
    """pyarrow, or a `BonError` that says how to get it."""
    try:
        import pyarrow as module
    except ImportError:
        raise BonError(f"{need} needs pyarrow: pip install 'bon[data]'") from None
    return module


def _is_ours_or_hidden(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    return file.name.endswith(".errors.jsonl") or any(
        part.startswith(".") or part.endswith(".bon") for part in parts
    )


def _hugging_face(folder: Path) -> list[Path]:
    """The shards of a data set that `datasets` saved to disk: of one split, or of all of them."""
    if (folder / "dataset_dict.json").is_file():
        splits = _json_file(folder / "dataset_dict.json").get("splits") or []
        return [file for split in splits for file in _hugging_face(folder / str(split))]
    state = folder / "state.json"
    if not state.is_file():
        return []
    shards = _json_file(state).get("_data_files") or []
    return [folder / str(shard["filename"]) for shard in shards]


def _json_file(path: Path) -> dict[str, Any]:
    try:
        fields = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise BonError(f"cannot read {path}: {error}") from error
    if not isinstance(fields, dict):
        raise BonError(f"cannot read {path}: not a JSON object")
    return fields


def _read(file: Path) -> Iterator[Row | BadRow]:
    ending, compression = format_of(file)
    name = str(file)
    if ending in (".parquet", ".arrow"):
        yield from _table_rows(_batches(file, ending), name)
        return
    with _opened(file, compression) as stream:
        if ending == ".json":
            yield from _json_values(stream, name)
        elif ending in (".csv", ".tsv"):
            yield from _csv_rows(stream, name, "\t" if ending == ".tsv" else ",")
        else:
            yield from _json_lines(stream, name)


def _opened(file: Path, compression: str) -> IO[bytes]:
    if compression == ".gz":
        return cast(IO[bytes], gzip.open(file, "rb"))
    if compression == ".zst":
        stream = pyarrow("zstd").CompressedInputStream(os.fspath(file), "zstd")
        return io.BufferedReader(stream, _CHUNK)
    return file.open("rb")


# --- JSON ---------------------------------------------------------------------------------------


def json_object(line: bytes) -> Mapping[str, Any]:
    """The object a line holds, NaN and Infinity in it as Python writes them. Raises `BonError` where it holds none."""
    try:
        return _object(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        reason = f"not JSON: {error}"
    if b"NaN" not in line and b"Infinity" not in line:
        raise BonError(reason)
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise BonError(reason) from None
    return _object(row, unicode=False)


def _object(value: object, *, unicode: bool = True) -> Mapping[str, Any]:
    """The value as a row; `unicode` where its texts are known to be."""
    if not isinstance(value, dict):
        raise BonError(f"not a JSON object but a {type(value).__name__}")
    if not unicode and not is_unicode(json.dumps(value, ensure_ascii=False)):
        raise BonError("its text is not valid UTF-8")
    return value


def is_unicode(text: str) -> bool:
    """Whether it can be written: no byte of another encoding, no half of a character in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_lines(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers."""
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, line


def _json_lines(stream: Iterable[bytes], name: str) -> Iterator[Row | BadRow]:
    for number, line in json_lines(stream):
        try:
            yield Row(number, json_object(line), name)
        except BonError as error:
            yield BadRow(number, str(error), name)


def _json_values(stream: IO[bytes], name: str) -> Iterator[Row | BadRow]:
    """Objects of an array, or one after another, without ever holding more than one and a chunk."""
    with _text(stream) as text:
        yield from _values(text, name)


def _values(text: IO[str], name: str) -> Iterator[Row | BadRow]:
    decoder = json.JSONDecoder()
    buffer, number, more = "", 0, True
    while more or buffer:
        buffer = buffer.lstrip(" \t\r\n,[" if number else " \t\r\n[")
        if buffer.startswith("]"):
            buffer = buffer[1:]
            continue
        try:
            value, end = decoder.raw_decode(buffer) if buffer else (None, 0)
        except (ValueError, RecursionError) as error:
            value, end, problem = None, 0, str(error)
        else:
            problem = ""
        if end and (end < len(buffer) or not more):
            number += 1
            yield _row(number, value, name)
            buffer = buffer[end:]
            continue
        chunk = text.read(max(_CHUNK, len(buffer)))  # twice as much, or it would be quadratic
        more = bool(chunk)
        if not more and problem:
            yield BadRow(number + 1, f"not JSON: {problem}; nothing after it is read", name)
            return
        buffer += chunk


def _row(number: int, value: object, name: str) -> Row | BadRow:
    try:
        return Row(number, _object(value, unicode=False), name)
    except BonError as error:
        return BadRow(number, str(error), name)


@contextmanager
def _text(stream: IO[bytes], newline: str | None = None) -> Iterator[IO[str]]:
    """The stream as text, bytes that are not UTF-8 as lone surrogates; it stays open at the end."""
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline=newline)
    try:
        yield text
    finally:
        text.detach()


# --- tables -------------------------------------------------------------------------------------


def _csv_rows(stream: IO[bytes], name: str, delimiter: str) -> Iterator[Row | BadRow]:
    csv.field_size_limit(1 << 30)
    with _text(stream, newline="") as text:
        yield from _records(text, name, delimiter)


def _records(text: IO[str], name: str, delimiter: str) -> Iterator[Row | BadRow]:
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield BadRow(reader.line_num, f"not CSV: {error}", name)
            continue
        if cells is None:
            break
        if not cells:
            continue
        if header is None:
            header = cells
        elif len(cells) != len(header):
            reason = f"{len(cells)} cells under a header of {len(header)}"
            yield BadRow(reader.line_num, reason, name)
        elif not is_unicode("".join(cells)):
            yield BadRow(reader.line_num, "its text is not valid UTF-8", name)
        else:
            yield Row(reader.line_num, dict(zip(header, cells, strict=True)), name, as_text=True)


def _batches(file: Path, ending: str) -> Iterator[Any]:
    pa = pyarrow(ending.removeprefix(".").capitalize())
    try:
        if ending == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetFile(file, pre_buffer=False) as table:
                yield from table.iter_batches(_TABLE_ROWS)
            return
        with pa.memory_map(os.fspath(file)) as source:
            try:
                yield from pa.ipc.open_stream(source)
            except pa.ArrowInvalid:
                reader = pa.ipc.open_file(source)
                yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise BonError(f"cannot read {file}: no {ending} file: {reason}") from error


def _table_rows(batches: Iterator[Any], name: str) -> Iterator[Row | BadRow]:
    slices = (
        batch.slice(start, _TABLE_ROWS)
        for batch in batches
        for start in range(0, batch.num_rows, _TABLE_ROWS)
    )
    rows = chain.from_iterable(_microseconds(part).to_pylist() for part in slices)
    for number, row in enumerate(rows, start=1):
        yield Row(number, row, name)


def _microseconds(batch: Any) -> Any:
    """The batch with its nanosecond times in microseconds, which is what Python's times can hold."""
    pa = pyarrow("Parquet")
    fields = [
        pa.field(field.name, pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    schema = pa.schema(fields)
    return batch if schema.equals(batch.schema) else batch.cast(schema, safe=False)
