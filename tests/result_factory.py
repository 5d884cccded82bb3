"""Results for tests: real tournaments, played in a plain loop by a judge that is a function."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from bon.match import both
from bon.ranker import rank
from bon.strategies.knockout import knockout
from bon.strategies.round_robin import round_robin
from bon.tournament import Ask, Table, Tournament
from bon.types import (
    Candidate,
    Message,
    Outcome,
    Prompt,
    Result,
    Verdict,
    VoidReason,
)

Judge = Callable[[Ask], Verdict]


async def double_knockout(table: Table) -> int:
    return await knockout(table, rule=both)


async def double_round_robin(table: Table) -> Sequence[int]:
    return await round_robin(table, rule=both)


def noisy_judge(seed: str, *, bias: float = 0.1, void: float = 0.03, tie: float = 0.05) -> Judge:
    """Prefers higher numbers, leans to the first slot, sometimes ties and sometimes fails."""

    def judge(ask: Ask) -> Verdict:
        rng = random.Random(f"{seed} {ask}")
        if rng.random() < void:
            return Verdict(
                Outcome.VOID,
                void_reason=rng.choice([VoidReason.UNPARSABLE, VoidReason.TRUNCATED]),
                detail="no verdict in 40 tokens",
                prompt_tokens=100,
                output_tokens=40,
            )
        p = 1 / (1 + 2.718 ** -(0.4 * (ask.first - ask.second) + 4 * bias + rng.gauss(0, 1)))
        outcome = Outcome.FIRST if p > 0.5 else Outcome.SECOND
        if rng.random() < tie:
            outcome = Outcome.TIE
        return Verdict(
            outcome,
            p_first=round(p, 4),
            reasoning=f"Slot one holds {ask.first}, slot two {ask.second}; I lean to {outcome}.",
            text=f"Verdict: {outcome}",
            prompt_tokens=100,
            cached_tokens=60,
            output_tokens=40,
        )

    return judge


def play(
    strategy: Any = knockout,
    n: int = 8,
    *,
    judge: Judge | None = None,
    texts: Sequence[str] = (),
    prompt: str = "How many legs have two spiders?",
    identity: str = "spiders",
    seed: str = "1",
    answer: str | None = "16",
    retries: int = 1,
) -> Result:
    """Play `strategy` over `n` candidates in seat order and record the result."""
    judge = judge or noisy_judge(seed)
    tournament = Tournament(strategy, n, seed=seed, retries=retries)
    todo = list(tournament.start().asked)
    while todo:
        ask = todo.pop()
        todo += tournament.answer(ask, judge(ask)).asked
    texts = texts or [f"Eight legs each, take {k}.\nThe answer is {16 + k % 3}" for k in range(n)]
    order = tournament.order
    return Result(
        prompt=Prompt(identity, (Message("user", prompt),), answer),
        candidates=tuple(Candidate(text, tokens=len(text) // 4) for text in texts),
        groups=tuple(range(n)),
        winner=order[0],
        ranking=tuple(rank(n, order, tournament.comparisons, tournament.matches)),
        matches=tournament.matches,
        comparisons=tournament.comparisons,
        provenance={"strategy": strategy.__name__, "judge": "noisy", "seed": seed},
    )
