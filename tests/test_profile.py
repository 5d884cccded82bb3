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
from bon.posterior.worlds import World, at
from bon.profile import BARE, UNKNOWN, Profile, read_profile
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


def test_grades_of_a_calibrated_judge_tell_clear_verdicts_from_guesses() -> None:
    found = learned(0.3, tournaments=150, graded=1.0)
    odds = [clear / guess for clear, guess in zip(found.clear, found.guess, strict=True)]
    assert odds[0] < 0.8 < 1.2 < odds[3]
    assert sum(found.clear) == pytest.approx(1.0)
    assert sum(found.guess) == pytest.approx(1.0)


def test_grades_say_nothing_where_too_few_pairs_were_judged_twice() -> None:
    assert learned(tournaments=1, graded=1.0).clear == ()


def test_a_grade_that_nobody_calibrated_says_nothing() -> None:
    assert UNKNOWN.grade(0.999) == UNKNOWN.grade(0.501) == UNKNOWN.grade(None) == BARE
    known = Profile(clear=(0.1, 0.1, 0.1, 0.1, 0.1, 0.5), guess=(0.6, 0.1, 0.1, 0.1, 0.05, 0.05))
    assert known.grade(0.51) == known.grade(0.49) == (0.1, 0.6)
    assert known.grade(0.0) == (0.5, 0.05)
    assert known.grade(None) == BARE


def test_a_verdict_that_is_more_surely_clear_tells_more_of_who_is_above() -> None:
    chances = []
    for clear in (1e-6, 0.5, 1.0, 2.0):
        posterior = BestPosterior(3, worlds=(World("constant", 1.0, tuple(at(0.2))),))
        posterior.tell(0, 1, 1.0, (clear, 1.0))
        chances.append(posterior.best()[0])
    assert chances == sorted(chances)
    assert chances[0] == pytest.approx(1 / 3, abs=1e-3)


def test_guesses_all_round_show_that_nobody_is_above_the_others() -> None:
    equals = []
    for grade in ((0.01, 1.0), BARE):
        posterior = BestPosterior(4)
        for first, second in ((0, 1), (1, 2), (2, 3), (3, 0)) * 2:
            posterior.tell(first, second, 1.0, grade)
        equals.append(posterior.among_best().min())
    assert equals[0] > 0.8 > 0.5 > equals[1]


def test_evidence_of_a_tournament_that_grades_steered_teaches_nothing_about_grades() -> None:
    judge = simulated(flips(range(4), 0.2), seed=1, graded=1.0)
    played = play(Tournament(strategy("round-robin", rule="both"), 4, seed="0"), judge)
    known = Profile(clear=(0.1,) * 5 + (0.5,), guess=(0.5,) + (0.1,) * 5)
    bare, steered = (
        learn([evidence(4, played.comparisons)] * 50),
        evidence(4, played.comparisons, known),
    )
    assert bare.clear
    assert learn([steered] * 50).clear == ()


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


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "not JSON", '{"bias": 1, "mood": 2}', '{"bias": "much"}', '{"clear": 5}'),
        '{"clear": [0.5, 0.5], "guess": [0.5, 0.5]}',
        '{"clear": [0.1, 0.1, 0.1, 0.1, 0.1, 0.5]}',
        '{"clear": [0, 0, 0, 0, 0, 1], "guess": [1, 0, 0, 0, 0, 0]}',
    ],
)
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
