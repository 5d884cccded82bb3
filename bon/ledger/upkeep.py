"""What can be done with a whole ledger: describe it, compact it, hand it to other tools."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bon.ledger import content, records
from bon.ledger.index import remove
from bon.ledger.store import (
    SEGMENT_BYTES,
    Ledger,
    LedgerError,
    read_records,
    segment_path,
    segments,
)

_EXPORT_ROWS = 5000


@dataclass(frozen=True)
class Info:
    """A ledger described; `judges` and `policies` count records by identity."""

    segments: int
    bytes: int
    verdicts: int
    candidate_sets: int
    duplicates: int
    damaged_bytes: int
    """Bytes that are no whole record: a torn tail, or worse."""
    outcomes: Mapping[str, int]
    judges: Mapping[str, int]
    policies: Mapping[str, int]


def describe(folder: str | Path) -> Info:
    """Read every record once. Raises `LedgerError` where there is no ledger."""
    path = _existing(folder)
    outcomes, judges, policies = Counter[str](), Counter[str](), Counter[str]()
    seen: set[bytes] = set()
    kinds = Counter[int]()
    damaged = duplicates = 0
    for _, part in read_records(path):
        if isinstance(part, records.Gap):
            damaged += part.end - part.start
            continue
        if part.key[:8] in seen:
            duplicates += 1
            continue
        seen.add(part.key[:8])
        kind = part.kind & ~records.COMPRESSED
        kinds[kind] += 1
        fields = content.load(records.text_of(part))
        if kind == records.VERDICT:
            outcomes[fields["verdict"]["outcome"]] += 1
            judges[fields["judge"]] += 1
        elif kind == records.CANDIDATES:
            policies[fields["policy"]] += 1
    found = segments(path)
    return Info(
        segments=len(found),
        bytes=sum(file.stat().st_size for _, file in found),
        verdicts=kinds[records.VERDICT],
        candidate_sets=kinds[records.CANDIDATES],
        duplicates=duplicates,
        damaged_bytes=damaged,
        outcomes=dict(sorted(outcomes.items())),
        judges=dict(sorted(judges.items())),
        policies=dict(sorted(policies.items())),
    )


def compact(folder: str | Path) -> tuple[int, int]:
    """Rewrite the ledger compressed, without duplicates and damage; gives its bytes before and after.

    Safe at every moment: new segments are complete on the disk before the first old one goes, and a record
    that is there twice is the same record. Raises `LedgerError` while another process writes.
    """
    path = _existing(folder)
    with Ledger(path) as ledger:
        old = segments(path)
        before = sum(file.stat().st_size for _, file in old)
        try:
            _rewrite(path, old[-1][0] + 1)
        except OSError as error:
            raise LedgerError(
                f"cannot compact {folder}: {error.strerror or error}; nothing is lost"
            ) from error
        for _, file in old:
            file.unlink()
        ledger.forget()
    remove(path / "index.sqlite")
    with Ledger(path):  # makes the index
        after = sum(file.stat().st_size for _, file in segments(path))
    return before, after


def export(folder: str | Path, output: str | Path) -> int:
    """Write all verdicts as Parquet, a row each; gives their number. Needs pyarrow (`bon[data]`).

    Texts that were judged are there as the first 8 bytes of their BLAKE2b-128 hash, as `query`, `first`
    and `second`.
    """
    path = _existing(folder)
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise LedgerError("Parquet needs pyarrow: pip install 'bon[data]'") from None
    text, number = pa.string(), pa.int64()
    schema = pa.schema(
        [
            *((name, text) for name in ("key", "judge", "query", "first", "second")),
            *((name, number) for name in ("repeat", "attempt")),
            ("outcome", text),
            ("p_first", pa.float64()),
            *((name, text) for name in ("reasoning", "text", "void_reason", "detail")),
            *((name, number) for name in ("prompt_tokens", "cached_tokens", "output_tokens")),
        ]
    )
    count = 0
    target = Path(output).expanduser()
    partial = target.with_name(f".{target.name}.partial")
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for rows in _in_batches(_verdict_rows(path)):
                writer.write_table(pa.Table.from_pylist(rows, schema))
                count += len(rows)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise LedgerError(f"cannot write {output}: {error.strerror or error}") from error
    return count


def _rewrite(path: Path, number: int) -> None:
    """Write the records of `path` into new segments from `number` on, each whole or not at all."""
    seen: set[bytes] = set()
    chunk: list[bytes] = []
    size = 0

    def finish() -> None:
        nonlocal number, size
        target = segment_path(path, number)
        partial = target.with_name(target.name + ".new")
        with partial.open("wb") as stream:
            stream.writelines(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
        number, size = number + 1, 0
        chunk.clear()

    last = number
    for segment, part in read_records(path):
        if segment >= last:
            break
        if isinstance(part, records.Record) and part.key not in seen:
            seen.add(part.key)
            chunk.append(records.compressed(part))
            size += len(chunk[-1])
            if size >= SEGMENT_BYTES:
                finish()
    finish()


def _verdict_rows(path: Path) -> Iterator[dict[str, Any]]:
    seen: set[bytes] = set()
    for _, part in read_records(path):
        if isinstance(part, records.Gap) or part.kind & ~records.COMPRESSED != records.VERDICT:
            continue
        if part.key[:8] not in seen:
            seen.add(part.key[:8])
            fields = dict(content.load(records.text_of(part)))
            yield {"key": part.key.hex(), **fields.pop("verdict"), **fields}


def _in_batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _EXPORT_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _existing(folder: str | Path) -> Path:
    path = Path(folder).expanduser()
    if not segments(path):
        raise LedgerError(f"there is no ledger at {folder}")
    return path
