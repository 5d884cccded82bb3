"""Kills runs with SIGKILL at random moments, takes them up again, and counts what was lost.

    python benchmarks/crash.py --runs 100 --json

Each run reranks the same rows with a judge that answers by content after a random while, is killed once
at a random moment and resumed. Printed: `runs`; `killed`, those that were still going; `lost`, verdicts that
had been given (and were not the one on its way to the ledger) but are not in it; `rejudged_beyond_in_flight`,
calls made again although their verdict had been given; `identical`, whether every output, byte for
byte, and every ledger is that of a run nobody disturbed. Written to benchmarks/results/crash.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np  # noqa: F401 - before the fork, or every child imports it
import orjson

from benchmarks.machine import measured
from bon import api, cli, reranking  # noqa: F401
from bon.api import Observer
from bon.cli import progress, rerank  # noqa: F401
from bon.generation import Backend, Generation, Reply, Request, models
from bon.ledger import records
from bon.ledger.content import load
from bon.ledger.store import read_records

RESULTS = Path(__file__).parent / "results"
ROWS, CANDIDATES = 40, 5
SUFFIXES = (".jsonl", ".parquet", ".json.gz")


class SlowBackend:
    """Answers by content alone, after a random while, and writes down what it begins and ends."""

    identity = "slow@1"
    capacity = 8

    def __init__(self, log: Path) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._luck = random.Random()

    async def generate(self, request: Request) -> Reply:
        asked = repr((request.chat.quoted, request.sampling.seed)).encode()
        call = blake2b(asked, digest_size=8)
        os.write(self._log, b"begin %s\n" % call.hexdigest().encode())
        await asyncio.sleep(self._luck.random() * 0.012)
        vote = 1 + call.digest()[0] % 2
        os.write(self._log, b"end %s\n" % call.hexdigest().encode())
        text = f"<think>{call.hexdigest()}</think>\\boxed{{Assistant {vote}}}"
        return Reply((Generation(text, "stop", (1, 2, 3)),), prompt_tokens=9)


def crash_once(folder: Path, suffix: str, moment: int | None) -> dict[str, Any]:
    """One run in `folder`, killed at about call `moment` (None: left alone) and resumed until it is done."""
    source, output = folder / "rows.jsonl", folder / f"ranked{suffix}"
    ledger, log = folder / "ledger", folder / "calls.log"
    _write_rows(source)
    arguments = ["rerank", str(source), "-o", str(output), "--ledger", str(ledger)]
    arguments += ["--strategy", "knockout:rule=votes:3", "-q"]
    killed, lost, again = 0, 0, 0
    child = _start(arguments, log)
    if moment is not None:
        patience = time.monotonic() + 60
        while len(_calls(log, "begin")) < moment and time.monotonic() < patience:
            time.sleep(0.001)
        time.sleep(random.random() * 0.01)
        os.kill(child, signal.SIGKILL)
    ended: set[str] = set()
    if _wait(child) != 0:
        killed = 1
        ended = set(_calls(log, "end"))
        lost = max(0, len(ended - set(_in_ledger(ledger))) - 1)
        begun = (folder / f"ranked{suffix}.bon" / "manifest.json").exists()
        before = len(_calls(log, "begin"))
        resume = ["rerank", str(output), "--resume", "-q"]
        code = _wait(_start(resume if begun else arguments, log))
        if code != 0:
            raise SystemExit(f"the resumed run ended with exit code {code}")
        again = max(0, len(ended & set(_calls(log, "begin")[before:])) - 1)
    return {
        "killed": killed,
        "lost": lost,
        "again": again,
        "output": output.read_bytes(),
        "verdicts": _in_ledger(ledger),
        "calls": len(_calls(log, "begin")),
    }


def crash_runs(runs: int, seed: int = 0) -> dict[str, Any]:
    """`runs` runs killed at random moments, against one of each format that nobody disturbs."""
    luck = random.Random(seed)
    calm: dict[str, dict[str, Any]] = {}
    for suffix in SUFFIXES:
        with tempfile.TemporaryDirectory() as name:
            calm[suffix] = crash_once(Path(name), suffix, None)
    total = {"killed": 0, "lost": 0, "again": 0}
    identical = True
    for run in range(runs):
        suffix = SUFFIXES[run % len(SUFFIXES)]
        with tempfile.TemporaryDirectory() as name:
            moment = luck.randrange(len(calm[suffix]["verdicts"]))
            found = crash_once(Path(name), suffix, moment)
        for key in total:
            total[key] += found[key]
        same_verdicts = all(
            found["verdicts"].get(call, verdict) == verdict
            for call, verdict in calm[suffix]["verdicts"].items()
        )
        identical &= found["output"] == calm[suffix]["output"] and same_verdicts
    return {
        "runs": runs,
        "killed": total["killed"],
        "lost": total["lost"],
        "rejudged_beyond_in_flight": total["again"],
        "identical": identical,
    }


def _write_rows(path: Path) -> None:
    rows = (
        {"id": i, "prompt": f"question {i}", "candidates": [f"{i}.{k}" for k in range(CANDIDATES)]}
        for i in range(ROWS)
    )
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


def _start(arguments: list[str], log: Path) -> int:
    """`bon` with these arguments in a child of its own; gives its process id."""
    child = os.fork()
    if child:
        return child
    try:
        _become_bon(arguments, log)
    except SystemExit as stop:
        os._exit(stop.code if isinstance(stop.code, int) else 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(99)
    os._exit(0)


def _become_bon(arguments: list[str], log: Path) -> None:
    @asynccontextmanager
    async def engine(
        role: str, model: str, engine_args: Mapping[str, Any], observer: Observer
    ) -> AsyncIterator[Backend]:
        yield SlowBackend(log)

    models.resolve_model = lambda name: name
    api.engine = engine
    sys.argv = ["bon", *arguments]
    cli.main()


def _wait(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _calls(log: Path, what: str) -> list[str]:
    lines = log.read_text().split("\n") if log.exists() else []
    return [line.split()[1] for line in lines if line.startswith(what + " ")]


def _in_ledger(folder: Path) -> dict[str, str]:
    """What was decided in each call that the ledger knows."""
    found = {}
    for _, part in read_records(folder):
        if isinstance(part, records.Record):
            verdict = load(records.text_of(part))["verdict"]
            found[verdict["reasoning"]] = verdict["outcome"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--save", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    began = time.monotonic()
    figures = crash_runs(options.runs, options.seed)
    figures["seconds"] = round(time.monotonic() - began, 1)
    figures["measured"] = measured()
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "crash.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures) if options.json else json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
