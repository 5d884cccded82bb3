"""Right and wrong, and the baselines a tournament has to beat."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_factory import play

from bon.accuracy import baselines, chosen_right, interval, is_right
from bon.types import Candidate, Prompt, Result


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("4 + 13 = 17\n\\boxed{17}", "17"),
        ("The answer is 17.", "17"),
        ("\\boxed{17.0}", "17"),
        ("\\boxed{1,700}", "1700"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("1/2", " 1/2\n"),
        ("\\boxed{x}", "x"),
    ],
)
def test_the_same_box_the_same_number_and_the_same_text_are_right(text: str, answer: str) -> None:
    assert is_right(text, answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\\boxed{18}", "17"),
        ("17, no: \\boxed{18}", "17"),
        ("\\boxed{}", "17"),
        ("", "17"),
        ("\\boxed{3/2}", "1/2"),
        ("\\boxed{\\frac{3}{2}}", "\\frac{1}{2}"),
        ("y = 2", "x^2"),
        ("It is x", "x"),
    ],
)
def test_everything_else_is_wrong(text: str, answer: str) -> None:
    assert not is_right(text, answer)


def said(*answers: str) -> list[Candidate]:
    return [Candidate(f"\\boxed{{{answer}}}") for answer in answers]


def test_random_majority_and_oracle_of_a_clear_vote() -> None:
    assert baselines(said("1", "1", "1", "2"), "1", "boxed") == {
        "random": 0.75,
        "majority": 1.0,
        "oracle": 1.0,
    }
    assert baselines(said("2", "2", "3", "1"), "1", "boxed") == {
        "random": 0.25,
        "majority": 0.0,
        "oracle": 1.0,
    }
    assert baselines(said("2", "3"), "1", "boxed")["oracle"] == 0.0


def test_a_tied_vote_is_right_as_often_as_its_lot() -> None:
    assert baselines(said("1", "1", "2", "2", "3"), "1", "boxed")["majority"] == 0.5


def test_candidates_without_an_answer_do_not_vote_together() -> None:
    silent = [Candidate("no idea"), Candidate("no clue"), Candidate("none")]
    assert baselines([*silent, *said("1", "1")], "1", "boxed")["majority"] == 1.0


@given(st.lists(st.sampled_from("123"), min_size=1, max_size=9))
def test_no_choice_beats_the_oracle(answers: list[str]) -> None:
    known = baselines(said(*answers), "1", "number")
    assert max(known["random"], known["majority"]) <= known["oracle"]


def test_the_winner_is_right_or_not() -> None:
    result = play(n=2, texts=["\\boxed{16}", "\\boxed{17}"])
    assert result.winner is not None
    assert chosen_right(result) == (result.winner == 0)
    assert chosen_right(play(answer=None)) == 0.0
    assert chosen_right(Result(Prompt("1", (), "16"), (), (), None, (), (), (), error="no")) == 0.0


def test_an_interval_holds_its_mean_and_shrinks_with_more_prompts() -> None:
    few, many = interval([0.0, 1.0] * 10), interval([0.0, 1.0] * 200)
    assert few.mean == many.mean == 0.5
    assert few.low < many.low < 0.5 < many.high < few.high
    # of 400 fair coins: 1.96 standard errors of .025
    assert many.high - many.low == pytest.approx(0.098, abs=0.01)


def test_an_interval_is_the_same_every_time() -> None:
    assert interval([0.0, 1.0, 1.0]) == interval([0.0, 1.0, 1.0])


def test_intervals_of_what_does_not_vary_and_of_nothing() -> None:
    sure = interval([1.0] * 5)
    assert (sure.mean, sure.low, sure.high) == (1.0, 1.0, 1.0)
    assert math.isnan(interval([]).mean)
