"""Where each key's record is: a SQLite table beside the segments, derived from them.

It may lag behind the segments, never run ahead of what they hold on the same machine; the store scans what
it does not cover. It is not synced to the disk while in use. Instead it notes the boot of the machine
that uses it, and after a power cut, which may have left it in any state, it is made anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

FORMAT = 1
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Place(NamedTuple):
    """A record's place. With the first 8 bytes of its key it is a row of the table."""

    segment: int
    start: int
    size: int


class Index:
    """The table of places; `path` None keeps it in memory. Raises `sqlite3.Error` where it is unusable."""

    def __init__(self, path: Path | None, *, write: bool = True) -> None:
        self._write = write
        name = ":memory:" if path is None else f"{path.absolute().as_uri()}?mode=rw{'c' * write}"
        if path is not None and not write:
            name = f"{path.absolute().as_uri()}?mode=ro"
        self._db = sqlite3.connect(name, isolation_level=None, uri=path is not None, timeout=5)
        try:
            self._open()
        except sqlite3.Error:
            self._db.close()
            raise

    def _open(self) -> None:
        self._db.execute("PRAGMA cache_size = -8000")
        if self._write:
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("PRAGMA journal_mode = TRUNCATE")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS"
                " place (id INTEGER PRIMARY KEY, segment INTEGER, start INTEGER, size INTEGER)"
            )
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS covered (segment INTEGER PRIMARY KEY, bytes INTEGER)"
            )
            self._db.execute("CREATE TABLE IF NOT EXISTS note (boot TEXT)")
        if self._db.execute("PRAGMA user_version").fetchone()[0] not in (0, FORMAT):
            raise sqlite3.DatabaseError("written by another version of bon")
        note = self._db.execute("SELECT boot FROM note").fetchone()
        if note is not None and note[0] != _boot():
            raise sqlite3.DatabaseError("the machine went down while it was written")
        if self._write:
            self._db.execute(f"PRAGMA user_version = {FORMAT}")
            if note is None:
                self._db.execute("INSERT INTO note VALUES (?)", (_boot(),))
            self._keep_lock()

    def find(self, key: bytes) -> Place | None:
        """Where the record of this key ought to be; the record itself says whether it is."""
        row = self._db.execute(
            "SELECT segment, start, size FROM place WHERE id = ?", (_row_id(key),)
        ).fetchone()
        return None if row is None else Place(*row)

    def add(self, places: Iterable[tuple[bytes, Place]], covered: Mapping[int, int]) -> None:
        """Take in places, all or none, and how far into each segment they reach."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN")
        try:
            self._db.executemany(
                "INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)",
                ((_row_id(key), *place) for key, place in places),
            )
            self._db.executemany("INSERT OR REPLACE INTO covered VALUES (?, ?)", covered.items())
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        finally:
            if self._write:
                self._keep_lock()

    def _keep_lock(self) -> None:
        """Read under one lock, which other readers share, until the next write: a look-up is then 2 us, not 9."""
        self._db.execute("BEGIN")

    def covered(self) -> dict[int, int]:
        """For each segment, the bytes whose records are in the table."""
        return dict(self._db.execute("SELECT segment, bytes FROM covered"))

    def close(self) -> None:
        """Let go of it; whoever opens it next, on whatever boot, can trust it."""
        if self._write:
            with suppress(sqlite3.Error):  # a full disk: the next boot makes it anew
                self._db.execute("COMMIT")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute("DELETE FROM note")
        self._db.close()

    def abandon(self) -> None:
        """Let go of it without a word, as when its folder is gone."""
        self._db.close()


def remove(path: Path) -> None:
    """Delete an index and what SQLite keeps beside it."""
    for ending in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _row_id(key: bytes) -> int:
    return int.from_bytes(key[:8], "little", signed=True)


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return "unknown"
