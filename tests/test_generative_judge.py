"""The generative judge: what it asks of its back end, and what it makes of the replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from math import log

import pytest
from fakes import FakeBackend, boxes, reply

from bon.generation import (
    Generation,
    GenerationFailed,
    PromptTooLong,
    Reply,
    Request,
    TokenChoice,
)
from bon.judge.generative import VERDICT_TOKENS, GenerativeJudge
from bon.judge.template import load_template
from bon.types import EngineError, Outcome, Verdict, VoidReason

RRM = load_template("rrm")


def judge(answer: Callable[[Request], Reply], **settings: object) -> GenerativeJudge:
    plain = GenerativeJudge(FakeBackend(answer), RRM, 0.6, 0.95, 512)
    return replace(plain, **settings)  # type: ignore[arg-type]


def ask(
    by: GenerativeJudge,
    query: str = "q",
    first: str = "one",
    second: str = "two",
    *,
    repeat: int = 0,
    attempt: int = 0,
    priority: int = 0,
) -> Verdict:
    return asyncio.run(
        by.compare(query, first, second, repeat=repeat, attempt=attempt, priority=priority)
    )


def asked(by: GenerativeJudge) -> list[Request]:
    assert isinstance(by.backend, FakeBackend)
    return by.backend.requests


def seed(by: GenerativeJudge, **call: int) -> int:
    ask(by, **call)  # type: ignore[arg-type]
    found = asked(by)[-1].sampling.seed
    assert found is not None
    return found


def first_wins(request: Request) -> Reply:
    return reply(f"<think>Both.</think>{boxes(1)}", tokens=7)


def cut_then(first: str, second: str) -> Callable[[Request], Reply]:
    """Hits the limit with `first`, then writes `second`."""
    return lambda request: (
        reply(second, tokens=4, prompt_tokens=40)
        if request.resume
        else reply(first, finish="length", tokens=30)
    )


def test_a_verdict_comes_with_its_reasoning_and_its_cost() -> None:
    assert ask(judge(first_wins)) == Verdict(
        Outcome.FIRST,
        reasoning="Both.",
        text=boxes(1),
        prompt_tokens=10,
        cached_tokens=4,
        output_tokens=7,
    )


def test_one_request_holds_template_texts_settings_and_priority() -> None:
    by = judge(first_wins, criteria="Rhymes first.")
    ask(by, "why?", "one", "two", priority=5)
    [request] = asked(by)
    assert request.chat == RRM.chat("why?", "one", "two", "Rhymes first.")
    assert request.priority == 5
    assert request.resume is None
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (512, 0.6, 0.95)
    assert sampling.n == 1
    assert sampling.logprobs > 0


def test_log_probabilities_give_the_probability_of_the_first() -> None:
    tail = (
        TokenChoice("\\boxed{Assistant ", {}),
        TokenChoice("1", {"1": log(0.8), "2": log(0.2)}),
        TokenChoice("}", {}),
        TokenChoice("<|im_end|>", {}),
    )
    verdict = ask(judge(lambda r: Reply((Generation(boxes(1), "stop", (1, 2, 3, 4), tail),), 10)))
    assert verdict.p_first == pytest.approx(0.8)


# --- void -----------------------------------------------------------------------------------------


def test_no_verdict_is_void_unparsable_and_keeps_what_was_written() -> None:
    verdict = ask(judge(lambda r: reply("<think>Hm.</think>Either.")))
    assert verdict.void_reason is VoidReason.UNPARSABLE
    assert (verdict.reasoning, verdict.text, verdict.output_tokens) == ("Hm.", "Either.", 3)


def test_thinking_that_hits_the_limit_is_void_truncated_without_a_second_call() -> None:
    by = judge(cut_then("<think>Let me", boxes(1)))
    assert ask(by).void_reason is VoidReason.TRUNCATED
    assert len(asked(by)) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PromptTooLong("9000 tokens do not fit"), VoidReason.TOO_LONG),
        (GenerationFailed("9000 tokens do not fit"), VoidReason.FAILED),
    ],
)
def test_what_the_back_end_refuses_is_void_with_its_words(
    error: Exception, reason: VoidReason
) -> None:
    def refuse(request: Request) -> Reply:
        raise error

    verdict = ask(judge(refuse))
    assert verdict.void_reason is reason
    assert verdict.detail == "9000 tokens do not fit"


def test_a_dead_engine_is_no_verdict_but_an_error() -> None:
    def die(request: Request) -> Reply:
        raise EngineError("the engine died")

    with pytest.raises(EngineError, match="the engine died"):
        ask(judge(die))


# --- thinking budget ------------------------------------------------------------------------------


def test_thinking_over_the_budget_is_closed_and_the_verdict_forced() -> None:
    by = judge(cut_then("<think>Let me", boxes(2)), thinking_budget=30)
    verdict = ask(by, priority=3)
    first, second = asked(by)
    assert first.sampling.max_tokens == 30
    assert second.sampling == replace(first.sampling, max_tokens=VERDICT_TOKENS)
    assert second.resume is not None
    assert second.resume.text == "<think>Let me"
    assert second.close == RRM.close
    assert (second.chat, second.priority) == (first.chat, 3)
    assert verdict.outcome is Outcome.SECOND
    assert verdict.reasoning == "Let me"


def test_a_forced_verdict_costs_the_tokens_of_both_calls() -> None:
    verdict = ask(judge(cut_then("<think>Let me", boxes(2)), thinking_budget=30))
    assert (verdict.prompt_tokens, verdict.cached_tokens, verdict.output_tokens) == (50, 8, 34)


def test_a_forced_call_that_fails_is_void_and_the_first_call_still_counted() -> None:
    def fail_the_second(request: Request) -> Reply:
        if request.resume:
            raise GenerationFailed("gone")
        return reply("<think>Let me", finish="length", tokens=30)

    verdict = ask(judge(fail_the_second, thinking_budget=30))
    assert (verdict.void_reason, verdict.detail) == (VoidReason.FAILED, "gone")
    assert (verdict.prompt_tokens, verdict.output_tokens) == (10, 30)


def test_thinking_within_the_budget_needs_no_second_call() -> None:
    by = judge(first_wins, thinking_budget=30)
    assert ask(by).outcome is Outcome.FIRST
    assert len(asked(by)) == 1


def test_a_budget_that_ends_after_the_thinking_lets_the_verdict_be_finished() -> None:
    by = judge(cut_then("<think>x</think>\\boxed{Assist", "ant 2}"), thinking_budget=30)
    verdict = ask(by)
    assert asked(by)[1].close == ""
    assert verdict.outcome is Outcome.SECOND
    assert verdict.text == boxes(2)


def test_a_verdict_in_the_closed_thinking_does_not_count() -> None:
    by = judge(cut_then(f"<think>so far {boxes(1)}", "I cannot say."), thinking_budget=30)
    assert ask(by).void_reason is VoidReason.UNPARSABLE


def test_a_forced_verdict_that_is_cut_off_as_well_is_truncated() -> None:
    def endless(request: Request) -> Reply:
        return reply("and", finish="length", opened=True)

    by = judge(endless, thinking_budget=30)
    assert ask(by).void_reason is VoidReason.TRUNCATED
    assert len(asked(by)) == 2


# --- seeds and identity -----------------------------------------------------------------------------


def test_seeds_differ_by_repeat_attempt_order_and_words() -> None:
    by = judge(first_wins)
    seeds = [seed(by), seed(by, repeat=1), seed(by, attempt=1), seed(by, repeat=1, attempt=1)]
    for texts in (("q", "two", "one"), ("q", "one", "three"), ("p", "one", "two")):
        ask(by, *texts)
        seeds.append(asked(by)[-1].sampling.seed or 0)
    assert len(set(seeds)) == len(seeds)


def test_seeds_are_the_same_in_every_run_and_whatever_the_priority() -> None:
    assert seed(judge(first_wins)) == seed(judge(first_wins)) == seed(judge(first_wins), priority=9)


def test_seeds_are_signed_32_bit_numbers() -> None:
    by = judge(first_wins)
    assert all(0 <= seed(by, repeat=repeat) < 2**31 for repeat in range(50))


def test_a_text_that_is_no_utf8_still_has_a_seed() -> None:
    assert ask(judge(first_wins), "\ud800", "one", "two").outcome is Outcome.FIRST


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.7},
        {"top_p": 1.0},
        {"max_tokens": 513},
        {"thinking_budget": 100},
        {"criteria": "Rhymes first."},
        {"seed": 1},
        {"template": load_template("rm-r1")},
        {"template": replace(RRM, digest="edited")},
        {"backend": FakeBackend(first_wins, identity="fake@2")},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_identity_changes_with_everything_that_changes_verdicts(change: dict[str, object]) -> None:
    plain, changed = judge(first_wins), judge(first_wins, **change)
    assert changed.identity != plain.identity
    assert seed(changed) != seed(plain)


def test_identity_is_the_same_in_every_run() -> None:
    assert judge(first_wins).identity == judge(first_wins).identity
