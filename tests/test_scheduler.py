"""Many tournaments over one judge: order of arrival changes when things happen, never what."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import pytest
from fakes import some_turns
from hypothesis import given, settings
from hypothesis import strategies as st
from judges import FIRST, SECOND, VOID, faulty, record

from bon import simulate
from bon.api import bare_errors
from bon.catalog import parse_strategy
from bon.scheduler import Entry, Pool, play_all
from bon.tournament import Table, Tournament
from bon.types import BonError, EngineError, Verdict

Answer = Callable[[str, int, int, int, int], Awaitable[Verdict]]
"""The verdict on (query, first, second, repeat, attempt), responses named by seat."""
SEVERAL = ("knockout", "knockout:rule=votes:3", "knockout:rule=both", "round-robin", "knockout")


@dataclass
class TextJudge:
    """A judge of texts that are the names of seats."""

    answer: Answer
    identity: str = "text"
    calls: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    priorities: set[tuple[str, int]] = field(default_factory=set)
    running: int = 0
    most: int = 0
    aborted: int = 0

    async def compare(
        self, query: str, first: str, second: str, *, repeat: int, attempt: int, priority: int
    ) -> Verdict:
        call = (query, int(first), int(second), repeat, attempt)
        self.calls.append(call)
        self.priorities.add((query, priority))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self.answer(*call)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self.running -= 1


def entry(position: int, n: int = 8, strategy: str = "knockout") -> Entry:
    tournament = Tournament(parse_strategy(strategy), n, seed=f"seed {position}")
    return Entry(position, f"query {position}", [str(seat) for seat in range(n)], tournament)


def entries() -> list[Entry]:
    return [entry(i, n, name) for i, (n, name) in enumerate(zip((8, 5, 6, 4, 1), SEVERAL))]  # noqa: B905


async def lower_seat(query: str, first: int, second: int, repeat: int, attempt: int) -> Verdict:
    await some_turns(2)
    return FIRST if first < second else SECOND


def play(
    these: Iterable[Entry],
    judge: TextJudge,
    calls: int = 100,
    heard: Callable[[Verdict], None] = lambda verdict: None,
    over: Callable[[Entry], None] = lambda entry: None,
    stop: asyncio.Event | None = None,
) -> None:
    async def each() -> AsyncIterator[Entry]:
        for one in these:
            yield one

    async def run() -> None:
        # nothing here waits for a clock: a test that needs this long hangs
        async with asyncio.timeout(20), bare_errors():
            await play_all(each(), judge, calls=lambda: calls, heard=heard, over=over, stop=stop)

    asyncio.run(run())


# --- results ------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(), st.integers(1, 30))
def test_delays_and_limits_change_no_result(seed: int, calls: int) -> None:
    judge, luck = faulty(1), random.Random(seed)

    async def late(query: str, first: int, second: int, repeat: int, attempt: int) -> Verdict:
        await some_turns(luck.randrange(6))
        return judge(first, second, repeat, attempt)

    played = entries()
    play(played, TextJudge(late), calls)
    for one, other in zip(played, entries(), strict=True):
        assert record(one.tournament) == record(simulate.play(other.tournament, judge))


def test_every_verdict_is_heard_and_every_tournament_ends_once() -> None:
    verdicts: list[Verdict] = []
    ended: list[int] = []
    played = entries()
    judge = TextJudge(lower_seat)
    play(played, judge, heard=verdicts.append, over=lambda one: ended.append(one.position))
    assert sorted(ended) == [0, 1, 2, 3, 4]
    assert len(verdicts) == len(judge.calls) - judge.aborted
    assert all(one.tournament.done for one in played)


def test_a_void_is_asked_again_with_the_next_attempt() -> None:
    async def void_first(query: str, first: int, second: int, repeat: int, attempt: int) -> Verdict:
        return FIRST if attempt else VOID

    judge = TextJudge(void_first)
    play([entry(0, 2)], judge)
    assert [call[-1] for call in judge.calls] == [0, 1]


def test_one_candidate_costs_no_call_and_no_prompts_are_no_error() -> None:
    judge = TextJudge(lower_seat)
    alone = entry(0, 1)
    play([alone], judge)
    assert alone.tournament.order == (0,)
    play([], judge)
    assert judge.calls == []


def test_earlier_prompts_have_priority_while_others_wait() -> None:
    judge = TextJudge(lower_seat)
    play([entry(3), entry(7), entry(9)], judge, calls=1)
    assert {(q, p) for q, p in judge.priorities if p >= 0} == {("query 3", 3), ("query 7", 7)}


def test_when_nobody_waits_those_with_most_stages_ahead_have_priority() -> None:
    judge = TextJudge(lower_seat)
    play([entry(0, 8), entry(1, 2)], judge)
    assert judge.priorities == {("query 0", 0), ("query 0", -2), ("query 0", -1), ("query 1", -1)}


def test_calls_asked_for_at_once_go_out_by_their_first_candidate() -> None:
    judge = TextJudge(lower_seat)
    play([entry(0, 5, "round-robin:rule=both")], judge)
    assert judge.calls == sorted(judge.calls)
    assert len(judge.calls) == 20


def test_once_stopped_no_more_are_admitted_and_those_that_run_end() -> None:
    stop, ended = asyncio.Event(), set[str]()

    async def stops(query: str, *call: int) -> Verdict:
        stop.set()
        return await lower_seat(query, *call)

    def over(one: Entry) -> None:
        assert one.tournament.done
        ended.add(one.query)

    judge = TextJudge(stops)
    play((entry(i) for i in range(99)), judge, calls=6, over=over, stop=stop)
    assert ended == {query for query, *_ in judge.calls}
    assert 1 <= len(ended) < 5


# --- how much at once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [1, 4, 5, 11, 24, 100])
def test_a_tournament_is_admitted_only_while_fewer_calls_than_allowed_are_under_way(
    calls: int,
) -> None:
    async def slow(query: str, *call: int) -> Verdict:
        await some_turns(40)
        return await lower_seat(query, *call)

    judge = TextJudge(slow)
    play([entry(i) for i in range(12)], judge, calls)
    # a knockout of 8 has 4 calls at most
    assert min(calls, 12 * 4) <= judge.most <= calls - 1 + 4


def test_a_limit_that_grows_is_heeded_from_then_on() -> None:
    async def slow(*call: object) -> Verdict:
        await some_turns(100)
        return FIRST

    limits = iter([2] * 6)
    judge = TextJudge(slow)

    async def each() -> AsyncIterator[Entry]:
        for i in range(40):
            yield entry(i, 2)

    async def run() -> None:
        async with asyncio.timeout(20), bare_errors():
            await play_all(
                each(),
                judge,
                calls=lambda: next(limits, 20),
                heard=lambda v: None,
                over=lambda e: None,
            )

    asyncio.run(run())
    assert judge.most == 20


def test_a_calls_limit_below_one_tournament_still_plays_all_of_them() -> None:
    judge = TextJudge(lower_seat)
    play([entry(i, 8, "round-robin") for i in range(3)], judge, calls=1)
    assert judge.most == 28
    assert len(judge.calls) == 3 * 28


# --- no barriers ------------------------------------------------------------------------------------------


def test_no_prompt_waits_for_another() -> None:
    second_over = asyncio.Event()

    async def first_waits(query: str, *call: int) -> Verdict:
        if query == "query 0":
            await second_over.wait()
        return FIRST

    ended: list[int] = []

    def over(one: Entry) -> None:
        ended.append(one.position)
        if one.position == 1:
            second_over.set()

    play([entry(0), entry(1)], TextJudge(first_waits), over=over)
    assert ended == [1, 0]


def test_no_match_waits_for_its_round() -> None:
    semifinal = asyncio.Event()

    async def one_waits(query: str, first: int, second: int, *rest: int) -> Verdict:
        if {first, second} == {6, 7}:
            await semifinal.wait()
        if {first, second} == {0, 2}:
            semifinal.set()
        return await lower_seat(query, first, second, *rest)

    played = entry(0)
    play([played], TextJudge(one_waits))
    assert played.tournament.order == (0,)


# --- cancellation -------------------------------------------------------------------------------------------


async def later_votes_never_come(
    query: str, first: int, second: int, repeat: int, attempt: int
) -> Verdict:
    # in alternating orders, votes 0 and 1 of a vote of three are the first of each order
    if repeat:
        await asyncio.Event().wait()
    return await lower_seat(query, first, second, repeat, attempt)


def test_votes_that_no_longer_matter_are_aborted() -> None:
    judge = TextJudge(later_votes_never_come)
    played = entry(0, 4, "knockout:rule=votes:3")
    play([played], judge)
    assert played.tournament.order == (0,)
    assert (len(judge.calls), judge.aborted, judge.running) == (9, 3, 0)


def test_aborted_votes_leave_room_for_the_next_tournament() -> None:
    judge = TextJudge(later_votes_never_come)
    play([entry(i, 4, "knockout:rule=votes:3") for i in range(10)], judge, calls=2)
    assert judge.aborted == 30


def test_a_call_that_is_dropped_before_it_began_leaves_room_as_well() -> None:
    async def at_once(query: str, first: int, second: int, repeat: int, attempt: int) -> Verdict:
        return FIRST if first < second else SECOND

    judge = TextJudge(at_once)
    play([entry(i, 4, "knockout:rule=votes:9") for i in range(10)], judge, calls=2)
    assert len(judge.calls) < 10 * 3 * 9


def test_a_vote_that_ends_in_spite_of_its_abortion_changes_nothing() -> None:
    async def stubborn(query: str, first: int, second: int, repeat: int, attempt: int) -> Verdict:
        try:
            return await later_votes_never_come(query, first, second, repeat, attempt)
        except asyncio.CancelledError:
            return SECOND if first < second else FIRST

    played = entry(0, 4, "knockout:rule=votes:3")
    play([played], TextJudge(stubborn))
    assert played.tournament.order == (0,)
    assert len(played.tournament.comparisons) == 6


# --- an engine that dies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [1, 100])
def test_an_engine_that_dies_ends_everything_as_one_error(calls: int) -> None:
    async def dies(query: str, first: int, second: int, *rest: int) -> Verdict:
        await some_turns(3)
        if query == "query 0":
            raise EngineError("the engine died")
        await asyncio.Event().wait()
        return FIRST

    judge = TextJudge(dies)
    with pytest.raises(EngineError, match="the engine died"):
        play((entry(i) for i in range(4)), judge, calls)
    assert judge.running == 0


def test_an_engine_that_dies_ends_the_wait_for_candidates() -> None:
    async def dies(*call: object) -> Verdict:
        raise EngineError("the engine died")

    async def run() -> None:
        async def one_and_no_more() -> AsyncIterator[Entry]:
            yield entry(0)
            await asyncio.Event().wait()

        async with asyncio.timeout(20), bare_errors():
            await play_all(
                one_and_no_more(),
                TextJudge(dies),
                calls=lambda: 9,
                heard=lambda v: None,
                over=lambda e: None,
            )

    with pytest.raises(EngineError, match="the engine died"):
        asyncio.run(run())


def test_a_strategy_that_fails_leaves_its_room_to_others() -> None:
    async def fails_later(table: Table) -> int:
        await table.compare(0, 1)
        raise BonError("no idea")

    async def run() -> None:
        pool = Pool(lambda: 1)
        tournament = Tournament(fails_later, 2, seed="")
        failing = Entry(0, "q", ["0", "1"], tournament)
        with pytest.raises(BonError, match="no idea"):
            async with bare_errors():
                await pool.play(failing, tournament.start(), TextJudge(lower_seat), lambda *_: None)
        async with asyncio.timeout(20):
            await pool.room.wait()

    asyncio.run(run())
