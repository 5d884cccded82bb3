"""Rows on their way through tournaments: read one by one, written in order with their results.

A row keeps its other columns beside those of its result (`bon.schema`). One that is called like a
column of the result gets `input_` before its name; the old result of a row that was ranked before goes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from bon.api import Sampled
from bon.datasets import BadRow, Fields, Input, read_inputs
from bon.summary import Total
from bon.types import BonError, Prompt, Result

RESULT_COLUMNS = frozenset(Total().row(Result(Prompt("", ()), (), (), None, (), (), ())))


class Writer(Protocol):
    """Takes rows by their places in the output."""

    def write(self, position: int, row: Mapping[str, Any]) -> None: ...
    def skip(self, position: int) -> None: ...


class StrictError(BonError):
    """A bad row where none is allowed."""

    exit_code = 3

    def __init__(self, source: str, row: BadRow) -> None:
        where = f"{row.file or source}, line {row.line}"
        super().__init__(f"{where}: {row.reason} (without --strict it would be skipped)")


class Rows:
    """The rows of `source`: iterate to have them judged, and `emit` each result.

    A bad row is left out of the output and told to `on_bad`; with `strict` it raises `StrictError`.
    """

    def __init__(
        self,
        source: str,
        fields: Fields,
        writer: Writer,
        on_bad: Callable[[BadRow], None],
        *,
        strict: bool = False,
    ) -> None:
        self.read = 0
        self.bad = 0
        self.total = Total()
        self._source = source
        self._fields = fields
        self._writer = writer
        self._on_bad = on_bad
        self._strict = strict
        self._others: dict[int, Mapping[str, Any]] = {}

    async def __aiter__(self) -> AsyncIterator[Sampled]:
        for position, found in enumerate(read_inputs(self._source, self._fields)):
            self.read += 1
            if isinstance(found, Input) and not found.prompt.given:
                reason = "there are no candidates to choose from (--candidates-field names theirs)"
                found = BadRow(found.row.line, reason, found.row.file)
            if isinstance(found, BadRow):
                self._refuse(position, found)
                continue
            self._others[position] = other_columns(found)
            yield Sampled(position, found.prompt, found.prompt.given)

    def emit(self, position: int, result: Result) -> None:
        """Write the row at this place with its result."""
        self._writer.write(position, {**self._others.pop(position), **self.total.row(result)})

    def _refuse(self, position: int, row: BadRow) -> None:
        if self._strict:
            raise StrictError(self._source, row)
        self.bad += 1
        self._on_bad(row)
        self._writer.skip(position)


def candidate_counts(source: str, fields: Fields) -> list[int]:
    """How many candidates each good row has: a pass of its own, for who shares a budget among them."""
    found = (one for one in read_inputs(source, fields) if isinstance(one, Input))
    return [len(one.prompt.given) for one in found if one.prompt.given]


class ErrorLog:
    """Bad rows as JSON lines in a file beside the output, which is there only when there are any."""

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(f"{output.name}.errors.jsonl")
        self._stream: IO[bytes] | None = None
        self._first = ""
        self.path.unlink(missing_ok=True)

    def add(self, row: BadRow) -> None:
        """Write down where the row is and why it is bad."""
        if self._stream is None:
            self._stream = self.path.open("wb")
            self._first = f"line {row.line}: {row.reason}"
        fields = {"file": row.file, "line": row.line, "reason": row.reason}
        self._stream.write(orjson.dumps(fields) + b"\n")
        self._stream.flush()

    def summary(self, count: int) -> str:
        """One line: where the `count` bad rows are, and what is wrong with the first."""
        return f"{count:,} bad rows: {self.path}; the first, {self._first}"

    def __enter__(self) -> ErrorLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()


def other_columns(found: Input) -> dict[str, Any]:
    """The columns of a row that are not in its prompt, under names that no result uses."""
    data = found.row.data
    ranked_before = isinstance(data.get("schema"), int) and {"ranking", "winner"} <= data.keys()
    others: dict[str, Any] = {}
    for name, value in data.items():
        if name in found.used or (ranked_before and name in RESULT_COLUMNS):
            continue
        others[f"input_{name}" if name in RESULT_COLUMNS else name] = value
    return others
