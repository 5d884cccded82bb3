"""Parts of a long measurement that are done, on disk: the same command goes on where it stopped."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from bon import __version__
from bon.types import BonError

Column = npt.NDArray[np.float64]


class Kept:
    """A file of finished parts, a line each, by a hash of all that decides them."""

    def __init__(self, path: str, world: str) -> None:
        """`world` says all there is to say of the world. Raises `BonError` where it cannot be written."""
        self._world = blake2b(world.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        self._parts: dict[str, Column] = {}
        file = Path(path).expanduser()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = file.open("a+b")
        except OSError as error:
            raise BonError(f"cannot write {path}: {error.strerror or error}") from error
        self._stream.seek(0)
        torn = False
        for line in self._stream:
            torn = not line.endswith(b"\n")
            if not torn:  # a torn last line is of a part that was not done
                self._take(path, line)
        if torn:
            self._stream.write(b"\n")

    def part(self, text: str, start: int, stop: int) -> Column | None:
        """The part, if it is done."""
        return self._parts.get(self._key(text, start, stop))

    def add(self, text: str, start: int, stop: int, rows: Column) -> None:
        """Keep a part that is done."""
        line = {"part": self._key(text, start, stop), "rows": rows.tolist()}
        self._stream.write(orjson.dumps(line) + b"\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()

    def _take(self, path: str, line: bytes) -> None:
        try:
            row = orjson.loads(line or b"{}")
            self._parts[row["part"]] = np.array(row["rows"], dtype=np.float64)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            if line.strip() and not self._parts:
                self._stream.close()
                raise BonError(f"{path} is no file of --keep: name another") from None

    def _key(self, text: str, start: int, stop: int) -> str:
        whole = f"{__version__}\0{self._world}\0{text}\0{start}\0{stop}"
        return blake2b(whole.encode(errors="surrogatepass"), digest_size=16).hexdigest()
