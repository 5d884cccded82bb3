"""Results from files, as `bon run` and `bon rerank` write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from bon.datasets.files import BadRow, format_of, json_lines, json_object, read_rows
from bon.schema import result_from_json
from bon.types import BonError, Result


def read_results(path: str | Path) -> Iterator[Result]:
    """Results of a file, one at a time: JSONL, or any format that rows are read from.

    Raises `BonError` with the line's number for a torn or broken line, a newer schema or a row that is
    no result.
    """
    if format_of(Path(path)) in ((".jsonl", ""), ("", "")) and Path(path).expanduser().is_file():
        yield from _json_results(Path(path).expanduser())
        return
    for row in read_rows(str(path)):
        if isinstance(row, BadRow):
            raise BonError(f"{path}, line {row.line}: {row.reason}")
        try:
            yield result_from_json(_from_cells(row.data) if row.as_text else row.data)
        except BonError as error:
            raise BonError(f"{path}, line {row.line}: {error}") from None


TEXTS = ("id", "answer", "error", "cut_short")
"""Columns of a result that are text; in a table of nothing but text, all others are JSON."""


def _from_cells(cells: Mapping[str, str]) -> dict[str, Any]:
    """A result's columns as `bon.datasets.writing` put them into the cells of a table of text."""
    values: dict[str, Any] = {}
    for name, cell in cells.items():
        if name in TEXTS or not cell:
            values[name] = cell if cell or name == "id" else None
            continue
        try:
            values[name] = orjson.loads(cell)
        except orjson.JSONDecodeError:  # a column of the user's own
            values[name] = cell
    return values


def _json_results(path: Path) -> Iterator[Result]:
    try:
        with path.open("rb") as stream:
            for number, line in json_lines(stream):
                try:
                    row = json_object(line)
                except BonError as error:
                    torn = (
                        "the last line is torn, for its run was cut off: end that with --resume,"
                        " or delete the line"
                    )
                    told = error if line.endswith(b"\n") else torn
                    raise BonError(f"{path}, line {number}: {told}") from None
                try:
                    yield result_from_json(row)
                except BonError as error:
                    raise BonError(f"{path}, line {number}: {error}") from None
    except OSError as error:
        raise BonError(f"cannot read {path}: {error.strerror or error}") from error
