"""A ledger on disk: open it to write (one process at a time) or to read (any number)."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from bon.ledger import content, records
from bon.ledger.index import Index, Place, remove
from bon.types import BonError, Candidate, Verdict

SEGMENT_BYTES = 64 << 20
"""A segment that has grown to this is closed and the next one begun."""
BATCH = 4096
"""Records that wait in memory for their places to go to the index."""
SYNC_SECONDS = 1.0
"""How much work a power cut may cost."""

_HELD: set[str] = set()
"""Folders that this process writes to."""


class LedgerError(BonError):
    """The ledger cannot be read or written; what is in it is safe."""

    exit_code = 1


class Ledger:
    """A ledger, open. Use it in a `with`; see `bon.ledger` for what is on the disk.

    Raises `LedgerError` where the folder cannot be used, another process writes to it, the disk is full
    or the folder vanishes: in one line, with everything written so far intact.
    """

    def __init__(self, folder: str | Path, *, write: bool = True) -> None:
        self.folder = Path(folder).expanduser()
        self.hits = 0
        """How often something was served from the ledger."""
        self.written = 0
        self.cut = 0
        """Bytes of a torn last record that were cut off at opening."""
        self._write = write
        self._lock: IO[str] | None = None
        self._fresh: dict[bytes, Place] = {}
        self._readers: dict[int, int] = {}
        self._tail = -1
        self._number = 0
        self._size = 0
        self._synced = time.monotonic()
        self._broken: str | None = None
        try:
            if write:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._lock = _locked(self.folder)
                for leftover in self.folder.glob("*.log.new"):  # of a compaction that was cut off
                    leftover.unlink()
            elif not self.folder.is_dir():
                raise LedgerError(f"there is no ledger at {folder}")
            self._index = self._open_index()
            self._catch_up()
            if write:
                self._open_tail()
        except (OSError, sqlite3.Error) as error:
            self._release()
            why = getattr(error, "strerror", None) or error
            raise LedgerError(f"cannot open the ledger {folder}: {why}") from error
        except BaseException:
            self._release()
            raise

    # --- what is kept -------------------------------------------------------------------------

    def verdict(self, key: bytes) -> Verdict | None:
        """The verdict under this key (`verdict_key`), if there is one."""
        found = self._get(key, records.VERDICT)
        return None if found is None else content.verdict_from_bytes(found)

    def add_verdict(
        self,
        key: bytes,
        verdict: Verdict,
        *,
        judge: str,
        query: str,
        first: str,
        second: str,
        repeat: int,
        attempt: int,
    ) -> None:
        """Keep a verdict that was not there."""
        data = content.verdict_to_bytes(verdict, judge, query, first, second, repeat, attempt)
        self._put(key, records.VERDICT, data)

    def candidates(self, key: bytes) -> tuple[Candidate, ...] | None:
        """The candidates under this key (`candidates_key`), if there are any."""
        found = self._get(key, records.CANDIDATES)
        return None if found is None else content.candidates_from_bytes(found)

    def add_candidates(self, key: bytes, candidates: tuple[Candidate, ...], policy: str) -> None:
        """Keep candidates that were not there."""
        self._put(key, records.CANDIDATES, content.candidates_to_bytes(candidates, policy))

    def __contains__(self, key: bytes) -> bool:
        return self._find(key) is not None

    # --- reading ------------------------------------------------------------------------------

    def _get(self, key: bytes, kind: int) -> bytes | None:
        record = self._find(key)
        if record is None or record.kind & ~records.COMPRESSED != kind:
            return None
        self.hits += 1
        return records.text_of(record)

    def _find(self, key: bytes) -> records.Record | None:
        place = self._fresh.get(key) or self._index.find(key)
        if place is None:
            return None
        try:
            data = os.pread(self._reader(place.segment), place.size, place.start)
        except FileNotFoundError:  # compacted by another process since this one opened it to read
            return None
        record = records.read_at(data, 0)
        return record if record is not None and record.key == key else None

    def _reader(self, segment: int) -> int:
        if segment not in self._readers:
            self._readers[segment] = os.open(segment_path(self.folder, segment), os.O_RDONLY)
        return self._readers[segment]

    # --- writing ------------------------------------------------------------------------------

    def _put(self, key: bytes, kind: int, payload: bytes) -> None:
        if self._broken:
            raise LedgerError(self._broken)
        if key in self._fresh:
            return
        record = records.pack(key, kind, payload)
        try:
            done = os.write(self._tail, record)
            if done < len(record):
                raise OSError(28, "no space left on the disk")
        except OSError as error:
            self._give_up(f"{error.strerror or error}; free some space, then run with --resume")
        self._fresh[key] = Place(self._number, self._size, len(record))
        self._size += len(record)
        self.written += 1
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()
        if len(self._fresh) >= BATCH:
            self._index_fresh()
        if self._size >= SEGMENT_BYTES:
            self._next_segment()

    def sync(self) -> None:
        """Have everything written so far on the disk, not just with the operating system."""
        try:
            os.fdatasync(self._tail)
            kept = segment_path(self.folder, self._number).stat().st_ino
        except FileNotFoundError:
            kept = -1
        except OSError as error:
            self._give_up(f"{error.strerror or error}; what it holds so far is intact")
        if kept != os.fstat(self._tail).st_ino:
            self._give_up(
                "its folder is gone, and with it what was in it; put it back or name another"
            )
        self._synced = time.monotonic()

    def _give_up(self, why: str) -> None:
        """Leave no torn record behind and write no more."""
        self._broken = f"cannot write the ledger {self.folder}: {why}"
        with suppress(OSError):
            os.ftruncate(self._tail, self._size)
        raise LedgerError(self._broken)

    def _index_fresh(self) -> None:
        try:
            self._index.add(self._fresh.items(), {self._number: self._size})
        except sqlite3.Error as error:
            self._give_up(f"{error}; the records are safe, their index is made anew")
        self._fresh.clear()

    def _next_segment(self) -> None:
        self.sync()
        self._index_fresh()
        os.close(self._tail)
        self._begin(self._number + 1, 0)

    def _begin(self, number: int, size: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._tail = os.open(segment_path(self.folder, number), flags, 0o644)
        self._number, self._size = number, size
        self._index.add((), {number: size})

    # --- opening and closing ------------------------------------------------------------------

    def _open_index(self) -> Index:
        """The index of the folder where it fits the segments, else an empty one."""
        path = self.folder / "index.sqlite"
        try:
            index = Index(path, write=self._write)
            sizes = {number: file.stat().st_size for number, file in segments(self.folder)}
            covered = index.covered()
            if all(sizes.get(number, -1) >= size for number, size in covered.items()):
                return index
            index.abandon()
        except sqlite3.Error:
            pass
        if not self._write:
            return Index(None)
        remove(path)
        return Index(path)

    def _catch_up(self) -> None:
        """Bring into the index what the segments hold beyond it, and cut a torn tail."""
        covered = self._index.covered()
        found = segments(self.folder)
        for number, file in found:
            start = covered.get(number, 0)
            with file.open("rb") as stream:
                stream.seek(start)
                data = stream.read()
            if not data:
                continue
            places: list[tuple[bytes, Place]] = []
            end = len(data)
            for part in records.scan(data):
                if isinstance(part, records.Record):
                    place = Place(number, start + part.start, part.end - part.start)
                    places.append((part.key, place))
                elif part.end == len(data):
                    end = part.start
            if self._write and number == found[-1][0] and end < len(data):
                os.truncate(file, start + end)
                self.cut = len(data) - end
            try:
                self._index.add(places, {number: start + end})
            except sqlite3.OperationalError:  # opened to read, and the writer's index lags behind
                self._fresh.update(places)

    def _open_tail(self) -> None:
        found = segments(self.folder)
        number, size = (found[-1][0], found[-1][1].stat().st_size) if found else (1, 0)
        self._begin(number, size)
        if size >= SEGMENT_BYTES:
            self._next_segment()

    def close(self) -> None:
        """Sync, index what is new, let the next writer in."""
        try:
            if self._write and self._broken is None and self._tail >= 0:
                self.sync()
                self._index_fresh()
                self._index.close()
            else:
                self._index.abandon()
        finally:
            self._release()

    def forget(self) -> None:
        """Stop using the segments and their index, which compaction has replaced; nothing can be kept."""
        self._broken = f"the ledger {self.folder} was compacted: open it again"
        self._fresh.clear()

    def _release(self) -> None:
        for descriptor in (self._tail, *self._readers.values()):
            if descriptor >= 0:
                with suppress(OSError):
                    os.close(descriptor)
        self._tail = -1
        self._readers.clear()
        if self._lock is not None:
            _HELD.discard(str(self.folder.resolve()))
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:  # whatever went wrong is the news, not what closing then stumbles over
            with suppress(LedgerError):
                self.close()


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{number:06}.log"


def segments(folder: Path) -> list[tuple[int, Path]]:
    """The segments of a ledger, oldest first."""
    return sorted((int(file.stem), file) for file in folder.glob("*.log") if file.stem.isdigit())


def read_records(folder: Path) -> Iterator[tuple[int, records.Record | records.Gap]]:
    """Every record and every gap, with the number of its segment; a segment at a time in memory."""
    for number, file in segments(folder):
        for part in records.scan(file.read_bytes()):
            yield number, part


def _locked(folder: Path) -> IO[str]:
    """Hold the lock of the folder, or say who does.

    A POSIX lock, which an engine's process forked from this one does not keep when this one is killed.
    It knows processes only, hence `_HELD` for a second writer in the same process.
    """
    name = str(folder.resolve())
    stream = None
    try:
        if name in _HELD:
            raise BlockingIOError
        stream = (folder / "lock").open("a+")
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        if stream is None and not isinstance(error, BlockingIOError):
            raise
        holder = str(os.getpid())
        if stream is not None:
            stream.seek(0)
            holder = stream.read(40).strip() or "unknown"
            stream.close()
        raise LedgerError(
            f"the ledger {folder} is being written by another run (process {holder}):"
            " wait for it, or give this one a ledger of its own"
        ) from None
    _HELD.add(name)
    stream.truncate(0)
    stream.write(str(os.getpid()))
    stream.flush()
    return stream
