"""Judge profiles: learned from verdicts alone, kept in a file, told to a strategy like a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from bon.catalog import strategy
from bon.judge.simulated import flips, simulated
from bon.posterior.best import BestPosterior
from bon.posterior.learning import evidence, learn
from bon.profile import UNKNOWN, Profile, read_profile
from bon.simulate import play
from bon.tournament import Tournament
from bon.types import BonError


def learned(flip: float = 0.2, tournaments: int = 60, **faults: Any) -> Profile:
    """What tournaments of six, by adaptive, teach about a judge."""
    rows = []
    for seed in range(tournaments):
        judge = simulated(flips(range(6), flip), seed=seed, **faults)
        entrant = strategy("adaptive", max_comparisons=25, error=0.01)
        rows.append(evidence(6, play(Tournament(entrant, 6, seed=str(seed)), judge).comparisons))
    return learn(rows)


def test_an_unknown_judge_is_what_no_tournament_teaches() -> None:
    assert learn([]) == UNKNOWN


@pytest.mark.parametrize("flip", [0.05, 0.3])
def test_how_often_the_judge_flips_is_learned(flip: float) -> None:
    found = learned(flip).flip_rate
    assert found is not None
    assert abs(found - flip) < 0.06


@pytest.mark.parametrize("bias", [-0.8, 0.8])
def test_position_bias_is_learned_with_how_sure_it_is(bias: float) -> None:
    few, many = learned(bias=bias, tournaments=10), learned(bias=bias)
    assert abs(many.bias - bias) < 0.3
    assert many.bias_sd < few.bias_sd < UNKNOWN.bias_sd


def test_the_share_of_ties_is_counted_without_the_voids() -> None:
    found = learned(ties=0.25, tournaments=40).tie_rate
    assert found is not None
    assert abs(found - 0.25) < 0.06


def test_grades_that_mean_something_are_worth_more_the_surer_they_are() -> None:
    grades = learned(0.3, tournaments=150, graded=1.0).grades
    assert list(grades) == sorted(grades)
    assert grades[0] < 0.8 < 1.2 < grades[3]


def test_a_grade_without_a_profile_that_knows_it_is_worth_a_bare_verdict() -> None:
    assert UNKNOWN.worth(0.999) == UNKNOWN.worth(0.501) == UNKNOWN.worth(None) == 1.0
    known = Profile(grades=(0.1, 0.5, 1.0, 1.5, 2.0, 2.0))
    assert known.worth(0.51) == known.worth(0.49) == 0.1
    assert known.worth(0.0) == 2.0
    assert known.worth(None) == 1.0


def test_a_verdict_of_more_worth_tells_more() -> None:
    chances = []
    for worth in (0.0, 0.5, 1.0, 2.0):
        posterior = BestPosterior(3)
        posterior.tell(0, 1, 1.0, worth)
        chances.append(posterior.best()[0])
    assert chances == sorted(chances)
    assert chances[0] == pytest.approx(1 / 3, abs=1e-3)


def test_who_knows_the_judge_needs_fewer_comparisons() -> None:
    profile = learned(0.05)
    needed = [0, 0]
    for seed in range(30):
        for known, settings in enumerate(({}, {"profile": profile})):
            tournament = Tournament(_adaptive(settings), 8, seed=str(seed))
            judge = simulated(flips(range(8), 0.05), seed=seed)
            needed[known] += len(play(tournament, judge).comparisons)
    assert needed[1] < 0.9 * needed[0]


def _adaptive(arguments: dict[str, Any]) -> Any:
    from dataclasses import replace

    return replace(strategy("adaptive"), arguments=arguments)


def test_a_profile_comes_back_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "judge.json"
    profile = learned(tournaments=5)
    file.write_bytes(orjson.dumps(profile.to_json()))
    assert read_profile(str(file)) == profile
    assert strategy("adaptive", profile=file).arguments["profile"] == profile


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"bias": 1, "mood": 2}', "not JSON"])
def test_a_file_that_is_no_profile_is_one_line_that_says_how_to_make_one(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "judge.json"
    file.write_text(text)
    with pytest.raises(BonError, match="bon profile RESULTS"):
        strategy("adaptive", profile=file)


def test_a_profile_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BonError, match="cannot read"):
        strategy("adaptive", profile=tmp_path / "none.json")
