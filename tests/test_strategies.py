"""Every strategy: right with a perfect judge, as dear as it says, the same in any order, never stuck."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import FIRST, SECOND, TIE, VOID, always, faulty, perfect, record

from bon.catalog import known_strategies, parse_strategy, strategy
from bon.judge.simulated import SeatJudge, bradley_terry, flips, simulated
from bon.simulate import play
from bon.tournament import Ask, Tournament
from bon.types import BonError, Decision, Outcome, Verdict

OWN = {
    name for name, entry in known_strategies().items() if entry.module.startswith("bon.strategies.")
}
BASELINES = ["first", "majority", "oracle", "pointwise", "random"]
"""They ask nothing, and are tested in test_baselines.py; `adaptive` has tests of its own as well."""
RULES = {"single": (1, 1), "both": (2, 2), "votes:1": (1, 1), "votes:3": (2, 3), "votes:4": (3, 4)}
"""Fewest and most comparisons of a match."""

Count = Callable[[int], int]


@dataclass(frozen=True)
class Cost:
    """Matches and stages among n candidates, as the docstring says: most of them, and fewest."""

    matches: Count
    stages: Count
    fewest: Count | None = None
    fewest_stages: Count | None = None

    def check(self, n: int, matches: int, stages: int, votes: tuple[int, int] = (1, 1)) -> None:
        fewest = self.fewest or self.matches
        assert votes[0] * fewest(n) <= matches <= votes[1] * self.matches(n)
        assert (self.fewest_stages or self.stages)(n) <= stages <= self.stages(n)


def rounds(n: int) -> int:
    return ceil(log2(n))


COSTS = {
    "double-elimination": Cost(
        lambda n: 2 * n - 1 if n > 1 else 0,
        lambda n: 2 * rounds(n) + 1 if n > 1 else 0,
        lambda n: 2 * n - 2,
        lambda n: 2 * rounds(n) - (n > 2 and n < 2 ** rounds(n)),
    ),
    "hybrid": Cost(
        lambda n: n - min(4, n) + min(4, n) * (min(4, n) - 1) // 2,
        lambda n: rounds(ceil(n / 4)) + (n > 1),
    ),
    "knockout": Cost(lambda n: n - 1, rounds),
    "league": Cost(lambda n: n * min(4, n - 1) // 2, lambda n: min(1, n - 1)),
    "merge-sort": Cost(
        lambda n: n * rounds(n) - 2 ** rounds(n) + 1,
        lambda n: 2 * n - 2,
        lambda n: n // 2 * (n > 1),
        rounds,
    ),
    "pivot": Cost(
        lambda n: n + min(2, n) * (n - min(2, n)) + 1 if n > 2 else 2 * n - 2,
        lambda n: 2 * (n > 1),
    ),
    "round-robin": Cost(lambda n: n * (n - 1) // 2, lambda n: min(1, n - 1)),
    "sequential-halving": Cost(
        lambda n: sum(min(n, s * (s - 1) // 2) for s in halves(n)),
        rounds,
        lambda n: n - 1,
        lambda n: min(1, n - 1),
    ),
    "swiss": Cost(lambda n: rounds(n) * (n // 2), rounds),
    "teams": Cost(lambda n: n - 1, rounds),
}
STRATEGIES = list(COSTS)
EXACT = [*(name for name in COSTS if name not in ("league", "pivot"))]
EXACT += [
    "sequential-halving:m=1",
    "sequential-halving:m=3",
    "league:playoff=true",
    "pivot:playoff=true",
    "knockout:draw=votes",
    "swiss:rounds=6",
]


def halves(n: int) -> list[int]:
    return [n, *halves(ceil(n / 2))] if n > 1 else []


SEEDS = range(600)


def fresh(name: str, n: int, seed: object = 0, **parameters: object) -> Tournament:
    return Tournament(strategy(name, **parameters), n, seed=str(seed))


def shuffled(n: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(n), n)


def test_every_strategy_is_here() -> None:
    assert OWN - {"adaptive"} == {*COSTS, *BASELINES}


# --- a perfect judge ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", EXACT)
def test_with_a_perfect_judge_the_best_wins_at_the_stated_cost(text: str) -> None:
    entrant = parse_strategy(text)
    for n in range(1, 66):
        worth = shuffled(n, n)
        played = play(Tournament(entrant, n, seed=str(n)), perfect(worth))
        assert worth[played.order[0]] == n - 1
        check_cost(text, n, played)


def check_cost(text: str, n: int, played: Tournament) -> None:
    assert len(played.matches) == len(played.comparisons)
    assert all(m.decision is Decision.VERDICTS for m in played.matches)
    if text in COSTS:
        COSTS[text].check(n, len(played.matches), played.stages)


@pytest.mark.parametrize("name", ["league", "pivot"])
def test_without_a_playoff_the_best_may_be_level_but_never_behind(name: str) -> None:
    for n in range(1, 66):
        worth = shuffled(n, n)
        played = play(fresh(name, n, n), perfect(worth))
        best = worth.index(n - 1)
        check_cost(name, n, played)
        assert all(m.winner == best for m in played.matches if best in (m.a, m.b))
        winner = played.order[0]
        assert all(m.winner == winner for m in played.matches if winner in (m.a, m.b))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_rule_multiplies_the_comparisons_and_not_the_stages(name: str, rule: str) -> None:
    for n in (1, 2, 3, 7, 8, 13):
        played = play(fresh(name, n, rule=rule), perfect(shuffled(n, n)))
        assert len(played.comparisons) == RULES[rule][0] * len(played.matches)
        noisy = play(fresh(name, n, rule=rule), simulated(flips(range(n), 0.4), seed=n))
        for one in (played, noisy):
            COSTS[name].check(n, len(one.comparisons), one.stages, RULES[rule])


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


def test_nobody_meets_twice_in_a_swiss_tournament() -> None:
    for n in (2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 33):
        for most in (0, ceil(n / 2), n):
            played = play(fresh("swiss", n, rounds=most), faulty(n))
            pairs = [frozenset((m.a, m.b)) for m in played.matches]
            assert len(set(pairs)) == len(pairs)
            if most < n:
                assert len(pairs) == (most or rounds(n)) * (n // 2)


def test_everybody_in_a_league_meets_as_many() -> None:
    for n in (2, 3, 4, 7, 8, 15, 16):
        for m in range(1, n):
            played = play(fresh("league", n, m=m), faulty(n))
            assert len({frozenset((x.a, x.b)) for x in played.matches}) == n * m // 2
            met = Counter(seat for x in played.matches for seat in (x.a, x.b))
            assert sorted(met[seat] for seat in range(n))[1:] == [m] * (n - 1)


def test_two_defeats_and_out() -> None:
    for n in (2, 5, 8, 21):
        played = play(fresh("double-elimination", n), faulty(n))
        lost = Counter(m.a + m.b - m.winner for m in played.matches)
        assert all(lost[seat] == 2 for seat in range(n) if seat != played.order[0])
        assert lost[played.order[0]] < 2


def test_a_second_final_is_played_only_where_it_is_wanted() -> None:
    lengths = {len(play(fresh("double-elimination", 8, s), faulty(s)).matches) for s in range(40)}
    assert lengths == {14, 15}
    once = (fresh("double-elimination", 8, s, reset="false") for s in range(40))
    assert {len(play(t, faulty(s)).matches) for s, t in enumerate(once)} == {14}


def test_a_merge_sort_ranks_everybody() -> None:
    worth = shuffled(21, 3)
    order = play(fresh("merge-sort", 21), perfect(worth)).order
    assert [worth[seat] for seat in order] == list(range(20, -1, -1))


def test_teams_ask_nothing_inside_a_team_and_stop_when_one_is_left() -> None:
    sides = [0, 1, 1, 1, 0, 1, 1, 1]
    entrant = strategy("teams")
    for seed in range(20):
        played = play(Tournament(entrant, 8, seed=str(seed), teams=sides), faulty(seed))
        assert all(sides[m.a] != sides[m.b] for m in played.matches)
    alone = play(Tournament(entrant, 8, seed="seed", teams=[3] * 8), faulty(0))
    assert alone.comparisons == ()


def test_favourites_meet_last_and_have_the_byes() -> None:
    for n in range(2, 40):
        scores = [float(x) for x in shuffled(n, n)]
        tournament = Tournament(strategy("knockout", draw="score"), n, seed="s", scores=scores)
        played = play(tournament, perfect(scores))
        final = max(played.matches, key=lambda m: m.stage)
        assert {scores[final.a], scores[final.b]} == {n - 1, n - 2}
        matches = Counter(seat for m in played.matches for seat in (m.a, m.b))
        assert matches[scores.index(n - 1)] == (rounds(n) if n == 2 ** rounds(n) else rounds(n) - 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("league:m=0", "at least 1 opponent"),
        ("pivot:k=0", "at least 1 pivot"),
        ("hybrid:k=0", "at least 1 finalist"),
        ("swiss:rounds=-1", "at least 1"),
        ("sequential-halving:m=0", "at least 1 opponent"),
        ("knockout:draw=score", "needs `score`"),
        ("knockout:draw=best", "random, score, votes"),
    ],
)
def test_a_parameter_out_of_range_is_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(BonError, match=says):
        play(Tournament(parse_strategy(text), 4, seed="seed"), faulty(0))


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
        COSTS[name].check(n, len(played.matches), played.stages // stages_of(verdict))
        decisions = {m.decision for m in played.matches}
        if verdict.outcome is Outcome.VOID:
            assert decisions <= {Decision.VOID}
            assert all(c.winner is None for c in played.comparisons)
        elif verdict.outcome is Outcome.TIE:
            assert decisions <= {Decision.SPLIT}


def stages_of(verdict: Verdict) -> int:
    """A VOID is asked again, one stage later."""
    return 2 if verdict is VOID else 1


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
