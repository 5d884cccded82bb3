"""Every strategy: right with a perfect judge, as dear as it says, the same in any order, never stuck."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import FIRST, SECOND, TIE, VOID, always, faulty, perfect, record

from bon.catalog import known_strategies, strategy
from bon.judge.simulated import SeatJudge, bradley_terry, flips, simulated
from bon.simulate import play
from bon.tournament import Ask, Tournament
from bon.types import Decision, Outcome, Verdict

STRATEGIES = [
    name for name, entry in known_strategies().items() if entry.module.startswith("bon.strategies.")
]
RULES = {"single": (1, 1), "both": (2, 2), "votes:1": (1, 1), "votes:3": (2, 3), "votes:4": (3, 4)}
"""Fewest and most comparisons of a match."""

COSTS: dict[str, tuple[Callable[[int], int], Callable[[int], int]]] = {
    "knockout": (lambda n: n - 1, lambda n: ceil(log2(n))),
    "round-robin": (lambda n: n * (n - 1) // 2, lambda n: min(1, n - 1)),
}
"""Matches and stages among n candidates, as the docstrings say."""


SEEDS = range(600)


def fresh(name: str, n: int, seed: object = 0, **parameters: object) -> Tournament:
    return Tournament(strategy(name, **parameters), n, seed=str(seed))


def shuffled(n: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(n), n)


def test_every_strategy_is_here() -> None:
    assert set(STRATEGIES) == set(COSTS)


# --- a perfect judge ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRATEGIES)
def test_with_a_perfect_judge_the_best_wins_at_the_stated_cost(name: str) -> None:
    matches, stages = COSTS[name]
    for n in range(1, 66):
        worth = shuffled(n, n)
        played = play(fresh(name, n, n), perfect(worth))
        assert worth[played.order[0]] == n - 1
        assert len(played.matches) == len(played.comparisons) == matches(n)
        assert played.stages == stages(n)
        assert all(m.decision is Decision.VERDICTS for m in played.matches)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_rule_multiplies_the_comparisons_and_not_the_stages(name: str, rule: str) -> None:
    matches, stages = COSTS[name]
    fewest, most = RULES[rule]
    for n in (1, 2, 3, 7, 8, 13):
        played = play(fresh(name, n, rule=rule), perfect(shuffled(n, n)))
        assert len(played.comparisons) == fewest * matches(n)
        assert played.stages == stages(n)
        noisy = play(fresh(name, n, rule=rule), simulated(flips(range(n), 0.4), seed=n))
        assert fewest * matches(n) <= len(noisy.comparisons) <= most * matches(n)
        assert noisy.stages == stages(n)


def test_a_round_robin_ranks_everybody() -> None:
    worth = shuffled(20, 1)
    played = play(fresh("round-robin", 20), perfect(worth))
    assert [worth[seat] for seat in played.order] == list(range(19, -1, -1))


def test_a_round_robin_meets_every_pair_once() -> None:
    matches = play(fresh("round-robin", 12), faulty(1)).matches
    assert len({frozenset((m.a, m.b)) for m in matches}) == len(matches) == 66


def test_nobody_who_lost_a_knockout_match_plays_on() -> None:
    for n in (2, 7, 16, 33):
        played = play(fresh("knockout", n), faulty(n))
        losers = Counter(m.a + m.b - m.winner for m in played.matches)
        assert set(losers) == set(range(n)) - set(played.order)
        assert set(losers.values()) == {1}


def test_byes_of_a_knockout_differ_by_one_match_at_most() -> None:
    for n in range(2, 66):
        played = play(fresh("knockout", n), perfect(range(n)))
        to_win = Counter(seat for m in played.matches for seat in (m.a, m.b))[n - 1]
        assert to_win in (ceil(log2(n)), ceil(log2(n)) - 1)


# --- no barrier ---------------------------------------------------------------------------------------


def test_a_semifinal_is_asked_while_the_other_half_has_not_begun() -> None:
    started = fresh("knockout", 8)
    opening = started.start().asked
    assert len(opening) == 4
    left = [ask for ask in opening if {ask.first, ask.second} <= set(range(4))]
    assert len(left) == 2
    assert started.answer(left[0], FIRST).asked == ()
    (semifinal,) = started.answer(left[1], FIRST).asked
    assert {semifinal.first, semifinal.second} == {left[0].first, left[1].first}
    assert started.answer(semifinal, FIRST) == ((), ())
    assert not started.done


def test_a_round_robin_asks_all_at_once() -> None:
    assert len(fresh("round-robin", 9, rule="both").start().asked) == 72


# --- any order of arrival -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRATEGIES)
@given(
    n=st.integers(1, 12),
    rule=st.sampled_from(["single", "both", "votes:3", "votes:5"]),
    seed=st.integers(0, 2**32),
    order=st.integers(0, 2**32),
)
def test_the_same_seed_gives_the_same_tournament_in_any_order_of_arrival(
    name: str, n: int, rule: str, seed: int, order: int
) -> None:
    in_turn = play(fresh(name, n, seed, rule=rule), faulty(seed))
    at_random = play(fresh(name, n, seed, rule=rule), faulty(seed), random.Random(order).randrange)
    last_first = play(
        fresh(name, n, seed, rule=rule), faulty(seed), lambda open_calls: open_calls - 1
    )
    assert record(in_turn) == record(at_random) == record(last_first)


@pytest.mark.parametrize("name", STRATEGIES)
def test_another_seed_gives_another_tournament(name: str) -> None:
    records = {record(play(fresh(name, 8, seed), faulty(0)))[1] for seed in range(10)}
    assert len(records) == 10


# --- judges that say nothing --------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [FIRST, SECOND, TIE, VOID], ids=lambda v: v.outcome)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_judge_with_one_answer_neither_hangs_nor_crashes_it(
    name: str, rule: str, verdict: Verdict
) -> None:
    for n in (1, 2, 3, 9, 16):
        played = play(fresh(name, n, rule=rule), always(verdict))
        assert played.done
        assert len(played.matches) == COSTS[name][0](n)
        decisions = {m.decision for m in played.matches}
        if verdict.outcome is Outcome.VOID:
            assert decisions <= {Decision.VOID}
            assert all(c.winner is None for c in played.comparisons)
        elif verdict.outcome is Outcome.TIE:
            assert decisions <= {Decision.SPLIT}


@pytest.mark.parametrize("verdict", [TIE, VOID], ids=lambda v: v.outcome)
@pytest.mark.parametrize("name", STRATEGIES)
def test_without_any_evidence_everybody_wins_equally_often(name: str, verdict: Verdict) -> None:
    assert_even(play(fresh(name, 4, seed), always(verdict)) for seed in SEEDS)


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_equal_field_wins_equally_often_whatever_the_bias(name: str) -> None:
    equal = bradley_terry([0.0] * 4)
    assert_even(play(fresh(name, 4, seed), simulated(equal, seed=seed, bias=1.0)) for seed in SEEDS)


def assert_even(played: Iterable[Tournament]) -> None:
    winners = Counter(tournament.order[0] for tournament in played)
    assert all(abs(winners[seat] / len(SEEDS) - 0.25) < 0.07 for seat in range(4))


# --- names are only names -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRATEGIES)
def test_renaming_the_candidates_does_not_change_who_wins_how_often(name: str) -> None:
    """Candidates are dealt to the seats at random, as the ranker does, then renamed."""
    strengths = [0.0, 1.0, 2.0]
    there = winning_shares(name, strengths)
    back = winning_shares(name, strengths[::-1])[::-1]
    assert all(abs(a - b) < 0.08 for a, b in zip(there, back, strict=True))
    assert there == sorted(there)


def winning_shares(name: str, strengths: Sequence[float]) -> list[float]:
    n = len(strengths)
    winners: Counter[int] = Counter()
    for seed in SEEDS:
        seating = shuffled(n, seed)
        judge = simulated(bradley_terry([strengths[c] for c in seating]), seed=seed, bias=0.5)
        winners[seating[play(fresh(name, n, seed), judge).order[0]]] += 1
    return [winners[candidate] / len(SEEDS) for candidate in range(n)]


@pytest.mark.parametrize("name", STRATEGIES)
def test_more_votes_find_the_best_more_often(name: str) -> None:
    def found(rule: str) -> int:
        judges: list[SeatJudge] = [simulated(flips(range(8), 0.3), seed=s) for s in range(100)]
        return sum(
            play(fresh(name, 8, s, rule=rule), j).order[0] == 7 for s, j in enumerate(judges)
        )

    assert found("single") + 10 < found("votes:7")


# --- what is asked ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_call_is_made_twice_and_every_call_counts_once(name: str) -> None:
    made: Counter[Ask] = Counter()
    judge = faulty(5)

    def counting(*ask: int) -> Verdict:
        made[Ask(*ask)] += 1
        return judge(*ask)

    played = play(fresh(name, 16, rule="votes:3"), counting)
    counted = Counter(Ask(c.first, c.second, c.repeat, c.attempt) for c in played.comparisons)
    assert set(made.values()) == set(counted.values()) == {1}
    assert counted <= made
