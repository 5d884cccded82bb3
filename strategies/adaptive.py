"""A posterior that asks what tells it most, and stops when it knows enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bon.posterior.order import OrderPosterior
from bon.tournament import Ask, Table
from bon.types import BonError, Comparison, Outcome

Floats = npt.NDArray[np.float64]

PATIENCE = 50
"""Comparisons a candidate after which it stops with what it has, where no budget is given."""
VOIDS = 2
"""Final VOIDs after which a pair is not asked in that order again."""


class Posterior(Protocol):
    """What a target has to answer."""

    def tell(self, first: int, second: int, score: float) -> None: ...
    def chances(self) -> Floats: ...
    def information(self) -> Floats: ...


async def adaptive(
    table: Table,
    *,
    error: float = 0.05,
    max_comparisons: int | None = None,
    max_judge_tokens: int | None = None,
    width: int = 1,
) -> Sequence[int]:
    _check(error, max_comparisons, max_judge_tokens, width)
    posterior = OrderPosterior(table.n)
    limit = max_comparisons or PATIENCE * table.n
    luck = np.array([table.rng("luck", seat).random() for seat in table.seats])
    closed = np.eye(table.n, dtype=bool)
    voids = np.zeros((table.n, table.n), dtype=np.int64)
    played = np.zeros((table.n, table.n), dtype=np.int64)
    spent = tokens = 0
    while spent < limit and (max_judge_tokens is None or tokens < max_judge_tokens):
        chances = posterior.among_best()
        met = played.any(0) | played.any(1)
        if 1.0 - chances.max() <= error and met.all():
            break
        asks = _choose(table, posterior, played, closed, luck, min(width, limit - spent))
        if not asks:
            break
        for comparison in await table.together(asks):
            spent += comparison.attempt + 1
            tokens += comparison.verdict.prompt_tokens + comparison.verdict.output_tokens
            first, second = comparison.first, comparison.second
            if comparison.score_first is None:
                voids[first, second] += 1
                closed[first, second] = voids[first, second] >= VOIDS
            else:
                posterior.tell(first, second, comparison.score_first)
    chances = posterior.among_best()
    return [int(s) for s in np.lexsort((luck, -posterior.best(), -chances))]


def _choose(
    table: Table,
    posterior: OrderPosterior,
    played: npt.NDArray[np.int64],
    closed: npt.NDArray[np.bool_],
    luck: Floats,
    width: int,
) -> list[Ask]:
    gain = posterior.information()
    gain += 1e-9 * (luck[:, None] + luck)
    gain[closed & closed.T] = -1.0
    asks = []
    for _ in range(width):
        a, b = divmod(int(gain.argmax()), table.n)
        if gain[a, b] < 0.0:
            break
        lean = played[a, b] - played[b, a]
        if lean == 0:
            lean = (played[a] - played[:, a]).sum() - (played[b] - played[:, b]).sum()
        if closed[a, b] or (not closed[b, a] and lean > 0):
            a, b = b, a
        played[a, b] += 1
        asks.append(table.compare(a, b))
        gain[a, b] *= 0.5
        gain[b, a] *= 0.5
        for x in (a, b):
            gain[x] *= np.where(gain[x] > 0, 0.8, 1.0)
            gain[:, x] *= np.where(gain[:, x] > 0, 0.8, 1.0)
    return asks


def _check(error: float, max_comparisons: int | None, max_judge_tokens: int | None, width: int) -> None:
    if not 0.0 < error < 0.5:
        raise BonError(f"adaptive:error is a chance above 0 and below .5, not {error}")
    for name, budget in (("max_comparisons", max_comparisons), ("max_judge_tokens", max_judge_tokens)):
        if budget is not None and budget < 1:
            raise BonError(f"adaptive:{name} is at least 1, not {budget}: leave it out for no limit")
    if width < 1:
        raise BonError(f"adaptive:width is at least 1, not {width}")
