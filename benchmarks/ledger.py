"""What a verdict costs in this project's ledger, beside the same verdicts in SQLite.

    python benchmarks/ledger.py --verdicts 20000 --json

Microseconds of wall time a verdict, of about 1.4 kB each, all in one process and one run: `append_us` and `hit_us`
through the ledger, key and JSON included; `sqlite_commit_us`, one commit a verdict in WAL mode with
synchronous=NORMAL (as durable against a killed process); `sqlite_hit_us`; `sqlite_over_ledger`, the ratio of
the two ways to write. Written to benchmarks/results/ledger.json.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bon.ledger import Ledger, content, verdict_key
from bon.types import Outcome, Verdict

RESULTS = Path(__file__).parent / "results"


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Write and read so many verdicts both ways."""
    verdict = Verdict(
        Outcome.FIRST, 0.9, "Both recompute the sum. " * 50, "the first", None, "", 9, 8, 7
    )
    calls = [("judge", f"q{i // 7}", f"a{i // 7}.{i % 7}", "b", 0, 0) for i in range(count)]
    names = ("judge", "query", "first", "second", "repeat", "attempt")

    with Ledger(folder / "ledger") as ledger:
        began = time.perf_counter()
        for call in calls:
            key = verdict_key(*call)
            if ledger.verdict(key) is None:
                ledger.add_verdict(key, verdict, **dict(zip(names, call, strict=True)))  # type: ignore[arg-type]
        append = time.perf_counter() - began
        began = time.perf_counter()
        for call in calls:
            assert ledger.verdict(verdict_key(*call)) == verdict
        hit = time.perf_counter() - began

    db = sqlite3.connect(folder / "verdicts.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE verdict (key BLOB PRIMARY KEY, data BLOB)")
    began = time.perf_counter()
    for call in calls:
        data = content.verdict_to_bytes(verdict, *call)
        db.execute("INSERT OR IGNORE INTO verdict VALUES (?, ?)", (verdict_key(*call), data))
    commit = time.perf_counter() - began
    began = time.perf_counter()
    for call in calls:
        row = db.execute("SELECT data FROM verdict WHERE key = ?", (verdict_key(*call),)).fetchone()
        assert content.verdict_from_bytes(row[0]) == verdict
    select = time.perf_counter() - began
    db.close()
    return {
        "verdicts": count,
        "append_us": round(append / count * 1e6, 1),
        "hit_us": round(hit / count * 1e6, 1),
        "sqlite_commit_us": round(commit / count * 1e6, 1),
        "sqlite_hit_us": round(select / count * 1e6, 1),
        "sqlite_over_ledger": round(commit / append, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--verdicts", type=int, default=20_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--save", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        figures = measure(options.verdicts, Path(name))
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "ledger.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures) if options.json else json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
