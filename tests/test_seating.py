"""From candidates to seats and back: results speak of candidates, whoever sat where."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import perfect

from bon import simulate
from bon.catalog import parse_strategy
from bon.seating import Seating, result_of, seat
from bon.tournament import Table
from bon.types import Candidate, Message, Prompt, Result

PROMPT = Prompt("1", (Message("user", "4 + 5?"),), "9")
ANSWERS = st.lists(st.integers(0, 9).map(str), min_size=1, max_size=12)


def sit(
    texts: list[str], *, prompt: Prompt = PROMPT, group_by: str = "exact", seed: int = 0
) -> Seating:
    candidates = [Candidate(text) for text in texts]
    return seat(prompt, candidates, parse_strategy("knockout"), group_by=group_by, seed=seed)


def dealt(texts: list[str], **how: Any) -> Seating:
    """A tournament that has begun and goes no further."""
    seating = sit(texts, **how)
    seating.tournament.start()
    return seating


def play(seating: Seating) -> Result:
    """Judged without error: the larger number is the better response."""
    judge = perfect([float(text) for text in seating.texts])
    simulate.play(seating.tournament, judge)
    return result_of(seating, {"judge": "perfect"})


def test_one_of_each_group_has_a_seat() -> None:
    seating = dealt(["a", "b", "a", "c", "b"])
    assert seating.groups == (0, 1, 0, 3, 1)
    assert sorted(seating.seats) == [0, 1, 3]
    assert sorted(seating.texts) == ["a", "b", "c"]
    assert len(dealt(["a"] * 3, group_by="none").seats) == 3


def test_a_table_knows_how_many_stand_behind_each_seat_whether_right_and_how_scored() -> None:
    told: list[tuple[tuple[int, ...], object, object]] = []

    async def looks(table: Table) -> int:
        told.append((table.sizes, table.truth, table.scores))
        return 0

    candidates = [Candidate(text, score=float(text)) for text in ("8", "9", "8", "8")]
    seating = seat(PROMPT, candidates, looks, group_by="exact", seed=0)
    seating.tournament.start()
    [(sizes, truth, scores)] = told
    eight, nine = seating.texts.index("8"), seating.texts.index("9")
    assert (sizes[eight], sizes[nine]) == (3, 1)
    assert isinstance(truth, tuple)
    assert (truth[eight], truth[nine]) == (0, 1)
    assert isinstance(scores, tuple)
    assert (scores[eight], scores[nine]) == (8, 9)


def test_seats_depend_on_the_seed_and_the_prompt_alone() -> None:
    texts = [str(i) for i in range(9)]
    seats = dealt(texts).seats
    assert dealt([text + "!" for text in texts]).seats == seats
    assert dealt(texts, prompt=Prompt("1", PROMPT.messages, "8")).seats == seats
    assert dealt(texts, seed=1).seats != seats
    assert dealt(texts, prompt=Prompt("2", PROMPT.messages, "9")).seats != seats
    assert dealt(texts, prompt=Prompt("1", (Message("user", "5 + 4?"),))).seats != seats


def test_no_candidate_sits_in_one_place_more_often_than_in_another() -> None:
    first = Counter(dealt(["a", "b", "c", "d"], seed=seed).seats[0] for seed in range(800))
    # 200 each; a standard deviation is 12
    assert all(140 <= first[candidate] <= 260 for candidate in range(4))


@given(ANSWERS, st.integers())
def test_the_winner_is_the_best_candidate_wherever_it_sat(texts: list[str], seed: int) -> None:
    result = play(sit(texts, seed=seed))
    assert result.winner is not None
    assert texts[result.winner] == max(texts)
    assert result.groups[result.winner] == result.winner
    assert result.provenance == {"judge": "perfect"}


@given(ANSWERS, st.integers())
def test_comparisons_matches_and_ranking_name_candidates(texts: list[str], seed: int) -> None:
    result = play(sit(texts, seed=seed))
    players = set(result.groups)
    for comparison in result.comparisons:
        assert comparison.winner == max(
            (comparison.first, comparison.second), key=lambda i: texts[i]
        )
    for match in result.matches:
        assert texts[match.winner] == max(texts[match.a], texts[match.b])
        assert all(c in result.comparisons for c in match.comparisons)
    assert {place.candidate for place in result.ranking} == players
    assert [place.rank for place in result.ranking] == list(range(1, len(players) + 1))
    assert result.ranking[0].candidate == result.winner


def test_equal_answers_and_a_lone_candidate_win_without_a_match() -> None:
    for texts in (["9"], ["9"] * 5):
        result = play(sit(texts))
        assert (result.winner, result.matches, result.comparisons) == (0, (), ())
        assert [place.candidate for place in result.ranking] == [0]


@pytest.mark.parametrize("identity", ["\ud800", "", "\n", "🙂"])
def test_any_id_has_a_seating(identity: str) -> None:
    assert len(dealt(["a", "b"], prompt=Prompt(identity, PROMPT.messages)).seats) == 2
