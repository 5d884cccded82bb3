"""Scores from a reward model: who is asked what, what a failure is, and what the ledger saves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fakes import Engines, FakeBackend, larger_number, reply

from bon.api import Observer, rerank, run
from bon.catalog import parse_strategy
from bon.generation import PromptTooLong, Reply, Request
from bon.job import GIVEN, Job, RewardModel
from bon.ledger import Ledger
from bon.types import BonError, Candidate, Message, Prompt, Result


def by_length(request: Request) -> Reply:
    """A reward model that likes length; of what is above ten characters it says nothing."""
    response = request.chat.quoted[-1]
    if len(response) > 10:
        raise PromptTooLong("11 characters, and the context has 10")
    return Reply((), 3, score=float(len(response)))


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    backends = {
        "rm": FakeBackend(by_length, identity="rm@1", turns=lambda r: len(r.chat.quoted[-1])),
        "tiny-rrm": FakeBackend(larger_number),
        "tiny-policy": FakeBackend(
            lambda request: reply(*["1", "333", "22"][: request.sampling.n])
        ),
    }
    engines = Engines(backends)
    monkeypatch.setattr("bon.api.engine", engines)
    return engines


def prompt(identity: str, *texts: str) -> Prompt:
    given = tuple(Candidate(text, score=-1.0) for text in texts)
    return Prompt(identity, (Message("user", f"question {identity}"),), None, given)


def job(strategy: str = "pointwise", **settings: Any) -> Job:
    return Job(
        strategy=parse_strategy(strategy),
        scorer=RewardModel("rm"),
        group_by="none",
        **settings,
    )


def play(prompts: list[Prompt], asked: Job, ledger: Ledger | None = None) -> list[Result]:
    results: dict[int, Result] = {}
    asyncio.run(run(prompts, asked, results.__setitem__, Observer(), ledger))
    return [results[position] for position in range(len(prompts))]


def test_the_highest_score_wins_and_every_candidate_keeps_its_own(engines: Engines) -> None:
    [result] = play([prompt("a", "1", "4444", "22")], job(policy=GIVEN))
    assert result.winner == 1
    assert [candidate.score for candidate in result.candidates] == [1.0, 4.0, 2.0]
    assert result.provenance["scorer"] == "rm"
    assert engines.backends["tiny-rrm"].requests == [], "no judge is asked"


def test_a_reward_model_sees_the_conversation_with_the_response_at_its_end(
    engines: Engines,
) -> None:
    play([prompt("a", "1")], job(policy=GIVEN))
    [request] = engines.backends["rm"].requests
    assert request.chat.quoted == ("question a", "1")
    assert [message.role for message in request.chat.messages] == ["user", "assistant"]
    assert request.chat.closed


def test_sampled_candidates_are_scored(engines: Engines) -> None:
    [result] = play([Prompt("a", (Message("user", "q"),))], job(n=3))
    assert [candidate.score for candidate in result.candidates] == [1.0, 3.0, 2.0]
    assert result.winner == 1


def test_candidates_are_scored_side_by_side_and_results_keep_their_places(
    engines: Engines,
) -> None:
    prompts = [prompt(str(i), "1" * (9 - i), "2") for i in range(8)]
    results = play(prompts, job(policy=GIVEN))
    assert [result.prompt.id for result in results] == [str(i) for i in range(8)]
    assert [r.candidates[0].score for r in results] == [9.0 - i for i in range(8)]
    assert engines.backends["rm"].most > 2


def test_where_one_response_cannot_be_scored_the_prompt_says_why_and_has_no_winner(
    engines: Engines,
) -> None:
    failed, fine = play([prompt("a", "1", "x" * 11), prompt("b", "1")], job(policy=GIVEN))
    assert failed.error == "cannot score: 11 characters, and the context has 10"
    assert failed.winner is None
    assert fine.winner == 0


def test_what_the_ledger_holds_is_not_scored_again(engines: Engines, tmp_path: Path) -> None:
    for _ in range(2):
        with Ledger(tmp_path) as ledger:
            [result] = play([prompt("a", "1", "333")], job(policy=GIVEN), ledger)
        assert [candidate.score for candidate in result.candidates] == [1.0, 3.0]
    assert len(engines.backends["rm"].requests) == 2


def test_other_strategies_play_as_ever_over_scored_candidates(engines: Engines) -> None:
    [result] = play([prompt("a", "1", "9", "333")], job("knockout", policy=GIVEN))
    assert result.winner == 2
    assert len(result.matches) == 2
    assert [candidate.score for candidate in result.candidates] == [1.0, 1.0, 3.0]


def test_a_run_that_ends_early_leaves_no_score_under_way(engines: Engines) -> None:
    class Broken(Exception):
        pass

    def broken(position: int, result: Result) -> None:
        raise Broken

    async def rerank_many() -> None:
        async def rows() -> Any:
            from bon.api import Sampled

            for i in range(500):
                one = prompt(str(i), "1", "22")
                yield Sampled(i, one, one.given)

        await rerank(rows(), job(policy=GIVEN), broken, Observer())

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - in as many groups as there are
        asyncio.run(rerank_many())
    assert caught.group_contains(Broken) if isinstance(caught.value, BaseExceptionGroup) else True
    assert engines.backends["rm"].running == 0
    assert len(engines.backends["rm"].requests) < 500


def test_pointwise_without_scores_is_refused_before_anything_is_sampled(engines: Engines) -> None:
    asked = Job(strategy=parse_strategy("pointwise"))
    with pytest.raises(BonError, match="name a reward model with --scorer"):
        play([Prompt("a", (Message("user", "q"),))], asked)
    assert engines.log == []


def test_a_scorer_behind_http_is_refused() -> None:
    with pytest.raises(BonError, match="a scorer runs on vLLM in this process"):
        RewardModel("openai:rm@http://localhost:8000/v1")
