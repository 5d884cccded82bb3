"""From a prompt to its candidates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes import FakeBackend, reply
from hypothesis import given
from hypothesis import strategies as st

from bon.generation import (
    Chat,
    Generation,
    GenerationFailed,
    PromptTooLong,
    Reply,
    Request,
    Sampling,
)
from bon.sampler import Sampler
from bon.types import Candidate, Message, Prompt

QUESTION = Prompt("1", (Message("user", "4 + 5?"),))


def sample(
    answer: Callable[[Request], Reply],
    prompt: Prompt = QUESTION,
    *,
    n: int = 2,
    system: str = "",
    seed: int = 0,
) -> tuple[tuple[Candidate, ...], Request]:
    backend = FakeBackend(answer)
    sampler = Sampler(backend, Sampling(100, 0.7, 0.9, n), system, seed)
    candidates = asyncio.run(sampler.sample(prompt, priority=4))
    [request] = backend.requests
    return candidates, request


def nine(request: Request) -> Reply:
    return reply(*["9"] * request.sampling.n)


def draw(prompt: Prompt = QUESTION, **settings: int) -> int:
    seed = sample(nine, prompt, **settings)[1].sampling.seed  # type: ignore[arg-type]
    assert seed is not None
    return seed


def test_n_candidates_are_one_request() -> None:
    candidates, request = sample(nine, n=5)
    assert candidates == (Candidate("9", tokens=3, prompt_tokens=10),) * 5
    assert request.priority == 4
    sampling = request.sampling
    assert (sampling.n, sampling.max_tokens) == (5, 100)
    assert (sampling.temperature, sampling.top_p) == (0.7, 0.9)


def test_thinking_is_split_off_and_kept() -> None:
    [one, two], _ = sample(lambda r: reply("<think>4, 5</think>\n9", "<think>4"))
    assert (one.text, one.thinking) == ("9", "4, 5")
    assert (two.text, two.thinking) == ("", "4")


def test_thinking_that_the_chat_template_opened_is_split_off_as_well() -> None:
    [candidate], _ = sample(lambda r: reply("4, 5</think>\n9", opened=True), n=1)
    assert (candidate.text, candidate.thinking) == ("9", "4, 5")


def test_tokens_and_the_reason_for_the_end_are_kept() -> None:
    cut = Generation("4 + 5 =", "length", (1, 2, 3, 4))
    whole = Generation("9", "stop", (1,))
    candidates, _ = sample(lambda r: Reply((cut, whole), 10))
    assert [(c.finish_reason, c.tokens) for c in candidates] == [("length", 4), ("stop", 1)]


def test_a_system_prompt_stands_before_prompts_that_have_none() -> None:
    _, request = sample(nine, system="Be brief.")
    assert request.chat == Chat.of([Message("system", "Be brief."), *QUESTION.messages])
    own = Prompt("1", (Message("system", "Be long."), *QUESTION.messages))
    _, request = sample(nine, own, system="Be brief.")
    assert request.chat == Chat.of(own.messages)


@given(st.text())
def test_no_word_of_a_prompt_is_trusted(text: str) -> None:
    _, request = sample(nine, Prompt("1", (Message("user", text),)), system=text)
    assert request.chat.quoted == ((text, text) if text else ("",))
    assert all(m.content.startswith("\ue000") for m in request.chat.messages)


def test_draws_depend_on_the_seed_and_the_words_alone() -> None:
    assert draw() == draw(Prompt("another id", QUESTION.messages, "9")) == draw(n=3)
    assert len({draw(), draw(seed=1), draw(Prompt("1", (Message("user", "5 + 4?"),)))}) == 3
    assert 0 <= draw() < 2**31


@pytest.mark.parametrize("error", [PromptTooLong("too long"), GenerationFailed("failed")])
def test_what_the_back_end_refuses_is_told(error: Exception) -> None:
    def refuse(request: Request) -> Reply:
        raise error

    with pytest.raises(type(error), match=str(error)):
        sample(refuse)


def test_a_reply_without_candidates_is_a_failure_of_this_prompt() -> None:
    with pytest.raises(GenerationFailed, match="no candidate"):
        sample(lambda r: Reply((), 10))


def test_a_candidate_knows_what_its_prompt_cost() -> None:
    candidates, _ = sample(nine)
    assert [c.prompt_tokens for c in candidates] == [10, 10]


def test_tools_go_to_the_chat_template() -> None:
    _, request = sample(nine, replace(QUESTION, tools='[{"name": "look"}]'))
    assert request.chat.tools == '[{"name": "look"}]'
    assert request.chat.quoted == ("4 + 5?",)


def test_a_raw_prompt_meets_neither_template_nor_system_prompt() -> None:
    _, request = sample(nine, replace(QUESTION, raw=True), system="Be brief.")
    assert request.chat == Chat.raw("4 + 5?")
