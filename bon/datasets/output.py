"""The file that a run writes: streamed where that can be, and never half replaced."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from bon.datasets.files import format_of
from bon.datasets.writing import OrderedWriter, compressing, sink_for
from bon.types import BonError

LOOK_SECONDS = 1.0
"""How often to look whether the file is still where it should be."""


class OutputError(BonError):
    """The output cannot be written."""

    exit_code = 1


class Output:
    """Rows into the file at `path`, in input order, in the format that its ending names.

    Use it in a `with`. A fresh file of JSON lines grows in place, so that one can watch it. Everything
    else is written to a hidden file beside it, which takes its place when it is complete. When the
    `with` is left by an exception, what is complete is put in place all the same, unless that would
    replace an earlier output (`fresh` False: a run that is taken up again, and has its ledger).
    Raises `BonError` where the file cannot be opened, `OutputError` where it cannot be written later or
    its folder vanishes.
    """

    def __init__(self, path: str | Path, *, fresh: bool = True) -> None:
        self.path = Path(path).expanduser()
        self._fresh = fresh
        self._in_place = is_special(self.path) or (
            fresh and (format_of(self.path) == (".jsonl", "") or not self.path.suffix)
        )
        self._target = (
            self.path if self._in_place else self.path.with_name(f".{self.path.name}.partial")
        )
        self._looked = time.monotonic()
        self._failed = False
        self._raw = self._open()
        try:
            self._stream = compressing(self.path, self._raw)
            folder = self._target.parent
            self._writer = OrderedWriter(sink_for(self.path, self._stream, folder), folder)
        except BaseException:
            self._raw.close()
            if not self._in_place:
                self._target.unlink(missing_ok=True)
            raise

    def write(self, position: int, row: Mapping[str, Any]) -> None:
        """Take the row for this place in the output, counted from 0."""
        self._guard(lambda: self._writer.write(position, row))

    def skip(self, position: int) -> None:
        """Leave this place empty."""
        self._guard(lambda: self._writer.skip(position))

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._guard(self._complete)
                return
            with suppress(OutputError):  # the exception is the news, not what closing stumbles over
                if not self._failed and (self._fresh or self._in_place):
                    self._guard(self._complete)
        finally:
            self._release()

    def _open(self) -> IO[bytes]:
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            return self._target.open("wb")
        except OSError as error:
            raise BonError(f"cannot write {self.path}: {error.strerror or error}") from error

    def _complete(self) -> None:
        self._writer.finish()
        if self._stream is not self._raw:
            self._stream.close()
        self._raw.flush()
        if is_special(self.path):
            return
        os.fsync(self._raw.fileno())
        self._look()
        self._raw.close()
        self._target.replace(self.path)

    def _release(self) -> None:
        """Close everything, and leave no half of a file behind."""
        self._writer.abandon()
        for stream in (self._stream, self._raw):
            with suppress(OSError):
                stream.close()
        if not self._in_place:
            with suppress(OSError):
                self._target.unlink(missing_ok=True)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._look()
        except OSError as error:
            self._failed = True
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error};"
                " mend that, then run with --resume"
            ) from error

    def _look(self) -> None:
        self._looked = time.monotonic()
        if self._target.stat().st_ino != os.fstat(self._raw.fileno()).st_ino:
            raise FileNotFoundError(2, "its folder was replaced under the run")


def is_special(path: Path) -> bool:
    """Whether it is there and no file, such as a pipe or /dev/null: nothing to replace or resume."""
    return path.exists() and not path.is_file()
