"""Match rules: what decides a match, what it costs, and what chance may and may not do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import FIRST, SECOND, TIE, VOID, always, calls, perfect

from bon.catalog import parse_strategy
from bon.judge.simulated import SeatJudge, flips, simulated
from bon.match import (
    MOST_VOTES,
    both,
    bracket_leads,
    escalate,
    parse_rule,
    sequential,
    single,
    votes,
)
from bon.simulate import play
from bon.tournament import Ask, Rule, Table, Tournament
from bon.types import BonError, Decision, Match, Verdict

RULES = [single, both, votes(1), votes(2), votes(3), votes(8), escalate(), sequential(0.05)]
SEEDS = range(1500)


def one_match(rule: Rule, judge: SeatJudge, seed: object = 0) -> tuple[Tournament, Match]:
    played = play(the_match(rule, seed), judge)
    (match,) = played.matches
    assert match.winner == played.order[0]
    return played, match


def the_match(rule: Rule, seed: object = 0) -> Tournament:
    async def strategy(table: Table) -> int:
        return await table.duel(0, 1, rule)

    return Tournament(strategy, 2, seed=str(seed))


# --- what each rule asks ----------------------------------------------------------------------------


def test_single_asks_once() -> None:
    played, match = one_match(single, perfect([0, 1]))
    assert match.comparisons == played.comparisons
    assert (len(match.comparisons), match.winner, match.decision) == (1, 1, Decision.VERDICTS)


def test_both_asks_each_order_at_once() -> None:
    played, match = one_match(both, perfect([0, 1]))
    assert sorted(calls(played)) == [Ask(0, 1, 0), Ask(1, 0, 0)]
    assert (match.winner, match.decision, match.stage) == (1, Decision.VERDICTS, 1)


@pytest.mark.parametrize("k", range(1, 10))
def test_votes_alternate_the_order_and_end_with_a_majority(k: int) -> None:
    played, match = one_match(votes(k), perfect([0, 1]))
    firsts = [c.first for c in match.comparisons]
    assert len(match.comparisons) == k // 2 + 1
    assert all(a != b for a, b in pairwise(firsts))
    assert (match.winner, played.stages) == (1, 1)


@given(st.data(), st.integers(1, 7))
def test_votes_count_up_to_the_smallest_deciding_prefix_and_drop_the_rest(
    data: st.DataObject, k: int
) -> None:
    started = the_match(votes(k))
    asks = started.start().asked
    verdicts = data.draw(
        st.lists(st.sampled_from([FIRST, SECOND, TIE, VOID]), min_size=k, max_size=k)
    )
    due = deciding_prefix([score_of_seat_0(*each) for each in zip(asks, verdicts, strict=True)])

    # Each vote is answered at a random time; a VOID twice, since it is retried.
    times = data.draw(st.permutations(range(k)))
    answered: set[int] = set()
    dropped: set[Ask] = set()
    for position in times:
        if started.done:
            break
        ask, verdict = asks[position], verdicts[position]
        step = started.answer(ask, verdict)
        if verdict is VOID:
            assert step.asked == (ask._replace(attempt=1),)
            step = started.answer(*step.asked, verdict)
        answered.add(position)
        dropped |= set(step.dropped)
        assert started.done == (set(range(due)) <= answered)

    (match,) = started.matches
    assert [(c.first, c.repeat) for c in match.comparisons] == [
        (a.first, a.repeat) for a in asks[:due]
    ]
    assert dropped == {asks[i] for i in range(k) if i not in answered}
    for ask in dropped:
        assert started.answer(ask, FIRST) == ((), ())
    assert started.matches == (match,)
    assert set(calls(started)) - set(asks[:due]) == {
        asks[i]._replace(attempt=1) for i in range(due) if verdicts[i] is VOID
    }


def score_of_seat_0(ask: Ask, verdict: Verdict) -> int:
    """1 for a vote for seat 0, -1 for one against it, 0 for neither."""
    for_the_first = {FIRST: 1, SECOND: -1}.get(verdict, 0)
    return for_the_first if ask.first == 0 else -for_the_first


def deciding_prefix(scores: Sequence[int]) -> int:
    """The definition: whatever the remaining votes say, the same candidate wins."""
    for taken in range(1, len(scores)):
        rest = len(scores) - taken
        leads = {sum(scores[:taken]) + rest, sum(scores[:taken]) - rest}
        if all(lead > 0 for lead in leads) or all(lead < 0 for lead in leads):
            return taken
    return len(scores)


def test_a_void_on_its_way_to_a_retry_holds_the_decision_up() -> None:
    started = the_match(votes(3))
    a, b, c = started.start().asked
    winner = a.first
    started.answer(c, FIRST)
    (retry,) = started.answer(a, VOID).asked
    assert started.answer(b, SECOND) == ((), ())
    assert not started.done
    started.answer(retry, FIRST)
    assert started.order == (winner,)
    assert calls(started) == [a, b, retry]
    assert started.stages == 2


def test_a_retry_that_is_no_longer_needed_is_dropped() -> None:
    started = the_match(votes(3))
    a, b, c = started.start().asked
    (retry,) = started.answer(c, VOID).asked
    started.answer(a, FIRST)
    assert started.answer(b, SECOND).dropped == (retry,)
    assert calls(started) == [a, b]


# --- what decides -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_no_verdict_at_all_is_decided_by_a_coin_and_says_so(rule: Rule) -> None:
    played, match = one_match(rule, always(VOID))
    assert match.decision is Decision.VOID
    assert all(c.winner is None and c.score_first is None for c in played.comparisons)
    assert all(c.attempt == 1 for c in match.comparisons)
    assert len(played.comparisons) == 2 * len(match.comparisons)


@pytest.mark.parametrize("rule", RULES)
def test_ties_alone_are_a_split_match(rule: Rule) -> None:
    played, match = one_match(rule, always(TIE))
    assert match.decision is Decision.SPLIT
    assert all(c.winner is None for c in played.comparisons)


@pytest.mark.parametrize("rule", [both, votes(2), votes(8)])
def test_balanced_verdicts_are_a_split_match(rule: Rule) -> None:
    assert one_match(rule, always(FIRST))[1].decision is Decision.SPLIT
    assert one_match(rule, always(SECOND))[1].decision is Decision.SPLIT


@pytest.mark.parametrize("other", [VOID, TIE])
@pytest.mark.parametrize("rule", [both, votes(2), votes(3)])
def test_one_verdict_among_voids_or_ties_decides(rule: Rule, other: Verdict) -> None:
    def judge(first: int, second: int, repeat: int, attempt: int) -> Verdict:
        return SECOND if (first, repeat) == (0, 0) else other

    _, match = one_match(rule, judge)
    assert (match.winner, match.decision) == (1, Decision.VERDICTS)


@pytest.mark.parametrize("rule", [single, both, votes(4)])
@pytest.mark.parametrize("verdict", [VOID, TIE])
def test_the_coin_is_fair_over_seeds(rule: Rule, verdict: Verdict) -> None:
    winners = [one_match(rule, always(verdict), seed)[1].winner for seed in SEEDS]
    assert abs(sum(winners) / len(winners) - 0.5) < 0.04


def test_the_coin_knows_nothing_of_the_slots() -> None:
    matches = [one_match(single, always(VOID), seed)[1] for seed in SEEDS]
    same = sum(m.winner == m.comparisons[0].first for m in matches)
    assert abs(same / len(matches) - 0.5) < 0.04


def test_a_second_match_of_the_same_two_has_a_coin_of_its_own() -> None:
    async def strategy(table: Table) -> int:
        winners = [await table.duel(0, 1, single), await table.duel(1, 0, single)]
        return winners[0] ^ winners[1]

    differ = [play(Tournament(strategy, 2, seed=str(s)), always(VOID)).order[0] for s in SEEDS]
    assert abs(sum(differ) / len(differ) - 0.5) < 0.04


# --- more votes where they are needed ---------------------------------------------------------------


def test_escalation_ends_where_both_orders_agree() -> None:
    played, match = one_match(escalate(), perfect([0, 1]))
    assert (len(match.comparisons), played.stages, match.winner) == (2, 1, 1)


@pytest.mark.parametrize("verdict", [FIRST, SECOND, TIE])
def test_escalation_asks_more_where_they_do_not(verdict: Verdict) -> None:
    played, match = one_match(escalate(5), always(verdict))
    assert (len(match.comparisons), played.stages) == (7, 2)
    assert match.decision is (Decision.SPLIT if verdict is TIE else Decision.VERDICTS)


def test_a_sequential_match_ends_at_the_lead_of_its_round() -> None:
    leads = bracket_leads(2, 0.05, 0.2)
    assert leads == (3,)
    for seed in range(50):
        _, match = one_match(sequential(0.05), simulated(flips([0, 1], 0.3), seed=seed), seed)
        won = sum(1 if c.winner == match.winner else -1 for c in match.comparisons)
        assert won == 3 or len(match.comparisons) == MOST_VOTES
        assert len(match.comparisons) % 2 == 1


def test_a_sequential_match_of_equals_ends() -> None:
    for verdict in (FIRST, SECOND, TIE, VOID):
        _, match = one_match(sequential(0.01), always(verdict))
        assert len(match.comparisons) == MOST_VOTES


@pytest.mark.parametrize("error", [0.2, 0.05, 0.01])
@pytest.mark.parametrize("n", [2, 3, 8, 16, 33])
def test_leads_of_a_bracket_meet_its_error_and_none_is_too_long(n: int, error: float) -> None:
    def lost(leads: Sequence[int]) -> float:
        kept = 1.0
        for lead in leads:
            kept *= 1 - 1 / (1 + 4.0**lead)
        return 1 - kept

    leads = bracket_leads(n, error, 0.2)
    assert len(leads) == ceil(log2(n))
    assert lost(leads) <= error
    for r in range(len(leads)):
        assert lost([*leads[:r], leads[r] - 1, *leads[r + 1 :]]) > error


def test_a_sequential_bracket_loses_the_best_as_rarely_as_it_says() -> None:
    found = calls_made = 0
    for seed in range(300):
        judge = simulated(flips(range(8), 0.2), seed=seed)
        entrant = parse_strategy("knockout:rule=sequential:0.1:0.2")
        played = play(Tournament(entrant, 8, seed=str(seed)), judge)
        found += played.order[0] == 7
        calls_made += len(played.comparisons)
    assert found / 300 > 0.9 - 0.035
    assert calls_made / 300 < 36


# --- slots ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [single, votes(3)])
def test_slots_are_balanced_over_seeds(rule: Rule) -> None:
    firsts = [one_match(rule, always(FIRST), seed)[1].comparisons[0].first for seed in SEEDS]
    assert abs(sum(firsts) / len(firsts) - 0.5) < 0.04


def test_slots_are_balanced_over_the_seats_of_one_tournament() -> None:
    async def everybody(table: Table) -> int:
        await table.together([table.duel(a, b, single) for a, b in combinations(table.seats, 2)])
        return 0

    played = play(Tournament(everybody, 64, seed="seed"), always(FIRST))
    firsts = Counter(c.first for c in played.comparisons)
    assert abs(sum(c.first < c.second for c in played.comparisons) / (64 * 63 / 2) - 0.5) < 0.04
    assert all(abs(firsts[seat] - 31.5) < 5 * 63**0.5 / 2 for seat in range(64))


def test_slots_do_not_depend_on_how_the_match_is_named() -> None:
    def first(a: int, b: int, seed: int) -> int:
        async def strategy(table: Table) -> int:
            return await table.duel(a, b, single)

        return play(Tournament(strategy, 2, seed=str(seed)), always(FIRST)).comparisons[0].first

    assert all(first(0, 1, seed) == first(1, 0, seed) for seed in range(20))


def test_two_that_meet_again_change_slots() -> None:
    async def strategy(table: Table) -> int:
        for rule in (single, votes(2), votes(1), single):
            await table.duel(1, 0, rule)
        return 0

    for seed in range(20):
        made = play(Tournament(strategy, 2, seed=str(seed)), always(FIRST)).comparisons
        assert all(a.first != b.first for a, b in pairwise(made))


# --- by name ----------------------------------------------------------------------------------------


def test_rules_by_name() -> None:
    assert parse_rule("single") is single
    assert parse_rule("both") is both
    assert len(one_match(parse_rule("votes:5"), perfect([0, 1]))[1].comparisons) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("best", "unknown match rule 'best'; known: single, both, votes:K"),
        ("escalate:0", "at least 1"),
        ("escalate:x", "such as escalate:3"),
        ("sequential", "such as sequential:0.05"),
        ("sequential:0.05:0.2:1", "such as sequential:0.05"),
        ("sequential:few", "such as sequential:0.05"),
        ("sequential:0.5", "ERROR between 0 and 0.5"),
        ("sequential:0", "ERROR between 0 and 0.5"),
        ("sequential:nan", "ERROR between 0 and 0.5"),
        ("sequential:0.05:0.7", "FLIP between 0 and 0.5"),
        ("", "unknown match rule ''"),
        ("single:2", "single takes no argument"),
        ("both:2", "both takes no argument"),
        ("votes", "votes:K needs a whole number"),
        ("votes:two", "such as votes:3, not 'two'"),
        ("votes:0", "at least 1"),
        ("votes:-1", "at least 1"),
    ],
)
def test_what_is_no_rule_is_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(BonError) as raised:
        parse_rule(text)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_outcome_is_a_function_of_the_seed_not_of_the_order_of_arrival() -> None:
    for seed in range(50):
        order = random.Random(seed).randrange
        in_turn = play(the_match(votes(7), seed), always(TIE))
        assert play(the_match(votes(7), seed), always(TIE), order).matches == in_turn.matches
