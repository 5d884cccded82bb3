"""One pool that many concurrent askers fill: on fake back ends, so that every turn can be steered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from fakes import Engines, FakeBackend, larger_number, numbers_from_the_seed, some_turns

from bon import api
from bon.api import Observer, Sampled, run
from bon.catalog import parse_strategy, strategy
from bon.generation import PromptTooLong, Reply, Request
from bon.job import GIVEN, Job, Judge, Policy
from bon.ledger import Ledger
from bon.session import Session, session
from bon.types import BonError, Candidate, EngineError, Message, Prompt, Result, Verdict

T = TypeVar("T")
JOB = Job(Policy("policy"), Judge("judge"), strategy("knockout"), n=6)
NEVER = 10**9


def prompt(number: int = 0) -> Prompt:
    return Prompt(str(number), (Message("user", f"question {number}"),))


def numbers(*values: int) -> tuple[Candidate, ...]:
    return tuple(Candidate(str(value)) for value in values)


def within(work: Coroutine[Any, Any, T]) -> T:
    """Run it; nothing here waits for a clock that is not the test's own: what needs this long hangs."""

    async def limited() -> T:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(limited())


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await some_turns(1)


@dataclass
class Stuck:
    """A judge's back end that answers `free` calls and then no more, until it is let go."""

    free: int
    go: asyncio.Event = field(default_factory=asyncio.Event)
    inner: FakeBackend = field(default_factory=lambda: FakeBackend(larger_number))
    aborted: int = 0
    identity: str = "stuck@1"
    capacity: int = 2

    async def generate(self, request: Request) -> Reply:
        self.free -= 1
        if self.free < 0:
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.aborted += 1
                raise
        return await self.inner.generate(request)


# --- what comes out -----------------------------------------------------------------------------------


def test_a_session_gives_what_a_run_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [prompt(i) for i in range(4)]

    async def both() -> tuple[list[Result], dict[int, Result]]:
        backends = {
            "policy": FakeBackend(numbers_from_the_seed),
            "judge": FakeBackend(larger_number),
        }
        monkeypatch.setattr(api, "engine", Engines(backends))
        ran: dict[int, Result] = {}
        await run(prompts, JOB, ran.__setitem__, Observer())
        async with session(JOB) as asked:
            return await asyncio.gather(*(asked.best(p, JOB) for p in prompts)), ran

    asked, ran = within(both())
    assert asked == [ran[i] for i in range(4)]


def test_every_call_may_ask_for_another_n_strategy_and_grouping() -> None:
    async def ask() -> list[Result]:
        asked = Session(FakeBackend(larger_number), FakeBackend(numbers_from_the_seed))
        jobs = [replace(JOB, n=n, group_by="none") for n in (2, 5)]
        jobs.append(replace(jobs[1], strategy=strategy("round-robin", rule="both")))
        return await asyncio.gather(*(asked.best(prompt(), job) for job in jobs))

    found = within(ask())
    assert [len(r.candidates) for r in found] == [2, 5, 5]
    assert [len(r.comparisons) for r in found] == [1, 4, 20]
    assert found[2].provenance["strategy"] == "round-robin:rule=both"


def test_a_judge_is_played_by_the_profile_that_it_ships_with() -> None:
    async def ask() -> list[Result]:
        asked = Session(FakeBackend(larger_number), FakeBackend(numbers_from_the_seed))
        jobs = [
            replace(JOB, judge=Judge("tiny-rrm"), strategy=parse_strategy(text))
            for text in ("adaptive", "adaptive:profile=unknown")
        ]
        return await asyncio.gather(*(asked.best(prompt(), job) for job in jobs))

    shipped, unknown = within(ask())
    assert len(shipped.comparisons) < len(unknown.comparisons)
    assert ["profile" in result.provenance for result in (shipped, unknown)] == [True, False]


def test_candidates_at_hand_are_judged_without_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = Engines({"judge": FakeBackend(larger_number)})
    monkeypatch.setattr(api, "engine", engines)

    async def ask() -> Result:
        job = replace(JOB, policy=GIVEN)
        async with session(job) as asked:
            with pytest.raises(BonError, match="no policy"):
                await asked.sample(prompt(), job)
            return await asked.judge(prompt(), numbers(3, 9, 4), job)

    assert within(ask()).winner == 1
    assert engines.log == ["start judge", "stop judge"]


def test_candidates_that_came_with_the_prompt_are_not_sampled_again() -> None:
    async def ask() -> Result:
        given = replace(prompt(), given=numbers(3, 9, 4))
        return await Session(FakeBackend(larger_number)).best(given, JOB)

    assert within(ask()).candidates == numbers(3, 9, 4)


def test_a_prompt_that_cannot_be_sampled_raises_for_itself_alone() -> None:
    def refuses(request: Request) -> Reply:
        if "question 1" in request.chat.quoted:
            raise PromptTooLong("too long by far")
        return numbers_from_the_seed(request)

    async def ask() -> list[Result | BaseException]:
        asked = Session(FakeBackend(larger_number), FakeBackend(refuses))
        calls = (asked.best(prompt(i), JOB) for i in range(3))
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = within(ask())
    assert isinstance(first, Result)
    assert isinstance(third, Result)
    assert isinstance(second, PromptTooLong)


def test_engines_stop_when_the_body_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = Engines(
        {"policy": FakeBackend(numbers_from_the_seed), "judge": FakeBackend(larger_number)}
    )
    monkeypatch.setattr(api, "engine", engines)

    async def fail() -> None:
        async with session(JOB):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        within(fail())
    assert engines.log[-2:] == ["stop judge", "stop policy"]


def test_a_dead_engine_is_one_error_to_everybody() -> None:
    def dies(request: Request) -> Reply:
        raise EngineError("the engine died")

    async def ask() -> list[Result | BaseException]:
        asked = Session(FakeBackend(dies), FakeBackend(numbers_from_the_seed))
        calls = (asked.best(prompt(i), JOB) for i in range(3))
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(error) for error in within(ask())] == [EngineError] * 3


# --- one pool -----------------------------------------------------------------------------------------


def test_concurrent_askers_fill_each_others_batches() -> None:
    judge = FakeBackend(larger_number, capacity=64)

    async def ask() -> None:
        asked = Session(judge)
        await asyncio.gather(*(asked.judge(prompt(i), numbers(1, 2), JOB) for i in range(50)))

    within(ask())
    assert judge.most == 50


def test_who_came_first_is_admitted_first_and_has_priority() -> None:
    judge = Stuck(0)

    async def ask() -> None:
        asked = Session(judge)
        calls = [
            asyncio.create_task(asked.judge(prompt(i), numbers(*range(4)), JOB)) for i in range(5)
        ]
        await some_turns(50)
        judge.go.set()
        await asyncio.gather(*calls)

    within(ask())
    told = [(r.chat.quoted[0], r.priority) for r in judge.inner.requests]
    assert set(told) == {(f"question {i}", i) for i in range(5)}
    # four calls are let out, two a tournament; whoever waits goes in the order of asking
    assert [first for first, _ in dict.fromkeys(told)] == [f"question {i}" for i in range(5)]


def test_with_a_ledger_equal_calls_are_made_once(tmp_path: Any) -> None:
    judge, policy = FakeBackend(larger_number), FakeBackend(numbers_from_the_seed)

    async def ask() -> list[Result]:
        with Ledger(tmp_path) as ledger:
            asked = Session(judge, policy, ledger=ledger)
            first = await asked.best(prompt(), JOB)
            both = await asyncio.gather(*(asked.best(prompt(), JOB) for _ in range(2)))
            return [first, *both]

    found = within(ask())
    assert found[0] == found[1] == found[2]
    assert len(judge.requests) == len(found[0].comparisons)
    assert len(policy.requests) == 1


# --- cancelled ----------------------------------------------------------------------------------------


def test_cancelling_the_asker_aborts_its_calls_and_frees_their_room() -> None:
    judge = Stuck(0)

    async def ask() -> Result:
        asked = Session(judge)
        big = asyncio.create_task(asked.judge(prompt(0), numbers(*range(16)), JOB))
        await until(lambda: judge.free == -8)
        small = asyncio.create_task(asked.judge(prompt(1), numbers(1, 2), JOB))
        await some_turns(20)
        assert judge.free == -8  # no room yet
        big.cancel()
        await asyncio.gather(big, return_exceptions=True)
        assert judge.aborted == 8
        judge.go.set()
        return await small

    assert within(ask()).winner == 1


def test_cancelling_whoever_waits_for_room_lets_the_next_one_in() -> None:
    judge = Stuck(0)

    async def ask() -> Result:
        asked = Session(judge)
        calls = [
            asyncio.create_task(asked.judge(prompt(i), numbers(*range(16)), JOB)) for i in range(3)
        ]
        await some_turns(20)
        calls[1].cancel()
        judge.go.set()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(found[1], asyncio.CancelledError)
        assert isinstance(found[2], Result)
        return found[2]

    assert within(ask()).winner == 15


def test_cancelling_the_asker_aborts_the_sampling() -> None:
    policy = FakeBackend(numbers_from_the_seed, turns=lambda request: NEVER)

    async def ask() -> None:
        asked = asyncio.create_task(Session(FakeBackend(larger_number), policy).best(prompt(), JOB))
        await until(lambda: policy.running == 1)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

    within(ask())
    assert (policy.aborted, policy.running) == (1, 0)


# --- cut short ------------------------------------------------------------------------------------------


def test_a_deadline_gives_the_best_so_far_and_says_so() -> None:
    judge = Stuck(6)
    job = replace(JOB, strategy=strategy("round-robin", rule="both"))

    async def ask() -> Result:
        return await Session(judge).judge(prompt(), numbers(1, 2, 3, 4), job, deadline=0.2)

    result = within(ask())
    assert result.cut_short == "the deadline of 0.2 s passed"
    assert result.error is None
    assert len(result.comparisons) == 6
    assert result.winner == result.ranking[0].candidate
    assert result.ranking[0].strength == max(s.strength for s in result.ranking)
    assert judge.aborted == 6


def test_a_deadline_that_does_not_pass_changes_nothing() -> None:
    async def ask(deadline: float | None) -> Result:
        asked = Session(FakeBackend(larger_number), FakeBackend(numbers_from_the_seed))
        return await asked.best(prompt(), JOB, deadline=deadline)

    assert within(ask(20.0)) == within(ask(None))


def test_a_deadline_before_there_are_candidates_is_an_error_of_this_prompt() -> None:
    policy = FakeBackend(numbers_from_the_seed, turns=lambda request: NEVER)

    async def ask() -> Result:
        return await Session(FakeBackend(larger_number), policy).best(prompt(), JOB, deadline=0.05)

    result = within(ask())
    assert result.winner is None
    assert result.error == "the deadline of 0.05 s passed before there were candidates"
    assert policy.aborted == 1


def test_a_deadline_while_waiting_for_room_gives_a_winner_without_verdicts() -> None:
    judge = Stuck(0)

    async def ask() -> Result:
        asked = Session(judge)
        first = asyncio.create_task(asked.judge(prompt(0), numbers(*range(16)), JOB))
        await some_turns(20)
        result = await asked.judge(prompt(1), numbers(1, 2), JOB, deadline=0.05)
        first.cancel()
        return result

    result = within(ask())
    assert result.cut_short
    assert (result.winner in (0, 1), result.comparisons) == (True, ())


def test_a_back_end_that_times_out_is_no_deadline() -> None:
    def late(request: Request) -> Reply:
        raise TimeoutError("the back end was late")

    async def ask() -> Result:
        return await Session(FakeBackend(late)).judge(prompt(), numbers(1, 2), JOB, deadline=20.0)

    with pytest.raises(TimeoutError, match="the back end was late"):
        within(ask())


# --- who is told ------------------------------------------------------------------------------------------


@dataclass
class Recorder(Observer):
    """Keeps what it is told."""

    told: list[object] = field(default_factory=list)

    def sampled(self, sampled: Sampled) -> None:
        self.told.append(sampled.prompt.id)

    def compared(self, first: int, second: int, verdict: Verdict) -> None:
        self.told.append((first, second, verdict.outcome.value))

    def finished(self, result: Result) -> None:
        self.told.append(result.winner)


def test_a_watcher_is_told_of_its_prompt_and_the_observer_of_all() -> None:
    everything, watch = Recorder(), Recorder()

    async def ask() -> Result:
        asked = Session(FakeBackend(larger_number), FakeBackend(numbers_from_the_seed), everything)
        result, _ = await asyncio.gather(
            asked.best(prompt(0), JOB, watch=watch), asked.best(prompt(1), JOB)
        )
        return result

    result = within(ask())
    calls = {(c.first, c.second, c.verdict.outcome.value) for c in result.comparisons}
    assert watch.told[0] == "0"
    assert set(watch.told[1:-1]) == calls
    assert watch.told[-1] == result.winner
    assert set(map(str, watch.told)) <= set(map(str, everything.told))
    assert "1" in everything.told


def test_whoever_judges_hears_every_verdict() -> None:
    heard: list[Verdict] = []

    async def ask() -> Result:
        asked = Session(FakeBackend(larger_number))
        return await asked.judge(prompt(), numbers(1, 2, 3), JOB, heard=heard.append)

    result = within(ask())
    assert len(heard) == len(result.comparisons) == 2
