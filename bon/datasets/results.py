"""Results from files, as `bon run` and `bon rerank` write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orjson import loads

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
            yield result_from_json(_unfolded(row.data))
        except BonError as error:
            raise BonError(f"{path}, line {row.line}: {error}") from None


FOLDED = (
    "schema", "prompt", "candidates", "winner", "ranking", "matches", "comparisons", "provenance",
)  # fmt: skip
"""Fields that a table may hold as JSON text: a CSV file holds all of them so."""


def _unfolded(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result as it was before it became a row of cells, where an empty one is nothing."""
    if "schema" not in row:
        return row
    cells = {name: value for name in FOLDED if isinstance(value := row.get(name), str) and value}
    found = dict.fromkeys(("answer", "winner", "error", "cut_short")) | {
        k: v for k, v in row.items() if v != ""
    }
    with suppress(ValueError):  # what is no JSON is damage, which whoever reads the result tells
        found |= {name: loads(text) for name, text in cells.items()}
    return found


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
