"""Learns the profile that tiny-rrm ships with, from problems that no figure is measured on.

    python -m benchmarks.tiny.profile --out DIR

Round robins in both orders by the bundled models, on the last bundled problems: `bon run` and `bon profile`, no
answer key. DIR gets judge-profile.json, to be put beside the weights; to be repeated when they change.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from bon.demo import problems

KNOWN = 1000
"""Bundled problems."""
STUDIED = 200
"""How many of them, from the end, the profile is learned from."""


def main() -> None:
    """Judge the last problems and learn from the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder of judge-profile.json")
    target = parser.parse_args().out.absolute() / "judge-profile.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        rows = [{"id": one.id, "prompt": one.text} for one in problems(KNOWN)[-STUDIED:]]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (Path(folder) / "problems.jsonl").write_text(text)
        for command in (
            "bon run -f problems.jsonl -n 8 --strategy round-robin:rule=both -o judged.jsonl",
            f"bon profile judged.jsonl -o {shlex.quote(str(target))}",
        ):
            subprocess.run(shlex.split(command), check=True, cwd=folder)


if __name__ == "__main__":
    main()
