"""The main job on fake back ends: prompts, candidates, tournaments, results."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fakes import Engines, FakeBackend, larger_number, numbers_from_the_seed, reply, some_turns
from hypothesis import given, settings
from hypothesis import strategies as st

from bon import api
from bon.api import Observer, Sampled, judge_all, run, sample_all
from bon.catalog import parse_strategy, strategy
from bon.generation import GenerationFailed, PromptTooLong, Reply, Request
from bon.grouping import last_number
from bon.job import Job, Judge, Policy
from bon.types import BonError, Candidate, EngineError, Message, Outcome, Prompt, Result, Verdict

JOB = Job(Policy("policy"), Judge("judge"), strategy("knockout"), n=6)


def prompts(count: int) -> list[Prompt]:
    return [Prompt(str(i), (Message("user", f"question {i}"),)) for i in range(count)]


def backends(
    policy: FakeBackend | None = None, judge: FakeBackend | None = None
) -> dict[str, FakeBackend]:
    return {
        "policy": policy or FakeBackend(numbers_from_the_seed),
        "judge": judge or FakeBackend(larger_number),
    }


@dataclass
class Recorder(Observer):
    """Keeps what it is told."""

    told: list[str] = field(default_factory=list)

    def loading(self, role: str, model: str) -> None:
        self.told.append(f"loading {role} {model}")

    def loaded(self, role: str) -> None:
        self.told.append(f"loaded {role}")

    def sampled(self, sampled: Sampled) -> None:
        self.told.append("sampled")

    def heard(self, verdict: Verdict) -> None:
        self.told.append("heard")

    def finished(self, result: Result) -> None:
        self.told.append("finished")


class Runs:
    """Runs jobs on fake engines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.engines = Engines({})
        self.observer = Recorder()

    def __call__(
        self,
        asked: Iterable[Prompt],
        job: Job = JOB,
        on: dict[str, FakeBackend] | None = None,
    ) -> list[Result]:
        """The results in input order."""
        self.engines = Engines(on or backends())
        self.observer = Recorder()
        self._monkeypatch.setattr(api, "engine", self.engines)
        results: dict[int, Result] = {}
        given = list(asked)

        async def work() -> None:
            # nothing here waits for a clock: a test that needs this long hangs
            async with asyncio.timeout(20):
                await run(given, job, results.__setitem__, self.observer)

        asyncio.run(work())
        assert sorted(results) == list(range(len(given)))
        return [results[i] for i in range(len(given))]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(monkeypatch)


def number(candidate: Candidate) -> int:
    return int(last_number(candidate.text) or 0)


# --- what comes out -----------------------------------------------------------------------------------


def test_every_prompt_gets_n_candidates_and_the_best_of_them(runs: Runs) -> None:
    for prompt, result in zip(prompts(5), runs(prompts(5)), strict=True):
        assert result.prompt == prompt
        assert result.error is None
        assert len(result.candidates) == 6
        assert result.winner is not None
        best = max(map(number, result.candidates))
        assert number(result.candidates[result.winner]) == best


def test_a_judge_is_played_by_the_profile_that_it_ships_with(runs: Runs) -> None:
    played = []
    for text in ("adaptive", "adaptive:profile=unknown"):
        job = replace(JOB, judge=Judge("tiny-rrm"), strategy=parse_strategy(text))
        on = {"policy": FakeBackend(numbers_from_the_seed), "tiny-rrm": FakeBackend(larger_number)}
        played.append(sum(len(result.comparisons) for result in runs(prompts(3), job, on)))
    assert played[0] < played[1]


def test_a_profile_that_cannot_be_read_is_told_before_anything_is_sampled(
    runs: Runs, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "judge-profile.json").write_text("{}")
    job = replace(JOB, judge=Judge(str(tmp_path)), strategy=parse_strategy("adaptive"))
    with pytest.raises(BonError, match="no judge profile"):
        runs(prompts(1), job)
    assert runs.engines.log == []


def test_a_result_says_how_it_came_about(runs: Runs) -> None:
    job = replace(JOB, strategy=strategy("knockout", rule="votes:3"), seed=4, group_by="number")
    [result] = runs(prompts(1), job)
    assert result.provenance == {
        "strategy": "knockout:rule=votes:3",
        "policy": "policy",
        "judge": "judge",
        "template": "rrm",
        "group_by": "number",
        "seed": 4,
        "judge_seed": 0,
    }


def test_the_seed_decides_everything(runs: Runs) -> None:
    assert runs(prompts(3)) == runs(prompts(3))
    other = runs(prompts(3), replace(JOB, seed=1))
    assert [r.candidates for r in other] != [r.candidates for r in runs(prompts(3))]


def test_one_candidate_wins_without_a_judge_call(runs: Runs) -> None:
    on = backends()
    [result] = runs(prompts(1), replace(JOB, n=1), on)
    assert (result.winner, result.comparisons) == (0, ())
    assert on["judge"].requests == []


def test_no_prompts_are_no_results(runs: Runs) -> None:
    assert runs([]) == []


def test_the_observer_is_told_everything(runs: Runs) -> None:
    results = runs(prompts(3))
    calls = sum(len(result.comparisons) for result in results)
    told = runs.observer.told
    assert told[:2] == ["loading policy policy", "loaded policy"]
    assert (told.count("sampled"), told.count("finished"), told.count("heard")) == (3, 3, calls)


# --- in turn and side by side ---------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(), st.booleans(), st.integers(1, 20))
def test_side_by_side_and_in_turn_give_the_same_results_whatever_arrives_first(
    seed: int, share_device: bool, capacity: int
) -> None:
    luck = random.Random(seed)

    def late(request: Request) -> int:
        return luck.randrange(8)

    job = replace(JOB, strategy=strategy("knockout", rule="votes:3"))
    on = backends(
        FakeBackend(numbers_from_the_seed, capacity=capacity, turns=late),
        FakeBackend(larger_number, capacity=capacity, turns=late),
    )
    with pytest.MonkeyPatch.context() as patch:
        runs = Runs(patch)
        found = runs(prompts(4), replace(job, share_device=share_device), on)
        assert found == runs(prompts(4), job)


def test_policy_and_judge_take_turns(runs: Runs) -> None:
    runs(prompts(2))
    assert runs.engines.log == ["start policy", "stop policy", "start judge", "stop judge"]


def test_sharing_a_device_loads_both_before_the_first_candidate(runs: Runs) -> None:
    runs(prompts(2), replace(JOB, share_device=True))
    assert runs.engines.log == ["start policy", "start judge", "stop judge", "stop policy"]
    assert runs.observer.told[4] == "sampled"


def test_side_by_side_the_judge_does_not_wait_for_all_candidates(runs: Runs) -> None:
    on = backends()
    judge = on["judge"]

    async def generate(request: Request) -> Reply:
        if request.chat.quoted == ("question 1",):
            while not judge.requests:
                await some_turns(1)
        return numbers_from_the_seed(request)

    on["policy"].generate = generate  # type: ignore[method-assign]
    assert len(runs(prompts(2), replace(JOB, share_device=True), on)) == 2


@pytest.mark.parametrize("share_device", [False, True])
def test_one_model_in_both_roles_is_loaded_once(runs: Runs, share_device: bool) -> None:
    def both(request: Request) -> Reply:
        judged = len(request.chat.quoted) == 3
        return larger_number(request) if judged else numbers_from_the_seed(request)

    job = Job(Policy("one"), Judge("one"), n=4, share_device=share_device)
    [result] = runs(prompts(1), job, {"one": FakeBackend(both)})
    assert result.winner is not None
    assert runs.engines.log == ["start one", "stop one"]


def test_one_model_with_other_engine_arguments_is_another_engine() -> None:
    assert Job(Policy("one"), Judge("one")).one_engine
    assert not Job(Policy("one", engine_args={"seed": 1}), Judge("one")).one_engine


# --- given candidates -----------------------------------------------------------------------------------


def with_candidates(prompt: Prompt) -> Prompt:
    return replace(prompt, given=(Candidate("3"), Candidate("7"), Candidate("5")))


def test_given_candidates_need_no_policy(runs: Runs) -> None:
    results = runs([with_candidates(prompt) for prompt in prompts(2)])
    assert runs.engines.log == ["start judge", "stop judge"]
    assert [result.winner for result in results] == [1, 1]
    assert all(len(result.candidates) == 3 for result in results)


def test_prompts_without_candidates_are_sampled_beside_those_that_bring_them(runs: Runs) -> None:
    one, two = prompts(2)
    on = backends()
    with_given, sampled = runs([with_candidates(one), two], JOB, on)
    assert (with_given.winner, len(sampled.candidates)) == (1, 6)
    assert len(on["policy"].requests) == 1


# --- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share_device", [False, True])
@pytest.mark.parametrize("error", [PromptTooLong("does not fit"), GenerationFailed("does not fit")])
def test_a_prompt_that_cannot_be_sampled_fails_alone(
    runs: Runs, error: Exception, share_device: bool
) -> None:
    def refuse_one(request: Request) -> Reply:
        if request.chat.quoted == ("question 1",):
            raise error
        return numbers_from_the_seed(request)

    on = backends(FakeBackend(refuse_one))
    good, bad, fine = runs(prompts(3), replace(JOB, share_device=share_device), on)
    assert bad.error == "cannot sample: does not fit"
    assert (bad.winner, bad.candidates, bad.comparisons) == (None, (), ())
    assert bad.provenance == good.provenance
    assert good.winner is not None
    assert fine.winner is not None


def test_a_pair_that_does_not_fit_is_void_and_its_tournament_goes_on(runs: Runs) -> None:
    def refuse(request: Request) -> Reply:
        if "7" in request.chat.quoted:
            raise PromptTooLong("does not fit")
        return larger_number(request)

    [result] = runs([with_candidates(prompts(1)[0])], JOB, backends(None, FakeBackend(refuse)))
    voids = [c.verdict for c in result.comparisons if c.verdict.outcome is Outcome.VOID]
    assert {(v.void_reason, v.detail) for v in voids} == {("too-long", "does not fit")}
    assert result.winner is not None
    assert result.error is None


@pytest.mark.parametrize("share_device", [False, True])
@pytest.mark.parametrize("role", ["policy", "judge"])
def test_an_engine_that_dies_ends_the_run_as_one_error(
    runs: Runs, role: str, share_device: bool
) -> None:
    def die(request: Request) -> Reply:
        raise EngineError(f"the engine of {role} died")

    on = {**backends(), role: FakeBackend(die, capacity=1)}
    with pytest.raises(EngineError, match=f"the engine of {role} died"):
        runs(prompts(8), replace(JOB, share_device=share_device), on)
    log = runs.engines.log
    assert {line.replace("start", "stop") for line in log} <= set(log)
    assert all(backend.running == 0 for backend in on.values())


def test_a_wrong_template_is_told_before_any_engine_starts(runs: Runs) -> None:
    with pytest.raises(BonError, match="unknown judge template 'nope'"):
        runs(prompts(1), Job(Policy("policy"), Judge("judge", template="nope")))
    assert runs.engines.log == []


def test_fewer_than_one_candidate_makes_no_job() -> None:
    with pytest.raises(BonError, match="N is 0: sample at least 1"):
        Job(n=0)


def test_an_interrupted_run_stops_its_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    engines = Engines(backends(None, FakeBackend(larger_number, turns=lambda r: 10**9)))
    monkeypatch.setattr(api, "engine", engines)

    async def interrupt() -> None:
        task = asyncio.create_task(run(prompts(3), JOB, lambda position, result: None, Observer()))
        while "start judge" not in engines.log or not engines.backends["judge"].requests:
            await some_turns(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(interrupt())
    assert engines.log[-1] == "stop judge"
    assert engines.backends["judge"].running == 0


# --- the two halves -----------------------------------------------------------------------------------------


def test_about_two_batches_are_sampled_at_once() -> None:
    policy = FakeBackend(numbers_from_the_seed, capacity=12, turns=lambda request: 20)
    found: list[Sampled] = []
    asyncio.run(sample_all(prompts(20), JOB, policy, found.append, Observer()))
    assert policy.most == 2 * 12 // 6
    assert sorted(one.position for one in found) == list(range(20))


def test_more_candidates_than_the_engine_holds_are_still_sampled() -> None:
    policy = FakeBackend(numbers_from_the_seed, capacity=1)
    found: list[Sampled] = []
    asyncio.run(sample_all(prompts(3), JOB, policy, found.append, Observer()))
    assert len(found) == 3


def test_candidates_are_judged_as_they_come() -> None:
    results: list[int] = []

    async def judge_two() -> None:
        async def two() -> object:
            for position, prompt in enumerate(prompts(2)):
                while len(results) < position:  # the second waits for the first one's result
                    await some_turns(1)
                yield Sampled(position, prompt, (Candidate("1"), Candidate("2")))

        await judge_all(
            two(),  # type: ignore[arg-type]
            JOB,
            FakeBackend(larger_number),
            lambda position, result: results.append(position),
            Observer(),
        )

    asyncio.run(judge_two())
    assert results == [0, 1]


def test_settings_of_the_judge_override_the_templates() -> None:
    backend = FakeBackend(lambda request: reply(""))
    plain = Judge("RM-R1-7B").judge(backend)
    assert (plain.template.name, plain.temperature, plain.max_tokens) == ("rm-r1", 0.0, 8192)
    own = Judge("RM-R1-7B", "rrm", 0.3, 0.8, 99, 50, "Rhymes.", 7).judge(backend)
    assert (own.template.name, own.temperature, own.top_p) == ("rrm", 0.3, 0.8)
    assert (own.max_tokens, own.thinking_budget, own.criteria, own.seed) == (99, 50, "Rhymes.", 7)
