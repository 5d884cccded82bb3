"""How a run that was cut off is taken up again: a manifest beside its output.

While a run writes `ranked.parquet`, the folder `ranked.parquet.bon/` holds `manifest.json`, everything
needed to run it again, and, unless it was given a ledger of its own, `ledger/`. Taken up again, the run is
replayed from its manifest: what the ledger holds comes from there. When the output is complete the
folder goes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from bon import __version__
from bon.datasets.files import input_files
from bon.types import BonError


class Workplace:
    """The folder beside an output in which a run notes what it does."""

    def __init__(self, output: str | Path) -> None:
        self.output = Path(output).expanduser()
        self.folder = self.output.with_name(self.output.name + ".bon")
        self.ledger = self.folder / "ledger"

    def begin(self, command: str, settings: Mapping[str, Any], source: str | None) -> None:
        """Note what is run, before anything is done. Raises `BonError` where that cannot be written."""
        manifest = {
            "bon": __version__,
            "command": command,
            "settings": dict(settings),
            "inputs": _fingerprint(source),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = self.folder / "manifest.json.new"
            partial.write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
            partial.replace(self.folder / "manifest.json")
        except OSError as error:
            raise BonError(f"cannot write {self.folder}: {error.strerror or error}") from error

    def settings(self, command: str) -> dict[str, Any]:
        """What the run that was cut off was asked for.

        Raises `BonError` where there is none, it was another command's, or its input has changed.
        """
        path = self.folder / "manifest.json"
        try:
            manifest = orjson.loads(path.read_bytes())
            inputs, settings = manifest["inputs"], dict(manifest["settings"])
            ran = manifest["command"]
        except FileNotFoundError:
            raise BonError(
                f"there is nothing to resume for {self.output}: its run is complete, or never began"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BonError(f"cannot read {path}: {error}; run anew without --resume") from error
        if ran != command:
            raise BonError(f"{self.output} was written by bon {ran}: resume it with that")
        for name, size, changed in inputs:
            if _fingerprint(name) != [[name, size, changed]]:
                raise BonError(
                    f"{name} has changed since {self.output} was begun: run anew without --resume;"
                    " with the same --ledger nothing is judged twice"
                )
        return settings

    def done(self) -> None:
        """The output is complete: nothing of this is needed any more."""
        # first: without it, whatever else a kill leaves here is taken for nothing
        (self.folder / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def absolute(path: str | None) -> str | None:
    """The path as it means the same from any folder; `-` and nothing stay what they are."""
    return path if path in (None, "-") else os.path.abspath(os.path.expanduser(str(path)))  # noqa: PTH100, PTH111


def _fingerprint(source: str | None) -> list[list[Any]]:
    """Name, size and time of change of every input file."""
    if source is None or source == "-":
        return []
    found = []
    for file in input_files(source):
        try:
            status = file.stat()
        except OSError as error:
            raise BonError(f"cannot read {file}: {error.strerror or error}") from error
        found.append([str(file), status.st_size, status.st_mtime_ns])
    return found
