"""Measures the strategies as benchmarks/README.md reports them, and keeps rows and commands.

    python -m benchmarks.strategies simulated
    python -m benchmarks.strategies recorded verdicts.jsonl.gz
    python -m benchmarks.strategies live

Each command of `bon bench` is run as written and its rows go to benchmarks/results/strategies-WORLD.json beside it,
with a picture. The recorded world has rows for `pairsort` as well, where that is installed
(pip install pairsort==0.3.0); it is the work of others and plays by its own schedule.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bon.bench.played import Played, played
from bon.bench.recorded import Recorded, read_recordings
from bon.bench.report import rows
from bon.bench.runner import Columns
from bon.types import SCORE_FIRST, Comparison, Verdict

RESULTS = Path(__file__).parent / "results"

BRACKETS = [
    "random",
    "knockout",
    "knockout:rule=votes:3",
    "knockout:rule=escalate",
    "knockout:rule=sequential:0.05",
    "double-elimination",
    "hybrid",
    "swiss:rounds=6",
    "pivot:k=2",
    "league:m=4",
    "sequential-halving",
    "merge-sort",
    "round-robin",
    "round-robin:rule=both",
    "adaptive",
]
CAPPED = [
    f"adaptive:max_comparisons={cap},target=round-robin,error=0.001" for cap in (10, 12, 14, 18, 24)
]
ONCE = [
    "random",
    "knockout",
    "knockout:rule=both",
    "double-elimination:reset=false",
    "hybrid",
    "swiss",
    "sequential-halving",
    "pivot:k=2",
    "round-robin",
    "round-robin:rule=both",
    *(f"adaptive:error={error},target=round-robin" for error in (0.15, 0.1, 0.05, 0.01)),
    *CAPPED,
]
LIVE = [
    "random",
    "majority",
    "knockout",
    "teams",
    "swiss:rounds=6",
    "pivot:k=2",
    "adaptive",
    "adaptive:error=0.02",
    "adaptive:profile=unknown",
    "round-robin:rule=both",
    "oracle",
]
SPLIT = ["random", "knockout", "hybrid", "swiss", "sequential-halving", "round-robin"]
SPLIT += ["adaptive:target=round-robin,max_comparisons=10", "adaptive:target=round-robin"]
WIDTH = 128
"""Comparisons at once where stages are what is scarce."""
PAIRSORT = {f"pairsort swiss, {2 * pairs} calls": pairs for pairs in (5, 6, 7, 9, 12)}
"""Pairs, each asked in both orders."""


def simulated() -> list[tuple[list[str], list[str]]]:
    """Commands and their strategies: independent noise, persistent errors, right and wrong, few stages."""
    base = ["bon", "bench", "simulated", "--seed", "1"]
    posterior = "exact-posterior:error=0.05"
    few_stages = ["knockout:rule=votes:11", f"adaptive:width={WIDTH},error=0.48"]

    def world(n: int, flip: float, prompts: int, *more: str) -> list[str]:
        return [*base, "-n", f"{n}", "--flip", f"{flip}", "--prompts", f"{prompts}", *more]

    noise = ["adaptive", "knockout:rule=sequential:0.05"]
    found = [(world(n, flip, 2048), noise) for n in (8, 16) for flip in (0.1, 0.2, 0.3)]
    found += [(world(32, flip, 300), noise) for flip in (0.1, 0.2, 0.3)]
    found += [(world(8, flip, 200), [posterior]) for flip in (0.1, 0.2, 0.3)]
    found += [(world(16, 0.2, 30), [posterior])]
    found += [(world(16, 0.2, 1000), [*BRACKETS, *few_stages])]
    found += [(world(16, 0.2, 1000, "--persistence", "0.5"), BRACKETS)]
    labels = ["--world", "labels", "--bias", "0.5"]
    return [*found, (world(8, 0.1, 1536, *labels), BRACKETS)]


def main() -> None:
    """Measure one world and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("world", choices=["simulated", "recorded", "live"])
    parser.add_argument("file", nargs="?", help="verdicts of the recorded world")
    parser.add_argument("--baseline", default="round-robin:rule=both")
    parser.add_argument("--jobs", default="2")
    parser.add_argument(
        "--keep", help="parts that are done: the same command goes on where it stopped"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    jobs = ["--jobs", asked.jobs, *(["--keep", asked.keep] if asked.keep else [])]
    if asked.world == "simulated":
        found = [measure([*command, *jobs], texts) for command, texts in simulated()]
    elif asked.world == "live":
        found = []
        for n in ("8", "16"):
            command = ["bon", "bench", "live", "--problems", "500", "-n", n]
            command += ["--ledger", f"{asked.keep}-{n}"] if asked.keep else []
            found.append(measure(command, LIVE, asked.baseline))
    else:
        if asked.file is None:
            parser.error("recorded needs a file of verdicts")
        command = ["bon", "bench", "recorded", asked.file, *jobs]
        # each cap against all others, on the same prompts: with --keep, all but the first cost nothing
        found = [measure(command, ONCE, capped) for capped in CAPPED]
        found += [measure([*command, "--split"], SPLIT, "round-robin")]
        found += pairsort_rows(asked.file)
    target = asked.out / f"strategies-{asked.world}.json"
    target.write_text(json.dumps(found, indent=1) + "\n")
    print(f"wrote {target}")


def measure(command: Sequence[str], texts: Sequence[str], baseline: str = "") -> dict[str, Any]:
    """Run one command of `bon bench` and give it back with its rows; the path of a file stays out."""
    whole = [*command, *(word for text in texts for word in ("--strategy", text))]
    whole += ["--baseline", baseline] if baseline else []
    shown = [Path(word).name if "/" in word else word for word in whole]
    for option in ("--keep", "--ledger"):
        if option in shown:
            del shown[(at := shown.index(option)) : at + 2]
    print(shlex.join(shown), file=sys.stderr)
    out = subprocess.run([*whole, "--json"], check=True, stdout=subprocess.PIPE).stdout
    return {"command": shlex.join([*shown, "--json"]), "rows": json.loads(out)}


# --- pairsort ---------------------------------------------------------------------------------------


def pairsort_rows(file: str) -> list[dict[str, Any]]:
    """Rows for pairsort on the same recording, or none where it is not installed."""
    try:
        import pairsort
    except ImportError:
        print("pairsort is not installed: its rows are left out", file=sys.stderr)
        return []
    world = Recorded(read_recordings(file))
    columns = {name: _pairsort(world, pairs, pairsort) for name, pairs in PAIRSORT.items()}
    found = rows(lambda error: None, columns, None)
    settings = "pairsort 0.3.0, pair_strategy=swiss, both_orders=True, adaptive=False"
    return [{"command": settings, "rows": [row.to_json() for row in found]}]


def _pairsort(world: Recorded, pairs: int, pairsort: Any) -> Columns:
    table = np.array([_play(world, i, pairs, pairsort) for i in range(world.size)])
    return dict(zip(Played._fields, table.T, strict=True))


def _play(world: Recorded, index: int, pairs: int, pairsort: Any) -> Played:
    recording = world.recordings[index]
    worth: Mapping[str, float] = world.worth(index)
    names = Random(f"{world.seed}/{recording.id}").sample(recording.names, len(recording.names))
    heard: list[tuple[str, str, Verdict]] = []

    def judge(question: str, a: str, b: str) -> float:
        verdict = recording.verdict(a, b)
        heard.append((a, b, verdict))
        score = SCORE_FIRST[verdict.outcome]
        return 0.5 if score is None else score  # it knows of no VOID

    result = pairsort.sort(
        names,
        "Which is better?",
        judge=judge,
        budget=pairs,
        pair_strategy="swiss",
        adaptive=False,
        both_orders=True,
        seed=index,
        cache=False,
    )
    place = {name: i for i, name in enumerate(recording.names)}
    made = [Comparison(place[a], place[b], 0, 0, 1, verdict) for a, b, verdict in heard]
    chosen, best = worth[result.sorted[0]], max(worth.values())
    return played(made, 1, float(chosen == best), best - chosen)


if __name__ == "__main__":
    main()
