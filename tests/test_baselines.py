"""Baselines: no call, whatever the judge; each by what it is named for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from judges import TIE, always, faulty

from bon.catalog import strategy
from bon.seating import seat
from bon.simulate import play
from bon.tournament import Tournament
from bon.types import BonError, Candidate, Message, Prompt

SEEDS = range(600)
PROMPT = Prompt("1", (Message("user", "2 + 2 ="),), answer="4")


def winner(
    name: str,
    seed: object = 0,
    *,
    sizes: Sequence[int] = (),
    teams: Sequence[int] = (),
    scores: Sequence[float] = (),
    truth: Sequence[float] = (),
) -> int:
    played = play(
        Tournament(
            strategy(name),
            4,
            seed=str(seed),
            sizes=sizes,
            teams=teams,
            scores=scores,
            truth=truth,
        ),
        faulty(0),
    )
    assert (played.comparisons, played.stages) == ((), 0)
    return played.order[0]


def test_random_takes_each_candidate_equally_often_also_where_one_plays_for_several() -> None:
    won = Counter(winner("random", seed, sizes=[3, 1, 1, 1]) for seed in SEEDS)
    assert won[0] / len(SEEDS) == pytest.approx(0.5, abs=0.07)
    assert won[1] / len(SEEDS) == pytest.approx(1 / 6, abs=0.07)


def test_majority_takes_the_answer_of_most_candidates() -> None:
    assert winner("majority", sizes=[1, 3, 1, 1]) == 1
    assert winner("majority", teams=[7, 5, 7, 7]) in (0, 2, 3)
    assert winner("majority", teams=[0, 0, 1, 2], sizes=[1, 1, 3, 1]) == 2


def test_a_majority_of_none_is_decided_by_lot() -> None:
    won = Counter(winner("majority", seed) for seed in SEEDS)
    assert all(abs(won[seat] / len(SEEDS) - 0.25) < 0.07 for seat in range(4))


def test_pointwise_takes_the_highest_score_and_oracle_a_right_one() -> None:
    assert winner("pointwise", scores=[-1.0, 0.5, 2.0, 1.0]) == 2
    assert {winner("oracle", seed, truth=[0.0, 1.0, 0.0, 1.0]) for seed in range(20)} == {1, 3}


@pytest.mark.parametrize(("name", "says"), [("pointwise", "`score`"), ("oracle", "`answer`")])
def test_what_the_input_does_not_know_is_one_clear_line(name: str, says: str) -> None:
    with pytest.raises(BonError, match=says):
        winner(name)


# --- from candidates to seats -----------------------------------------------------------------------

ANSWERS = ["so 5", "it is 4", "4", "thus 4", "I say 5"]


def chosen(name: str, candidates: list[Candidate], seed: int = 0, group_by: str = "exact") -> int:
    seating = seat(PROMPT, candidates, strategy(name), group_by=group_by, seed=seed)
    return seating.seats[play(seating.tournament, always(TIE)).order[0]]


@pytest.mark.parametrize("group_by", ["exact", "number", "none"])
def test_final_answers_and_truth_reach_the_table_from_texts(group_by: str) -> None:
    candidates = [Candidate(text) for text in ANSWERS]
    for seed in range(20):
        assert chosen("majority", candidates, seed, group_by) in (1, 2, 3)
        assert chosen("oracle", candidates, seed, group_by) in (1, 2, 3)
        assert chosen("first", candidates, seed, group_by) == 0


def test_scores_and_what_the_input_calls_correct_reach_the_table() -> None:
    candidates = [Candidate(text, score=float(i == 4)) for i, text in enumerate(ANSWERS)]
    assert chosen("pointwise", candidates) == 4
    told = [Candidate(text, correct=i == 0) for i, text in enumerate(ANSWERS)]
    assert {chosen("oracle", told, seed) for seed in range(10)} == {0}
