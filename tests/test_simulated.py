"""The simulated judge has the faults it was given, at the rates it was given, and no others."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import always, calls

from bon.judge.simulated import SeatJudge, bradley_terry, flips, simulated
from bon.simulate import play
from bon.tournament import Ask, Table, Tournament
from bon.types import BonError, Outcome, Verdict, VoidReason

CALLS = 4000
"""Enough that a share of calls is off by more than .04 once in a million seeds."""


def verdicts(judge: SeatJudge, first: int = 0, second: int = 1) -> list[Verdict]:
    return [judge(first, second, repeat, 0) for repeat in range(CALLS)]


def share(outcome: Outcome, said: Iterable[Verdict]) -> float:
    counts = Counter(verdict.outcome for verdict in said)
    return counts[outcome] / counts.total()


# --- preferences ------------------------------------------------------------------------------------


@pytest.mark.parametrize("difference", [-800.0, -1.0, 0.0, 0.5, 800.0])
def test_bradley_terry_strengths_are_log_odds(difference: float) -> None:
    expected = 1.0 if difference > 99 else exp(difference) / (1 + exp(difference))
    assert bradley_terry([difference, 0.0])(0, 1) == pytest.approx(expected)
    said = verdicts(simulated(bradley_terry([difference, 0.0])))
    assert share(Outcome.FIRST, said) == pytest.approx(expected, abs=0.04)


def test_flips_miss_the_better_one_equally_often_at_any_distance() -> None:
    judge = simulated(flips([0.0, 1.0, 100.0], 0.2))
    for first, second, expected in ((0, 1, 0.2), (1, 0, 0.8), (0, 2, 0.2), (2, 1, 0.8)):
        assert share(Outcome.FIRST, verdicts(judge, first, second)) == pytest.approx(
            expected, abs=0.04
        )


def test_two_right_or_two_wrong_answers_are_an_even_chance() -> None:
    judge = simulated(flips([True, True, False, False], 0.1))
    assert share(Outcome.FIRST, verdicts(judge, 0, 1)) == pytest.approx(0.5, abs=0.04)
    assert share(Outcome.FIRST, verdicts(judge, 2, 3)) == pytest.approx(0.5, abs=0.04)
    assert share(Outcome.FIRST, verdicts(judge, 0, 3)) == pytest.approx(0.9, abs=0.04)


def test_a_judge_without_error_is_never_wrong() -> None:
    judge = simulated(flips([3, 1, 2], 0.0), bias=2.0, persistence=0.5)
    for first, second, expected in ((0, 1, Outcome.FIRST), (1, 2, Outcome.SECOND)):
        assert share(expected, verdicts(judge, first, second)) == 1.0


# --- a function of the call alone -------------------------------------------------------------------


ASKS = st.tuples(st.integers(0, 64), st.integers(0, 64), st.integers(0, 20), st.integers(0, 1))


@given(st.lists(ASKS.filter(lambda ask: ask[0] != ask[1]), max_size=30), st.integers())
def test_a_verdict_depends_on_the_seed_and_the_call_not_on_other_calls(
    asks: list[tuple[int, int, int, int]], seed: int
) -> None:
    def judge() -> SeatJudge:
        return simulated(
            bradley_terry(range(65)),
            seed=seed,
            bias=0.3,
            ties=0.1,
            voids={VoidReason.FAILED: 0.1},
            persistence=0.5,
            graded=1.0,
        )

    one = judge()
    there = {ask: one(*ask) for ask in asks}
    assert {ask: judge()(*ask) for ask in reversed(asks)} == there


def test_the_draws_are_the_same_on_every_machine() -> None:
    judge = simulated(flips(range(8), 0.3), seed=7, ties=0.1, persistence=0.3)
    letters = "".join(judge(0, b, r, 0).outcome[0] for b in range(1, 8) for r in range(4))
    assert letters == "fssffssfssssfssstffffsssssss"


@pytest.mark.parametrize("place", range(4))
def test_each_part_of_the_call_and_the_seed_makes_a_draw_of_its_own(place: int) -> None:
    even = bradley_terry([0.0] * 4001)
    judge = simulated(even)

    def call(i: int) -> Outcome:
        ask = [4000, 0, 0, 0]
        ask[place] = i + (place == 1)
        return judge(*ask).outcome

    outcomes = [call(i) for i in range(CALLS)]
    assert share_of_changes(outcomes) == pytest.approx(0.5, abs=0.04)
    seeds = [simulated(even, seed=seed)(0, 1, 0, 0).outcome for seed in range(CALLS)]
    assert share_of_changes(seeds) == pytest.approx(0.5, abs=0.04)


def share_of_changes(outcomes: list[Outcome]) -> float:
    return sum(a != b for a, b in pairwise(outcomes)) / (len(outcomes) - 1)


# --- faults -----------------------------------------------------------------------------------------


def test_position_bias_adds_log_odds_to_the_first_slot() -> None:
    judge = simulated(bradley_terry([1.0, 0.0]), bias=0.7)
    expected = bradley_terry([1.7, 0.0])(0, 1), bradley_terry([0.7, 1.0])(0, 1)
    assert share(Outcome.FIRST, verdicts(judge, 0, 1)) == pytest.approx(expected[0], abs=0.04)
    assert share(Outcome.FIRST, verdicts(judge, 1, 0)) == pytest.approx(expected[1], abs=0.04)


def test_ties_and_voids_come_at_their_rates_and_leave_the_rest_as_it_was() -> None:
    judge = simulated(
        flips([1, 0], 0.2), ties=0.15, voids={VoidReason.TRUNCATED: 0.2, VoidReason.FAILED: 0.05}
    )
    said = verdicts(judge)
    reasons = Counter(verdict.void_reason for verdict in said)
    assert share(Outcome.TIE, said) == pytest.approx(0.15, abs=0.03)
    assert reasons[VoidReason.TRUNCATED] / CALLS == pytest.approx(0.2, abs=0.03)
    assert reasons[VoidReason.FAILED] / CALLS == pytest.approx(0.05, abs=0.03)
    assert share(Outcome.FIRST, said) == pytest.approx(0.6 * 0.8, abs=0.04)


def test_a_retry_is_another_draw() -> None:
    judge = simulated(flips([1, 0], 0.2), voids={VoidReason.FAILED: 0.5})
    void = [r for r in range(CALLS) if judge(0, 1, r, 0).outcome is Outcome.VOID]
    again = [judge(0, 1, repeat, 1) for repeat in void]
    assert share(Outcome.VOID, again) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("spoilt", [{"ties": 1.0}, {"voids": {VoidReason.FAILED: 1.0}}])
def test_a_judge_may_never_decide(spoilt: dict[str, float]) -> None:
    said = verdicts(simulated(flips([1, 0], 0.2), **spoilt))  # type: ignore[arg-type]
    assert {verdict.outcome for verdict in said} <= {Outcome.TIE, Outcome.VOID}


@pytest.mark.parametrize("persistence", [0.0, 0.5, 1.0])
def test_a_share_of_the_error_belongs_to_the_pair(persistence: float) -> None:
    """One call errs as often as ever; with endless repeats only the lasting share is left."""
    alone, endless, pairs = 0, 0, 1500
    for seed in range(pairs):
        judge = simulated(flips([1, 0], 0.2), seed=seed, persistence=persistence)
        said = [judge(0, 1, r, 0).outcome is Outcome.FIRST for r in range(20)]
        said += [judge(1, 0, r, 0).outcome is Outcome.SECOND for r in range(21)]
        alone += not said[0]
        endless += sum(said) <= 20
    assert alone / pairs == pytest.approx(0.2, abs=0.04)
    assert endless / pairs == pytest.approx(0.2 * persistence, abs=0.04)


# --- graded verdicts --------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [0.0, 0.8])
def test_graded_verdicts_agree_with_their_outcome_and_keep_its_rate(bias: float) -> None:
    bare, graded = (
        verdicts(simulated(bradley_terry([1.0, 0.0]), bias=bias, graded=g)) for g in (0.0, 2.0)
    )
    assert all(verdict.p_first is None for verdict in bare)
    assert [v.outcome for v in graded] == [v.outcome for v in bare]
    for verdict in graded:
        assert verdict.p_first is not None
        assert (verdict.p_first > 0.5) == (verdict.outcome is Outcome.FIRST)


def test_graded_verdicts_are_calibrated_at_1_and_overconfident_above() -> None:
    """Where the better one is in the first slot half of the time, p_first is the chance that it is."""
    for sharpness in (1.0, 3.0):
        judge = simulated(flips([1, 0], 0.25), graded=sharpness)
        told = [(v.p_first, True) for v in verdicts(judge, 0, 1)]
        told += [(v.p_first, False) for v in verdicts(judge, 1, 0)]
        sure = [better_first for p, better_first in told if p is not None and 0.8 < p < 0.9]
        right = sum(sure) / len(sure)
        assert right == pytest.approx(0.85, abs=0.04) if sharpness == 1.0 else right < 0.75


def test_what_is_certain_or_spoilt_has_no_grade_between() -> None:
    assert {v.p_first for v in verdicts(simulated(flips([1, 0], 0.0), graded=1.0))} == {1.0}
    assert {v.p_first for v in verdicts(simulated(flips([1, 0], 0.2), ties=1.0, graded=1.0))} == {
        None
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"ties": -0.1},
        {"ties": 1.1},
        {"persistence": 2.0},
        {"voids": {VoidReason.FAILED: -1.0}},
        {"ties": 0.6, "voids": {VoidReason.FAILED: 0.6}},
        {"ties": float("nan")},
    ],
)
def test_rates_that_are_no_shares_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BonError, match="shares from 0 to 1"):
        simulated(flips([1, 0], 0.2), **wrong)  # type: ignore[arg-type]


# --- the plain loop ---------------------------------------------------------------------------------


async def everybody(table: Table) -> int:
    await table.together([table.compare(a, b) for a in table.seats for b in range(a)])
    return 0


def test_calls_are_made_as_they_are_asked_for_or_in_a_chosen_order() -> None:
    made: list[Ask] = []

    def judge(*ask: int) -> Verdict:
        made.append(Ask(*ask))
        return always(Verdict(Outcome.TIE))(*ask)

    asked = calls(play(Tournament(everybody, 5, seed="seed"), judge))
    assert made == asked
    made.clear()
    play(Tournament(everybody, 5, seed="seed"), judge, lambda open_calls: open_calls - 1)
    assert made == asked[::-1]
    made.clear()
    play(Tournament(everybody, 5, seed="seed"), judge, random.Random(1).randrange)
    assert made != asked
    assert sorted(made) == sorted(asked)


def test_dropped_calls_are_never_made() -> None:
    made: list[int] = []

    async def first_is_enough(table: Table) -> int:
        await table.in_order([table.compare(0, 1) for _ in range(5)], lambda prefix: True)
        return 0

    def judge(first: int, second: int, repeat: int, attempt: int) -> Verdict:
        made.append(repeat)
        return Verdict(Outcome.FIRST)

    play(Tournament(first_is_enough, 2, seed="seed"), judge)
    assert made == [0]
