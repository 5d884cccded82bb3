"""Reranks a file of many rows with an instant judge and looks at the memory it takes.

    python benchmarks/memory.py --rows 1000000 --json

The whole path of `bon rerank` but the engine: rows are read, rendered, judged as knockouts through a ledger
(`--no-ledger` leaves it out), rated, written in order. Printed: `rows`; `rss_mb_early`, the resident size after the first
10,000 rows; `rss_mb_most`, the largest seen after that; `rss_mb_end`; `rows_per_second`. Written to benchmarks/results/memory.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import measured
from bon.api import Observer, judge_all
from bon.catalog import parse_strategy
from bon.datasets import BadRow, Fields, Output
from bon.generation import Generation, Reply, Request
from bon.job import GIVEN, Job, Judge
from bon.ledger import Ledger
from bon.reranking import Rows

RESULTS = Path(__file__).parent / "results"
EARLY = 10_000


class InstantBackend:
    """Prefers the longer response, at once."""

    identity = "instant@1"
    capacity = 256

    async def generate(self, request: Request) -> Reply:
        _, first, second = request.chat.quoted
        vote = 1 if len(first) >= len(second) else 2
        text = f"<think>shorter or longer</think>\\boxed{{Assistant {vote}}}"
        return Reply((Generation(text, "stop", (1, 2, 3)),), prompt_tokens=9)


class Watched:
    """A writer that looks at the memory as rows are written."""

    def __init__(self, output: Output) -> None:
        self.written = 0
        self.early = self.most = 0.0
        self._output = output

    def write(self, position: int, row: Mapping[str, Any]) -> None:
        self._output.write(position, row)
        self.written += 1
        if self.written == EARLY:
            self.early = resident_mb()
        if self.written % EARLY == 0:
            self.most = max(self.most, resident_mb())

    def skip(self, position: int) -> None:
        self._output.skip(position)


def rerank_many(rows: int, folder: Path, *, with_ledger: bool) -> dict[str, Any]:
    """Rerank so many rows of four candidates in `folder`."""
    source = folder / "rows.jsonl"
    with source.open("w") as stream:
        for i in range(rows):
            answers = [f"The answer to {i} is {'9' * (k + i % 7)}." for k in range(4)]
            row = {"id": i, "prompt": f"Question {i}: how much?", "candidates": answers}
            stream.write(json.dumps({**row, "source": "made up"}) + "\n")
    job = Job(GIVEN, Judge("instant", template="rrm"), parse_strategy("knockout"))
    began = time.monotonic()
    with Output(folder / "ranked.jsonl") as output:
        watched = Watched(output)
        stream_of = Rows(str(source), Fields(), watched, _no_bad_rows)
        ledger = Ledger(folder / "ledger") if with_ledger else None
        backend = InstantBackend()
        asyncio.run(judge_all(aiter(stream_of), job, backend, stream_of.emit, Observer(), ledger))
        if ledger is not None:
            ledger.close()
    seconds = time.monotonic() - began
    assert watched.written == rows
    return {
        "rows": rows,
        "ledger": with_ledger,
        "rss_mb_early": round(watched.early, 1),
        "rss_mb_most": round(watched.most, 1),
        "rss_mb_end": round(resident_mb(), 1),
        "rows_per_second": round(rows / seconds),
    }


def resident_mb() -> float:
    """The resident size of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _no_bad_rows(row: BadRow) -> None:
    raise AssertionError(row)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ledger", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--save", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    if options.rows < EARLY:
        parser.error(f"at least {EARLY} rows are needed to compare with")
    with tempfile.TemporaryDirectory() as name:
        figures = rerank_many(options.rows, Path(name), with_ledger=options.ledger)
    figures["measured"] = measured()
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "memory.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures) if options.json else json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
