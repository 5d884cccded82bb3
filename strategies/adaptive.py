"""A posterior that asks what tells it most, and stops when it knows enough."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from bon.posterior.order import OrderPosterior
from bon.posterior.table import TablePosterior
from bon.tournament import Table
from bon.types import BonError

PATIENCE = 50
"""Comparisons a candidate after which the order target stops undecided, where no budget is set."""
VOIDS = 2
"""Final VOIDs after which a pair is not asked in that order again."""
SILENCE = 3e-4
"""Expected information, in nats, below which no comparison is worth asking."""
CROWD = 0.5, 0.8
"""What one more comparison in the same round leaves of the information of the others, on the same
pair and on pairs that share a candidate."""


class Target(StrEnum):
    """What is to be found out."""

    BEST = "best"
    ROUND_ROBIN = "round-robin"


async def adaptive(
    table: Table,
    *,
    error: float = 0.05,
    max_comparisons: int | None = None,
    max_judge_tokens: int | None = None,
    width: int = 1,
    target: Target = Target.BEST,
    bias: float = 0.0,
) -> Sequence[int]:
    """Adaptive: asks what tells most about who is best, and stops when the chance of naming another is
    below `error`.

    `error` is the chance that this judge, asked without limit, would name another; it says nothing
    about the truth. 
    """
    _check(error, max_comparisons, max_judge_tokens, width)
    target = Target(target)
    n = table.n
    once = target is Target.ROUND_ROBIN
    posterior = _posterior(table, target, bias)
    luck = np.array([table.rng("luck", seat).random() for seat in table.seats])
    asked = np.zeros((n, n), dtype=np.int64)
    voids = np.zeros((n, n), dtype=np.int64)
    unbeaten = np.ones(n, dtype=bool)
    left = n * (n - 1) if once else PATIENCE * n
    left = min(left, max_comparisons or left)
    tokens = 0
    while left > 0 and tokens < (max_judge_tokens or np.inf):
        chances = posterior.among_best()
        if 1.0 - chances.max() <= error and (once or not np.delete(unbeaten, chances.argmax()).any()):
            break
        closed = (asked > 0) if once else (voids >= VOIDS)
        cells = _choose(posterior.information(), closed, asked, luck, min(width, left), once)
        if not cells:
            break
        for played in await table.together([table.compare(*cell) for cell in cells]):
            first, second = played.first, played.second
            posterior.tell(first, second, played.score_first)
            voids[first, second] += played.score_first is None
            unbeaten[first] &= played.score_first in (1.0, None)
            unbeaten[second] &= played.score_first in (0.0, None)
            left -= played.attempt + 1
            tokens += played.verdict.prompt_tokens + played.verdict.output_tokens
    order = np.lexsort((luck, -posterior.best(), -posterior.among_best()))
    return [int(seat) for seat in order]


def _posterior(table: Table, target: Target, bias: float) -> OrderPosterior | TablePosterior:
    if target is Target.BEST:
        return OrderPosterior(table.n, bias=bias)
    rng = np.random.default_rng(table.rng("samples").getrandbits(64))
    return TablePosterior(table.n, rng, bias=bias)


def _choose(
    gain: npt.NDArray[np.float64],
    closed: npt.NDArray[np.bool_],
    asked: npt.NDArray[np.int64],
    luck: npt.NDArray[np.float64],
    width: int,
    once: bool,
) -> list[tuple[int, int]]:
    """The cells to ask next, dearest first; counts them as asked."""
    chosen: list[tuple[int, int]] = []
    np.fill_diagonal(gain, 0.0)
    gain[closed] = 0.0
    pair, candidate = CROWD
    while len(chosen) < width:
        firsts = asked.sum(1) - asked.sum(0)
        even = 1e-9 * (luck[:, None] + luck) - 1e-10 * (asked - asked.T) - 1e-12 * (firsts[:, None] - firsts)
        first, second = divmod(int((gain + even).argmax()), len(gain))
        if gain[first, second] < SILENCE * (candidate ** len(chosen) if chosen else 1.0):
            break
        asked[first, second] += 1
        chosen.append((first, second))
        if len(chosen) == width: break
        gain[[first, second]] *= candidate
        gain[:, [first, second]] *= candidate
        gain[first, second] *= 0.0 if once else pair
        gain[second, first] *= pair
    return chosen


def _check(error: float, max_comparisons: int | None, max_judge_tokens: int | None, width: int) -> None:
    if not 0.0 < error < 0.5:
        raise BonError(f"adaptive:error is {error}: give a chance above 0 and below .5, such as .05")
    budgets = {"max_comparisons": max_comparisons, "max_judge_tokens": max_judge_tokens}
    for name, budget in budgets.items():
        if budget is not None and budget < 1:
            raise BonError(f"adaptive:{name} is {budget}: give at least 1, or leave it out for no limit")
    if width < 1:
        raise BonError(f"adaptive:width is {width}: give at least 1")
