"""The live world: real candidates, a real judge, and an answer that says who is right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace

import numpy as np

from bon.accuracy import is_right
from bon.api import Observer, Sampled, bare_errors, both_engines, engine, judge_all, sample_all
from bon.bench.played import Played, played
from bon.bench.runner import Columns
from bon.catalog import Entrant
from bon.generation import Backend
from bon.generation.shared import shared
from bon.job import Job
from bon.ledger import Ledger
from bon.types import BonError, Prompt, Result


def no_limit(error: float) -> None:
    """Nobody knows the limit of a real judge."""


def with_truth(prompts: Sequence[Prompt]) -> Sequence[Prompt]:
    """The prompts; raises `BonError` where one does not say what is right."""
    if not prompts:
        raise BonError("there is no prompt to measure on")
    for prompt in prompts:
        told = prompt.given and all(c.correct is not None for c in prompt.given)
        if prompt.answer is None and not told:
            raise BonError(
                f"prompt {prompt.id} does not say what is right: give it `answer`, or each of its"
                " `candidates` `correct`"
            )
    return prompts


async def play_live(
    prompts: Sequence[Prompt],
    entrants: Mapping[str, Entrant],
    job: Job,
    observer: Observer,
    ledger: Ledger | None = None,
) -> dict[str, Columns]:
    """Sample once, then play every strategy on the same candidates, all in one pool.

    What the `ledger` holds is neither sampled nor judged again, and costs the same in every figure.
    Raises as `bon.api.run` does.
    """
    results: dict[str, dict[int, Result]] = {text: {} for text in entrants}
    sampled: list[Sampled] = []
    async with bare_errors(), AsyncExitStack() as engines:
        if all(prompt.given for prompt in prompts):
            sampled = [Sampled(i, prompt, prompt.given) for i, prompt in enumerate(prompts)]
            judge = await engines.enter_async_context(_judge(job, observer))
        elif job.side_by_side:
            policy, judge = await engines.enter_async_context(both_engines(job, observer))
            await sample_all(prompts, job, policy, sampled.append, observer, ledger)
        else:
            async with engine(
                "policy", job.policy.model, job.policy.engine_args, observer
            ) as policy:
                await sample_all(prompts, job, policy, sampled.append, observer, ledger)
            judge = await engines.enter_async_context(_judge(job, observer))
        sampled.sort(key=lambda one: one.position)
        sizes = [len(one.candidates) for one in sampled]
        once = await engines.enter_async_context(shared(judge))
        async with asyncio.TaskGroup() as tasks:
            for text, entrant in entrants.items():
                entry, keep = replace(job, strategy=entrant), results[text].__setitem__
                stream = _each(sampled)
                tasks.create_task(
                    judge_all(stream, entry, once, keep, observer, ledger, sizes=sizes)
                )
    return {
        text: columns([found[i] for i in range(len(prompts))]) for text, found in results.items()
    }


def columns(results: Sequence[Result]) -> Columns:
    """What was played, one number a prompt and field."""
    table = np.array([_played(result) for result in results], dtype=np.float64)
    return dict(zip(Played._fields, table.T, strict=True))


def _played(result: Result) -> Played:
    right = [
        is_right(c.text, result.prompt.answer or "") if c.correct is None else c.correct
        for c in result.candidates
    ]
    chosen = result.winner is not None and right[result.winner]
    stages = max((c.stage for c in result.comparisons), default=0)
    return played(result.comparisons, stages, float(chosen), float(any(right)) - float(chosen))


def _judge(job: Job, observer: Observer) -> AbstractAsyncContextManager[Backend]:
    return engine("judge", job.judge.model, job.judge.engine_args, observer)


async def _each(sampled: Sequence[Sampled]) -> AsyncIterator[Sampled]:
    for one in sampled:
        yield one
