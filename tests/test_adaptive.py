"""Adaptive: right, calibrated, within its budget, the same in any order of arrival, never stuck."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from judges import FIRST, SECOND, TIE, VOID, always, faulty, perfect, record

from bon.catalog import parse_strategy, strategy
from bon.judge.simulated import SeatJudge, flips, simulated
from bon.simulate import play
from bon.tournament import Tournament
from bon.types import BonError, Outcome, Verdict


def played(n: int, judge: SeatJudge, seed: object = 0, **parameters: Any) -> Tournament:
    return play(Tournament(strategy("adaptive", **parameters), n, seed=str(seed)), judge)


def shuffled(n: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(n), n)


@pytest.mark.parametrize("n", [*range(1, 18), 32, 65])
def test_with_a_perfect_judge_the_best_wins(n: int) -> None:
    worth = shuffled(n, n)
    tournament = played(n, perfect(worth), n)
    assert worth[tournament.order[0]] == n - 1
    assert sorted(tournament.order) == list(range(n))
    assert len(tournament.comparisons) <= 2 * n


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("width", [1, 4])
def test_with_a_perfect_judge_a_winner_of_the_table_is_found(n: int, width: int) -> None:
    worth = shuffled(n, n)
    tournament = played(n, perfect(worth), n, target="round-robin", error=0.001, width=width)
    assert worth[tournament.order[0]] == n - 1


@pytest.mark.parametrize("target", ["best", "round-robin"])
@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_arrival_changes_nothing(target: str, width: int, seed: int) -> None:
    entrant = strategy("adaptive", target=target, width=width, max_comparisons=30)
    arrivals = [None, *(random.Random(i).randrange for i in range(3))]
    ways = [
        play(Tournament(entrant, 6, seed=str(seed)), faulty(seed), arrival) for arrival in arrivals
    ]
    assert all(record(way) == record(ways[0]) for way in ways)
    assert ways[0].stages < 30 or width == 1


@pytest.mark.parametrize("seed", range(3))
def test_in_a_table_no_order_of_a_pair_is_asked_twice(seed: int) -> None:
    entrant = strategy("adaptive", target="round-robin", error=1e-9, width=3)
    tournament = play(Tournament(entrant, 5, seed=str(seed), retries=0), faulty(seed))
    asked = Counter((c.first, c.second) for c in tournament.comparisons)
    assert set(asked.values()) == {1}
    assert len(asked) <= 20


def test_the_stated_error_is_kept_where_the_judge_flips_one_verdict_in_five() -> None:
    right = comparisons = 0
    for seed in range(150):
        worth = shuffled(8, seed)
        tournament = played(8, simulated(flips(worth, 0.2), seed=seed), seed, error=0.1)
        right += worth[tournament.order[0]] == 7
        comparisons += len(tournament.comparisons)
    assert right / 150 > 0.9 - 0.05  # two standard errors
    assert comparisons / 150 < 35


@pytest.mark.parametrize("votes", [1, 2])
@pytest.mark.parametrize("target", ["best", "round-robin"])
@pytest.mark.parametrize("width", [1, 4])
def test_no_more_verdicts_of_a_pair_are_asked_for_than_there_are(
    votes: int, target: str, width: int
) -> None:
    entrant = strategy("adaptive", target=target, width=width, error=1e-6)
    tournament = play(Tournament(entrant, 5, seed="1", votes=votes, retries=0), faulty(2))
    asked = [(c.first, c.second) for c in tournament.comparisons]
    pairs = asked if votes == 2 else [(min(pair), max(pair)) for pair in asked]
    assert len(set(pairs)) == len(pairs)


def test_once_all_but_one_have_lost_what_tells_less_than_its_price_is_not_asked_for() -> None:
    judge = simulated(flips(range(6), 0.3), seed=1)
    asked = [len(played(6, judge, price=price).comparisons) for price in (0.0, 0.05, 9.0)]
    assert asked == sorted(asked, reverse=True)
    assert (
        asked[0] > asked[1] > asked[2] >= 5
    )  # a winner has been met by somebody, whatever the price


def test_a_smaller_error_costs_more_and_errs_less() -> None:
    results = []
    for error in (0.3, 0.02):
        runs = []
        for seed in range(60):
            worth = shuffled(6, seed)
            tournament = played(6, simulated(flips(worth, 0.2), seed=seed), seed, error=error)
            runs.append((worth[tournament.order[0]] == 5, len(tournament.comparisons)))
        results.append(np.mean(runs, axis=0))
    assert (results[1] > results[0]).all()


def test_a_lasting_error_is_not_asked_again_and_again() -> None:
    repeats = []
    for persistence in (0.0, 0.5):
        counts: list[float] = []
        for seed in range(30):
            judge = simulated(flips(shuffled(8, seed), 0.2), seed=seed, persistence=persistence)
            asked = Counter(
                frozenset((c.first, c.second))
                for c in played(8, judge, seed, max_comparisons=40).comparisons
            )
            counts.append(sum(asked.values()) / len(asked))
        repeats.append(np.mean(counts))
    assert repeats[1] < repeats[0] + 0.2


@pytest.mark.parametrize("seed", range(4))
def test_position_bias_alone_misleads_nobody(seed: int) -> None:
    worth = shuffled(5, seed)
    judge = simulated(flips(worth, 0.1), seed=seed, bias=1.5)
    tournament = played(5, judge, seed, error=0.001)
    assert worth[tournament.order[0]] == 4


@pytest.mark.parametrize("target", ["best", "round-robin"])
@pytest.mark.parametrize("verdict", [FIRST, SECOND, TIE, VOID], ids=lambda v: v.outcome)
@pytest.mark.parametrize("n", [2, 5])
def test_a_judge_that_says_one_thing_only_neither_hangs_nor_crashes_it(
    n: int, verdict: Verdict, target: str
) -> None:
    tournament = played(n, always(verdict), target=target)
    assert sorted(tournament.order) == list(range(n))
    assert len(tournament.comparisons) <= 50 * n


def test_an_order_of_a_pair_that_is_void_for_good_is_given_up() -> None:
    def judge(first: int, second: int, repeat: int, attempt: int) -> Verdict:
        return (
            VOID
            if {first, second} == {0, 1}
            else simulated(flips(range(4), 0.0))(first, second, repeat, attempt)
        )

    tournament = played(4, judge)
    assert tournament.order[0] == 3
    voids = Counter(
        (c.first, c.second, c.attempt)
        for c in tournament.comparisons
        if c.verdict.outcome is Outcome.VOID
    )
    assert max(voids.values(), default=0) <= 2


@pytest.mark.parametrize("target", ["best", "round-robin"])
@pytest.mark.parametrize("budget", [1, 2, 7])
@pytest.mark.parametrize("width", [1, 3])
def test_no_more_comparisons_than_the_budget(target: str, budget: int, width: int) -> None:
    judge = simulated(flips(range(6), 0.3))
    tournament = played(6, judge, target=target, max_comparisons=budget, width=width, error=1e-6)
    assert len(tournament.comparisons) == budget


def test_no_more_rounds_once_the_tokens_are_spent() -> None:
    def judge(first: int, second: int, repeat: int, attempt: int) -> Verdict:
        return Verdict(Outcome.FIRST, prompt_tokens=80, output_tokens=20)

    assert len(played(6, judge, max_judge_tokens=500).comparisons) == 5
    assert len(played(6, judge, max_judge_tokens=501).comparisons) == 6


def test_width_saves_stages() -> None:
    judge = simulated(flips(range(8), 0.2), seed=5)
    narrow, wide = played(8, judge), played(8, judge, width=8)
    assert wide.stages < narrow.stages / 3
    assert wide.order[0] == 7


def test_a_round_of_whole_matches_lets_nobody_meet_two_others_and_drops_needless_votes() -> None:
    worth = shuffled(8, 3)
    tournament = played(8, simulated(flips(worth, 0.1), seed=5), width=64, error=0.01)
    assert worth[tournament.order[0]] == 7
    opponents: dict[tuple[int, int], set[int]] = {}
    for c in tournament.comparisons:
        opponents.setdefault((c.stage, c.first), set()).add(c.second)
        opponents.setdefault((c.stage, c.second), set()).add(c.first)
    assert {len(met) for met in opponents.values()} == {1}
    assert tournament.stages <= 5
    assert len(tournament.comparisons) < 64


def test_right_answers_are_not_told_apart_at_length() -> None:
    asked = []
    for seed in range(40):
        worth = random.Random(seed).sample([True] * 4 + [False] * 4, 8)
        tournament = played(8, simulated(flips(worth, 0.03), seed=seed), seed)
        assert worth[tournament.order[0]]
        asked.append(len(tournament.comparisons))
    assert np.mean(asked) < 45  # a model that knows orders alone asks 70


def test_no_seat_is_favoured() -> None:
    winners = Counter(
        played(4, simulated(flips([1, 1, 1, 1], 0.2), seed=seed), seed, max_comparisons=6).order[0]
        for seed in range(400)
    )
    assert min(winners[seat] for seat in range(4)) > 65


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("adaptive:error=0", "above 0 and below .5"),
        ("adaptive:error=0.5", "above 0 and below .5"),
        ("adaptive:error=nan", "above 0 and below .5"),
        ("adaptive:max_comparisons=0", "give 1 or more, or leave it out"),
        ("adaptive:max_judge_tokens=-1", "give 1 or more, or leave it out"),
        ("adaptive:width=0", "give 1 or more"),
        ("adaptive:target=worst", "best, round-robin"),
        ("adaptive:max_comparisons=many", "needs int"),
        ("adaptive:eror=0.1", "known: error, max_comparisons"),
    ],
)
def test_bad_values_are_one_line_that_says_what_to_do(text: str, says: str) -> None:
    with pytest.raises(BonError) as raised:
        play(Tournament(parse_strategy(text), 3, seed="0"), always(FIRST))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
