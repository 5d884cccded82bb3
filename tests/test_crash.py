"""Runs that are killed, interrupted, or lose their disk under way: nothing is lost, nothing judged twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

ROOT = Path(__file__).parent.parent


def test_killed_at_random_moments_and_resumed_no_verdict_is_lost_or_given_twice() -> None:
    """The long form is `python benchmarks/crash.py --runs 100`."""
    done = subprocess.run(
        [sys.executable, "benchmarks/crash.py", "--runs", "6", "--json", "--no-save"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["killed"] > 0
    assert {name: figures[name] for name in ("lost", "rejudged_beyond_in_flight", "identical")} == {
        "lost": 0,
        "rejudged_beyond_in_flight": 0,
        "identical": True,
    }


BON = """
    import resource, sys
    from pathlib import Path
    sys.path[:0] = [{root!r}]
    from benchmarks import crash
    from bon import draining
    from bon.ledger import store
    store.SYNC_SECONDS = 0.05
    draining.SECONDS = {drain}
    if {limit}:
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
    crash._become_bon(sys.argv[1:], Path("calls.log"))
"""


def start(
    folder: Path, *arguments: str, limit: int = 0, drain: float = 10
) -> subprocess.Popen[str]:
    """`bon` in a process of its own, with a judge that answers by content."""
    script = textwrap.dedent(BON.format(root=str(ROOT), limit=limit, drain=drain))
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bon(folder: Path, *arguments: str, limit: int = 0) -> tuple[int, str]:
    """Its exit code and what it said."""
    process = start(folder, *arguments, limit=limit)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def write_rows(folder: Path, count: int = 60) -> None:
    rows = (
        {"id": i, "prompt": f"{i}?", "candidates": [f"{i}.{k}" for k in range(4)]}
        for i in range(count)
    )
    (folder / "rows.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def wait_for_rows(path: Path, count: int) -> None:
    end = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < end
        time.sleep(0.01)


RERANK = ("rerank", "rows.jsonl", "-o", "out/ranked.jsonl", "--strategy", "knockout", "-q")


def undisturbed(folder: Path) -> bytes:
    calm = folder / "calm"
    calm.mkdir()
    write_rows(calm)
    assert bon(calm, *RERANK)[0] == 0
    return (calm / "out" / "ranked.jsonl").read_bytes()


def test_a_full_disk_is_one_line_and_the_run_is_taken_up_from_there(tmp_path: Path) -> None:
    write_rows(tmp_path)
    code, said = bon(tmp_path, *RERANK, limit=30_000)
    assert code == 1
    [line] = [line for line in said.splitlines() if line.startswith("Error")]
    assert "cannot write" in line
    assert "--resume" in line
    known = len(rows_of_ledger(tmp_path))
    assert known > 10
    assert bon(tmp_path, "rerank", "out/ranked.jsonl", "--resume", "-q")[0] == 0
    assert (tmp_path / "out" / "ranked.jsonl").read_bytes() == undisturbed(tmp_path)
    begun = (tmp_path / "calls.log").read_text().count("begin")
    assert begun <= 60 * 3 + 16  # only what was under way is judged again


def rows_of_ledger(folder: Path) -> dict[str, str]:
    from benchmarks import crash

    return crash._in_ledger(folder / "out" / "ranked.jsonl.bon" / "ledger")


def test_a_folder_that_vanishes_is_one_line(tmp_path: Path) -> None:
    write_rows(tmp_path, 400)
    process = start(tmp_path, *RERANK)
    wait_for_rows(tmp_path / "out" / "ranked.jsonl", 3)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    [line] = said.splitlines()
    assert line.startswith("Error: cannot write")


@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_what_is_complete_is_on_disk_and_the_rest_is_resumed(
    tmp_path: Path, times: int
) -> None:
    write_rows(tmp_path)
    process = start(tmp_path, *RERANK)
    results = tmp_path / "out" / "ranked.jsonl"
    wait_for_rows(results, 3)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "interrupted; what was complete is on disk"
    assert "Traceback" not in said
    assert 3 <= len(rows_of(results)) < 60
    calls = (tmp_path / "calls.log").read_text()
    if times == 1:  # whatever was under way was finished
        assert calls.count("begin") == calls.count("end")
    assert bon(tmp_path, "rerank", "out/ranked.jsonl", "--resume", "-q")[0] == 0
    assert results.read_bytes() == undisturbed(tmp_path)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["ranked.jsonl"]
