"""From a finished tournament to a ranking."""

from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import FIRST, SECOND, TIE, VOID, faulty, perfect

from bon import simulate
from bon.catalog import parse_strategy
from bon.ranker import rank
from bon.tournament import Tournament
from bon.types import Comparison, Decision, Match, Standing, Verdict


def said(first: int, second: int, verdict: Verdict, repeat: int = 0) -> Comparison:
    return Comparison(first, second, repeat, 0, 1, verdict)


def played(strategy: str, n: int, *, flawless: bool = True) -> list[Standing]:
    judge = perfect(range(n)) if flawless else faulty(3)
    tournament = simulate.play(Tournament(parse_strategy(strategy), n, seed="1"), judge)
    return rank(n, tournament.order, tournament.comparisons, tournament.matches)


def test_the_winner_is_first_whatever_its_record() -> None:
    lost_all = [said(0, 1, SECOND), said(2, 1, SECOND, 1)]
    standings = rank(3, [0], lost_all, [])
    assert [place.candidate for place in standings[:2]] == [0, 1]
    assert [place.rank for place in standings] == [1, 2, 3]


def test_a_strategys_whole_order_stays() -> None:
    standings = rank(3, [1, 2, 0], [said(0, 1, FIRST), said(0, 2, FIRST)], [])
    assert [place.candidate for place in standings] == [1, 2, 0]


def test_seats_the_strategy_leaves_open_follow_by_strength() -> None:
    games = [said(3, 1, FIRST), said(3, 2, FIRST), said(3, 0, FIRST), said(2, 1, FIRST)]
    standings = rank(4, [3], games, [])
    assert [place.candidate for place in standings[:2]] == [3, 2]
    assert standings[-1].candidate == 1


def test_a_tie_is_half_a_win_and_half_a_loss() -> None:
    winner, other = rank(2, [0], [said(0, 1, TIE), said(1, 0, SECOND)], [])
    assert (winner.wins, winner.losses) == (1.5, 0.5)
    assert (other.wins, other.losses) == (0.5, 1.5)


def test_a_void_adds_nothing() -> None:
    match = Match(0, 1, 1, Decision.VOID, 1, (said(0, 1, VOID),))
    one, other = rank(2, [1], match.comparisons, [match])
    for place in (one, other):
        assert (place.wins, place.losses, place.strength) == (0.0, 0.0, 0.0)
    assert one.candidate == 1


@given(st.integers(1, 20), st.sampled_from(["knockout", "round-robin", "knockout:rule=votes:3"]))
def test_ratings_stay_finite_and_centred(n: int, strategy: str) -> None:
    for flawless in (True, False):
        standings = played(strategy, n, flawless=flawless)
        assert sorted(place.candidate for place in standings) == list(range(n))
        assert all(isfinite(place.strength) and isfinite(place.strength_se) for place in standings)
        assert all(place.strength_se >= 0 for place in standings)
        assert sum(place.strength for place in standings) == pytest.approx(0, abs=1e-6)
        assert sum(place.wins for place in standings) == sum(place.losses for place in standings)


def test_an_undefeated_winner_is_the_strongest() -> None:
    standings = played("knockout", 16)
    assert standings[0].candidate == 15
    assert standings[0].strength == max(place.strength for place in standings)


def test_elo_is_given_where_everybody_met_everybody_and_orders_as_wins_do() -> None:
    standings = played("round-robin", 6)
    ratings = [place.elo for place in standings]
    assert [place.candidate for place in standings] == [5, 4, 3, 2, 1, 0]
    assert all(rating is not None for rating in ratings)
    assert ratings == sorted(ratings, key=lambda rating: -(rating or 0))


@pytest.mark.parametrize(("strategy", "n"), [("knockout", 4), ("knockout", 1), ("round-robin", 1)])
def test_elo_is_left_out_where_the_schedule_gives_it_no_meaning(strategy: str, n: int) -> None:
    assert all(place.elo is None for place in played(strategy, n))


def test_a_judge_that_never_errs_loses_no_tournament_however_often_it_is_asked() -> None:
    games = [said(a, b, FIRST) for a in range(64) for b in range(a + 1, 64)] * 99
    standings = rank(64, [], games, [])
    assert [place.candidate for place in standings] == list(range(64))
    assert all(place.strength_se > 0 for place in standings)
