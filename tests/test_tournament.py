"""The tournament: a strategy's requests in, its winner out, whatever the order of the answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import FIRST, SECOND, VOID, always, calls, faulty, perfect, record

from bon.match import both, single, votes
from bon.simulate import play
from bon.tournament import Ask, Rule, Table, Tournament
from bon.types import BonError, Comparison, Verdict

SEEDS = st.integers(0, 2**32)


def tournament(strategy: Any, n: int = 4, *, seed: str = "seed", retries: int = 1) -> Tournament:
    return Tournament(strategy, n, seed=seed, retries=retries)


# --- what a strategy gets for what it awaits ----------------------------------------------------


def test_compare_gives_the_verdict_of_one_call() -> None:
    async def strategy(table: Table) -> int:
        comparison = await table.compare(2, 1)
        assert comparison == Comparison(2, 1, 0, 0, 1, SECOND)
        return 1

    assert play(tournament(strategy), always(SECOND)).order == (1,)


def test_comparing_again_in_the_same_order_is_the_next_vote() -> None:
    async def strategy(table: Table) -> int:
        for first, second in ((0, 1), (0, 1), (1, 0), (0, 1)):
            await table.compare(first, second)
        return 0

    played = play(tournament(strategy), always(FIRST))
    assert calls(played) == [Ask(0, 1, 0), Ask(0, 1, 1), Ask(1, 0, 0), Ask(0, 1, 2)]


@given(SEEDS)
def test_together_gives_results_in_the_order_of_the_request(seed: int) -> None:
    async def strategy(table: Table) -> int:
        pairs = list(permutations(table.seats, 2))
        compared = await table.together([table.compare(a, b) for a, b in pairs])
        assert [(c.first, c.second) for c in compared] == pairs
        return 0

    assert play(tournament(strategy), always(FIRST), random.Random(seed).randrange).done


def test_together_mixes_comparisons_matches_and_coroutines() -> None:
    async def strategy(table: Table) -> int:
        async def two_in_a_row() -> str:
            await table.compare(0, 1)
            await table.compare(0, 1)
            return "done"

        mixed: list[Awaitable[Any]] = [
            table.compare(2, 3),
            table.duel(2, 3, single),
            two_in_a_row(),
            table.in_order([table.compare(1, 0)], lambda prefix: True),
            table.together([table.compare(3, 2)]),
        ]
        comparison, winner, word, prefix, inner = await table.together(mixed)
        assert (comparison.first, word, len(prefix), len(inner)) == (2, "done", 1, 1)
        assert winner == 3
        return 3

    played = play(tournament(strategy), perfect(range(4)))
    assert (len(played.comparisons), played.stages) == (6, 2)


def test_what_asks_for_nothing_is_answered_at_once() -> None:
    async def strategy(table: Table) -> int:
        async def nothing() -> int:
            return 7

        assert await table.together([]) == []
        assert await table.in_order([], lambda prefix: True) == []
        assert await table.together([nothing(), nothing()]) == [7, 7]
        return 0

    started = tournament(strategy)
    assert started.start() == ((), ())
    assert started.done
    assert (started.order, started.comparisons, started.stages) == ((0,), (), 0)


def test_match_gives_the_match_and_duel_its_winner() -> None:
    async def strategy(table: Table) -> int:
        match = await table.match(0, 3, both)
        assert match.winner == await table.duel(0, 3, both) == 3
        assert [c.first for c in match.comparisons] in ([0, 3], [3, 0])
        return 3

    assert len(play(tournament(strategy), perfect(range(4))).matches) == 2


# --- nothing depends on the order of the answers ------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """A made-up strategy: compare a pair, hold a match, or do several things in a row or together."""

    kind: str
    parts: tuple[Plan, ...] = ()
    rule: Rule = single

    async def play(self, table: Table, pairs: Sequence[tuple[int, int]]) -> float:
        """Play with these pairs alone; what is asked next depends on what came back."""
        if not pairs:
            return 0.0
        if self.kind == "compare":
            return (await table.compare(*pairs[0])).score_first or 0.0
        if self.kind == "match":
            return float(await table.duel(*pairs[0], self.rule))
        shares = [pairs[i :: len(self.parts)] for i in range(len(self.parts))]
        each = zip(self.parts, shares, strict=True)
        if self.kind == "together":
            return sum(await table.together([part.play(table, own) for part, own in each]))
        total = 0.0
        for part, own in each:
            total += await part.play(table, own[::-1] if total > 1 else own)
        return total


RULES = st.sampled_from([single, both, votes(2), votes(3), votes(5)])
PLANS = st.recursive(
    st.just(Plan("compare")) | st.builds(Plan, st.just("match"), st.just(()), RULES),
    lambda inner: st.builds(
        Plan,
        st.sampled_from(["row", "together"]),
        st.lists(inner, min_size=1, max_size=4).map(tuple),
    ),
    max_leaves=12,
)


@given(PLANS, SEEDS, st.integers(0, 2), SEEDS)
def test_any_order_of_arrival_gives_the_same_tournament(
    plan: Plan, seed: int, retries: int, order: int
) -> None:
    async def strategy(table: Table) -> int:
        pairs = [(a, b) for a in table.seats for b in range(a)]
        return int(await plan.play(table, pairs)) % table.n

    def fresh() -> Tournament:
        return tournament(strategy, 8, seed=str(seed), retries=retries)

    pick = random.Random(order).randrange
    assert record(play(fresh(), faulty(seed), pick)) == record(play(fresh(), faulty(seed)))


@given(SEEDS)
def test_a_driver_may_go_on_answering_dropped_calls(seed: int) -> None:
    async def strategy(table: Table) -> int:
        pairs = [(a, b) for a in table.seats for b in range(a)]
        winners = await table.together([table.duel(a, b, votes(5)) for a, b in pairs])
        return max(table.seats, key=winners.count)

    deaf = tournament(strategy)
    todo, judge, rng = list(deaf.start().asked), faulty(seed), random.Random(seed)
    while todo:
        ask = todo.pop(rng.randrange(len(todo)))
        todo += deaf.answer(ask, judge(*ask)).asked
    assert record(deaf) == record(play(tournament(strategy), faulty(seed)))


@given(SEEDS)
def test_matches_of_one_pair_at_once_are_told_apart(seed: int) -> None:
    async def strategy(table: Table) -> int:
        return sum(await table.together([table.duel(0, 1, both) for _ in range(4)])) % 2

    shuffled = play(tournament(strategy), faulty(seed), random.Random(seed).randrange)
    assert record(shuffled) == record(play(tournament(strategy), faulty(seed)))


def test_an_answer_that_comes_twice_or_unasked_changes_nothing() -> None:
    async def strategy(table: Table) -> int:
        await table.compare(0, 1)
        await table.compare(0, 1)
        return 0

    started = tournament(strategy)
    (ask,) = started.start().asked
    assert started.answer(Ask(2, 3, 0), FIRST).asked == ()
    (following,) = started.answer(ask, FIRST).asked
    assert started.answer(ask, SECOND).asked == ()
    started.answer(following, FIRST)
    assert [c.verdict for c in started.comparisons] == [FIRST, FIRST]


# --- stages ---------------------------------------------------------------------------------------


def test_stages_are_the_longest_chain_of_calls_that_waited_for_each_other() -> None:
    async def strategy(table: Table) -> int:
        async def in_a_row(a: int, b: int, times: int) -> None:
            for _ in range(times):
                await table.compare(a, b)

        rows: list[Awaitable[Any]] = [in_a_row(0, 1, 3), in_a_row(2, 3, 1), table.compare(1, 2)]
        await table.together(rows)
        await table.compare(3, 2)
        return 0

    played = play(tournament(strategy), always(FIRST))
    assert [(c.first, c.second, c.stage) for c in played.comparisons] == [
        (0, 1, 1),
        (2, 3, 1),
        (1, 2, 1),
        (0, 1, 2),
        (0, 1, 3),
        (3, 2, 4),
    ]
    assert played.stages == 4


# --- VOID -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_void_is_retried_as_another_attempt_one_stage_later(retries: int) -> None:
    async def strategy(table: Table) -> int:
        assert (await table.compare(0, 1)).attempt == retries
        return 0

    played = play(tournament(strategy, retries=retries), always(VOID))
    assert calls(played) == [Ask(0, 1, 0, attempt) for attempt in range(retries + 1)]
    assert [c.stage for c in played.comparisons] == list(range(1, retries + 2))


def test_the_strategy_sees_the_retry_and_the_record_has_both() -> None:
    async def strategy(table: Table) -> int:
        assert (await table.compare(0, 1)).verdict == SECOND
        return 1

    def judge(first: int, second: int, repeat: int, attempt: int) -> Verdict:
        return SECOND if attempt else VOID

    assert [c.verdict for c in play(tournament(strategy), judge).comparisons] == [VOID, SECOND]


# --- chance ---------------------------------------------------------------------------------------


def test_chance_is_reproducible_and_apart_for_every_seed_purpose_and_id() -> None:
    keys: list[tuple[str, str, tuple[int, ...]]] = [
        (seed, purpose, ids)
        for seed in ("a", "b")
        for purpose in ("slots", "match")
        for ids in ((), (1,), (1, 2), (2, 1), (12,))
    ]
    draws = [Table(2, seed).rng(purpose, *ids).random() for seed, purpose, ids in keys]
    again = [Table(9, seed).rng(purpose, *ids).random() for seed, purpose, ids in keys]
    assert draws == again
    assert len(set(draws)) == len(keys)


def test_a_generator_starts_afresh_each_time() -> None:
    table = Table(2, "seed")
    assert table.rng("x", 1).random() == table.rng("x", 1).random()


def test_the_coin_is_fair() -> None:
    heads = sum(Table(2, str(seed)).coin("match", i) for seed in range(100) for i in range(40))
    assert abs(heads / 4000 - 0.5) < 0.025


def test_ids_and_seats_from_numpy_count_as_plain_ones() -> None:
    zero, one = np.array([0, 1])
    assert Table(2, "seed").rng("x", one).random() == Table(2, "seed").rng("x", 1).random()

    async def strategy(table: Table) -> Any:
        await table.compare(zero, one)
        await table.duel(zero, one, single)
        return one

    played = play(tournament(strategy), always(FIRST))
    (match,) = played.matches
    seats = [*calls(played)[0][:2], match.a, match.b, *played.order]
    assert {type(seat) for seat in seats} == {int}


# --- strategies that go wrong ---------------------------------------------------------------------


def breaks(strategy: Callable[[Table], Any], n: int = 3) -> str:
    with pytest.raises(BonError) as raised:
        play(tournament(strategy, n), always(FIRST))
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("seats", [(0, 3), (-1, 0), (1, 1), (0, None), (0.5, 1), ("0", 1)])
@pytest.mark.parametrize("how", ["compare", "duel"])
def test_comparing_what_is_no_pair_of_seats(seats: tuple[Any, Any], how: str) -> None:
    async def strategy(table: Table) -> int:
        if how == "compare":
            await table.compare(*seats)
        return await table.duel(*seats, single)

    assert f"compared seats {seats[0]!r} and {seats[1]!r}: take two" in breaks(strategy)


def test_awaiting_something_foreign() -> None:
    class Foreign:
        def __await__(self) -> Any:
            yield "a request of some other loop"

    async def alone(table: Table) -> int:
        await Foreign()
        return 0

    async def among_others(table: Table) -> int:
        parts: list[Any] = [table.compare(0, 1), Foreign()]
        await table.together(parts)
        return 0

    async def no_awaitable(table: Table) -> int:
        parts: list[Any] = [table.compare(0, 1), 5]
        await table.together(parts)
        return 0

    async def an_event_loop(table: Table) -> int:
        await asyncio.sleep(0)
        return 0

    for strategy in (alone, among_others, no_awaitable, an_event_loop):
        assert "may await only compare, in_order, duel and together" in breaks(strategy)


def test_awaiting_one_comparison_twice() -> None:
    async def at_once(table: Table) -> int:
        ask = table.compare(0, 1)
        await table.together([ask, ask])
        return 0

    async def in_a_row(table: Table) -> int:
        ask = table.compare(0, 1)
        await ask
        await ask
        return 0

    for strategy in (at_once, in_a_row):
        assert "awaited one comparison of 0 and 1 twice" in breaks(strategy)


@pytest.mark.parametrize(
    "result", [None, 3, -1, [], [3], [0, 1], [0, 1, 1], [0, 1, 2, 3], "012", 1.0, [[0]]]
)
def test_naming_no_winner(result: Any) -> None:
    async def strategy(table: Table) -> Any:
        return result

    assert f"name one seat or order all 3, not {result!r}" in breaks(strategy)


@pytest.mark.parametrize("result", [2, [2], (2, 0, 1), iter([2, 1, 0]), np.array([2, 0, 1])])
def test_naming_a_winner(result: Any) -> None:
    async def strategy(table: Table) -> Any:
        return result

    assert play(tournament(strategy, 3), always(FIRST)).order[0] == 2


def test_errors_of_the_strategy_come_out_as_they_are() -> None:
    async def strategy(table: Table) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tournament(strategy).start()


def test_a_tournament_has_candidates_and_an_order_only_at_its_end() -> None:
    async def strategy(table: Table) -> int:
        return (await table.compare(0, 1)).first

    with pytest.raises(BonError, match="at least one candidate"):
        tournament(strategy, 0)
    started = tournament(strategy)
    started.start()
    assert not started.done
    with pytest.raises(RuntimeError, match="not over"):
        _ = started.order


def test_sizes_default_to_groups_of_one() -> None:
    assert Table(3, "seed").sizes == (1, 1, 1)
    assert Table(3, "seed", [2, 1, 1]).sizes == (2, 1, 1)


# --- cut short --------------------------------------------------------------------------------------------


def test_cut_short_it_keeps_every_verdict_it_has_heard() -> None:
    async def everybody(table: Table) -> int:
        async def half(first: int) -> Comparison:
            return await table.compare(first, 2)

        parts: list[Any] = [table.compare(0, 1), table.compare(1, 0), half(0), half(1)]
        await table.together(parts)
        return 0

    stopped = tournament(everybody, 3)
    asked = stopped.start().asked
    for ask in asked[:3]:
        stopped.answer(ask, FIRST)
    assert len(stopped.comparisons) == 1
    stopped.cut_short()
    assert {(c.first, c.second) for c in stopped.comparisons} == {(0, 1), (1, 0), (0, 2)}
    assert (stopped.done, stopped.order) == (True, ())
    assert stopped.answer(asked[3], FIRST) == ((), ())
    assert len(stopped.comparisons) == 3


def test_cut_short_after_its_end_it_stays_as_it_was() -> None:
    async def duel(table: Table) -> int:
        return await table.duel(0, 1, single)

    ended = tournament(duel, 2)
    [ask] = ended.start().asked
    ended.answer(ask, FIRST)
    ended.cut_short()
    assert ended.order == (ask.first,)
