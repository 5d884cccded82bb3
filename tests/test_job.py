"""What a job takes for granted: above all, what a judge's model says of itself as a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from bon.catalog import parse_strategy
from bon.job import Job, Judge
from bon.profile import UNKNOWN, Profile
from bon.types import BonError

KNOWN = Profile(bias=0.5, bias_sd=0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that ships with a profile."""
    folder = tmp_path / "my-judge"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "judge-profile.json").write_bytes(orjson.dumps(KNOWN.to_json()))
    return folder


def told(judge: Judge, strategy: str = "adaptive") -> Any:
    return Job(judge=judge, strategy=parse_strategy(strategy)).entrant.arguments.get("profile")


def test_adaptive_is_told_the_profile_in_the_folder_of_the_judge(folder: Path) -> None:
    assert told(Judge(str(folder))) == KNOWN


def test_the_notation_of_the_strategy_stays_as_it_was_asked_for(folder: Path) -> None:
    assert str(Job(judge=Judge(str(folder))).entrant) == "adaptive"


def test_a_result_says_whose_profile_was_played_by(folder: Path) -> None:
    known = Job(judge=Judge(str(folder)))
    assert known.provenance["profile"] == f"{folder}/judge-profile.json"
    assert "profile" not in Job(judge=Judge(str(folder), temperature=0.0)).provenance


def test_a_strategy_that_takes_no_profile_is_told_none(folder: Path) -> None:
    assert told(Judge(str(folder)), "knockout") is None


def test_a_profile_of_the_users_own_comes_first(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_bytes(orjson.dumps(Profile(bias=-1.0).to_json()))
    assert told(Judge(str(folder)), f"adaptive:profile={mine}") == Profile(bias=-1.0)
    assert told(Judge(str(folder)), "adaptive:profile=unknown") == UNKNOWN
    assert told(Judge(str(folder)), "adaptive:profile=auto") == KNOWN


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.0},
        {"top_p": 0.9},
        {"max_tokens": 100},
        {"thinking_budget": 64},
        {"criteria": "Brevity."},
        {"template": "rm-r1"},
        {"engine_args": {"quantization": "fp8"}},
    ],
)
def test_a_judge_that_is_asked_in_another_way_is_another_judge(
    folder: Path, change: dict[str, Any]
) -> None:
    assert told(Judge(str(folder), **change)) is None


def test_its_own_template_by_name_and_more_memory_make_no_other_judge(folder: Path) -> None:
    judge = Judge(str(folder), template="rrm", engine_args={"gpu_memory_utilization": 0.5}, seed=7)
    assert told(judge) == KNOWN


@pytest.mark.parametrize("model", ["org/model", "openai:org/model@http://localhost:1/v1"])
def test_a_judge_without_a_folder_ships_with_nothing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told(Judge(model)) is None


def test_a_file_of_that_name_that_is_no_profile_is_one_line(folder: Path) -> None:
    (folder / "judge-profile.json").write_text('{"mood": "fine"}')
    with pytest.raises(BonError, match="no judge profile"):
        told(Judge(str(folder)))


def test_the_bundled_judge_ships_with_a_profile_that_knows_its_grades() -> None:
    found = told(Judge("tiny-rrm"))
    assert len(found.clear) == len(found.guess) > 0
    assert found.clear[-1] / found.guess[-1] > 10.0 > 0.1 > found.clear[0] / found.guess[0]
