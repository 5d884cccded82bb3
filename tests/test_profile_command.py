"""`bon profile`: from results to a file that a strategy plays by."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from result_factory import double_round_robin, play

from bon.catalog import strategy
from bon.cli import main
from bon.profile import read_profile
from bon.schema import result_to_json

Profiled = Callable[..., tuple[int, str, str]]


@pytest.fixture
def profiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Profiled:
    """Runs the command: exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["bon", "profile", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return (int(stop.value.code or 0), *capsys.readouterr())

    return run


def judged(played_by: str = "round-robin:rule=both") -> bytes:
    """Sixty round robins in both orders, with graded verdicts, that say they were played by another."""
    results = [play(double_round_robin, 4, seed=str(seed)) for seed in range(60)]
    rows = [replace(result, provenance={"strategy": played_by}) for result in results]
    return b"\n".join(orjson.dumps(result_to_json(row)) for row in rows)


def test_what_is_learned_is_a_parameter_of_adaptive(profiled: Profiled, tmp_path: Path) -> None:
    (tmp_path / "judged.jsonl").write_bytes(judged())
    assert profiled("judged.jsonl", "-o", "judge.json") == (0, "", "")
    known = strategy("adaptive", profile=tmp_path / "judge.json").arguments["profile"]
    assert known == read_profile(str(tmp_path / "judge.json"))
    assert known.bias > 0.1  # the factory's judge leans to the first slot
    assert len(known.clear) == len(known.guess) == 6


def test_stdout_and_stdin_do_as_well(
    profiled: Profiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "judged.jsonl").write_bytes(judged())
    code, out, _ = profiled("judged.jsonl")
    assert code == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(judged())))
    assert profiled("-")[:2] == (0, out)


@pytest.mark.parametrize(
    ("played_by", "grades"),
    [("adaptive:profile=unknown", 6), ("adaptive", 0), ("adaptive:profile=judge.json", 0)],
)
def test_grades_are_not_learned_where_they_may_have_had_a_say_in_what_was_asked(
    profiled: Profiled, tmp_path: Path, played_by: str, grades: int
) -> None:
    (tmp_path / "judged.jsonl").write_bytes(judged(played_by))
    found: dict[str, Any] = orjson.loads(profiled("judged.jsonl")[1])
    assert len(found["clear"]) == grades
    assert len(found["worlds"]) > 0


def test_results_without_a_comparison_teach_nothing(profiled: Profiled, tmp_path: Path) -> None:
    row = orjson.dumps(result_to_json(play(n=1)))
    (tmp_path / "judged.jsonl").write_bytes(row)
    code, out, err = profiled("judged.jsonl")
    assert (code, out) == (2, "")
    assert "there is no comparison in judged.jsonl" in err
